"""The ledger over HTTP: who may write and read what, what is refused, and that what was acknowledged stays."""

import hashlib
import http.client
import json
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.shell.ledger.fakes import AUDIENCE, WRITER, FakeApiServer, LedgerProcess, token

from lineward.domain import lineage
from lineward.domain.lineage import EventType, Json
from lineward.domain.merkle import leaf_hash, root_of

POD = "6f1c0e0e-4f0d-4d3c-9a44-3f7f1f3f9a01"
RUN = "0b8f2f6e-93c5-4c86-8f0e-0d7f3b8ad302"
OPERATOR = token(WRITER, "11111111-4f0d-4d3c-9a44-3f7f1f3f9a01")
TRAINER = token("system:serviceaccount:ml:default", POD)
NEIGHBOUR = token("system:serviceaccount:web:default", "22222222-4f0d-4d3c-9a44-3f7f1f3f9a01")


def entry(number: int, **changes: Any) -> Json:
    body = {"verdict": "Verified", "number": number}
    return {"id": f"e-{number}", "kind": "verdict", "subject": "ml/Pod/train-x", "run": RUN, "body": body, **changes}


def event(second: int = 0, kind: EventType = EventType.START) -> Json:
    owner = lineage.workload_run("c1", "ml", "Job", "train", RUN)
    run = lineage.Run(POD, owner.namespace, "Job/train.pod", "POD", owner)
    return lineage.run_event(kind, run, datetime(2026, 11, 22, 18, 0, second, tzinfo=UTC))


def test_head_of_the_empty_ledger_is_that_of_rfc_6962(ledger: LedgerProcess) -> None:
    root = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    assert ledger.call("GET", "/api/v1/head", OPERATOR) == (200, {"size": 0, "root": root})


def test_entries_and_head_agree(ledger: LedgerProcess) -> None:
    for number in range(1, 6):
        status, receipt = ledger.call("POST", "/api/v1/entries", OPERATOR, entry(number))
        assert (status, receipt["seq"]) == (201, number)
    status, text = ledger.call("GET", "/api/v1/entries?format=lines", OPERATOR)
    lines = text.splitlines()
    assert (status, len(lines)) == (200, 5)
    leaves = [leaf_hash(line.encode()) for line in lines]
    head = ledger.call("GET", "/api/v1/head", OPERATOR)[1]
    assert head == {"size": 5, "root": f"sha256:{root_of(b''.join(leaves)).hex()}"}
    page = ledger.call("GET", "/api/v1/entries", OPERATOR)[1]
    assert [each["leaf"] for each in page["entries"]] == [f"sha256:{leaf.hex()}" for leaf in leaves]
    assert [{**json.loads(line), "leaf": each["leaf"]} for line, each in zip(lines, page["entries"], strict=True)] == (
        page["entries"]
    )
    first = page["entries"][0]
    assert (first["trust"], first["author"]["username"], first["body"]["number"]) == ("attested", WRITER, 1)


def test_same_again_is_the_same_entry_and_another_is_a_conflict(ledger: LedgerProcess) -> None:
    first = ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1))
    again = ledger.call("POST", "/api/v1/entries", OPERATOR, dict(reversed(entry(1).items())))
    assert (first[0], again) == (201, (200, first[1]))
    status, problem = ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1, body={"verdict": "Refused"}))
    assert status == 409
    assert "entry 1" in problem["error"]
    assert ledger.call("GET", "/api/v1/head", OPERATOR)[1]["size"] == 1


def test_writer_is_one_whatever_pod_it_runs_in(ledger: LedgerProcess) -> None:
    successor = token(WRITER, "33333333-4f0d-4d3c-9a44-3f7f1f3f9a01")
    for path, said in (("/api/v1/entries", entry(1)), ("/api/v1/lineage", event(1, EventType.COMPLETE))):
        first = ledger.call("POST", path, OPERATOR, said)
        assert ledger.call("POST", path, successor, said) == (200, first[1])


def test_pods_report_lineage_and_are_named_for_it(ledger: LedgerProcess) -> None:
    assert ledger.call("POST", "/api/v1/lineage", TRAINER, event())[0] == 201
    assert ledger.call("POST", "/api/v1/lineage", TRAINER, event())[0] == 200
    assert ledger.call("POST", "/api/v1/lineage", OPERATOR, event(1, EventType.COMPLETE))[0] == 201
    observed, attested = ledger.call("GET", f"/api/v1/entries?run={RUN}", OPERATOR)[1]["entries"]
    assert (observed["trust"], observed["run"], observed["parent"]) == ("observed", POD, RUN)
    assert observed["author"] == {"username": "system:serviceaccount:ml:default", "pod": "train-x", "podUid": POD}
    assert observed["body"] == event()
    assert (attested["trust"], attested["namespace"]) == ("attested", "ml")


def test_the_same_event_of_two_pods_is_two_observations(ledger: LedgerProcess) -> None:
    assert ledger.call("POST", "/api/v1/lineage", TRAINER, event())[0] == 201
    assert ledger.call("POST", "/api/v1/lineage", NEIGHBOUR, event())[0] == 201
    namespaces = [e["namespace"] for e in ledger.call("GET", "/api/v1/entries", OPERATOR)[1]["entries"]]
    assert namespaces == ["ml", "web"]


def test_pods_never_write_what_counts_as_attested(refusing: LedgerProcess) -> None:
    status, problem = refusing.call("POST", "/api/v1/entries", TRAINER, entry(1))
    assert status == 403
    assert WRITER in problem["error"]
    nearly = token(WRITER + "x", POD)
    assert refusing.call("POST", "/api/v1/entries", nearly, entry(1))[0] == 403


def test_token_that_is_bound_to_no_pod_reports_no_lineage(refusing: LedgerProcess) -> None:
    assert refusing.call("POST", "/api/v1/lineage", token("system:serviceaccount:ml:default"), event())[0] == 403


@pytest.mark.parametrize(
    "bearer",
    [
        "",
        "x",
        "a.b.c",
        "a.b.c\u00e9",
        "a" * 8000,
        token(WRITER, audience="kubernetes"),
        token("alice"),
        token("system:serviceaccount:ml:default:extra"),
        token("system:serviceaccount:lineward-system:lineward-operator\n"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/head", "/api/v1/entries"])
def test_other_tokens_are_not_accepted(refusing: LedgerProcess, bearer: str, path: str) -> None:
    assert refusing.call("GET", path, bearer)[0] == 401


def test_headers_beyond_all_measure_are_refused(refusing: LedgerProcess) -> None:
    assert refusing.call("GET", "/api/v1/head", "a" * 20_000)[0] == 400
    assert not [line for line in refusing.logs if "aaaa" in line]


def test_api_server_without_audiences_is_not_believed(ledger: LedgerProcess, api_server: FakeApiServer) -> None:
    api_server.knows_audiences = False
    assert ledger.call("GET", "/api/v1/head", token(WRITER, audience="other"))[0] == 401


def test_unreachable_api_server_is_no_answer_and_is_not_remembered(
    ledger: LedgerProcess, api_server: FakeApiServer
) -> None:
    api_server.status = 500
    assert ledger.call("GET", "/api/v1/head", OPERATOR)[0] == 503
    api_server.status = 201
    assert ledger.call("GET", "/api/v1/head", OPERATOR)[0] == 200


def test_answers_of_the_api_server_are_remembered(ledger: LedgerProcess, api_server: FakeApiServer) -> None:
    for _ in range(5):
        assert ledger.call("GET", "/api/v1/head", OPERATOR)[0] == 200
    assert api_server.reviews == 1


def test_token_may_come_through_the_service_proxy(ledger: LedgerProcess) -> None:
    assert ledger.call("GET", "/api/v1/head", headers={"X-Lineward-Token": OPERATOR})[0] == 200


def test_others_see_only_their_namespace(ledger: LedgerProcess) -> None:
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1))
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(2, subject="web/Pod/train-y"))
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(3, subject="/DatasetRecall/bad"))
    ledger.call("POST", "/api/v1/lineage", NEIGHBOUR, event())

    def seen(bearer: str) -> list[int]:
        return [each["seq"] for each in ledger.call("GET", "/api/v1/entries", bearer)[1]["entries"]]

    assert seen(TRAINER) == [1]
    assert seen(NEIGHBOUR) == [2, 4]
    assert seen(token("system:serviceaccount:lineward-system:lineward-ledger")) == [1, 2, 3, 4]
    assert ledger.call("GET", f"/api/v1/entries?run={RUN}&kind=lineage", TRAINER)[1]["entries"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "two words"},
        {"id": "x" * 201},
        {"id": "lineage:" + "0" * 64},
        {"id": 5},
        {"kind": "lineage"},
        {"kind": "other"},
        {"kind": []},
        {"subject": "train-x"},
        {"subject": "ml/Pod/../x"},
        {"subject": "ML/Pod/x"},
        {"run": "x"},
        {"run": RUN.upper()},
        {"body": []},
        {"body": None},
        {"extra": 1},
    ],
)
def test_malformed_entries_are_refused(refusing: LedgerProcess, change: Json) -> None:
    status, problem = refusing.call("POST", "/api/v1/entries", OPERATOR, entry(1, **change))
    assert status == 400
    assert problem["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"id":"a","id":"b"}',
        b'{"id":NaN}',
        b'{"id":1e999}',
        b'{"id":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(refusing: LedgerProcess, body: bytes) -> None:
    for path in ("/api/v1/entries", "/api/v1/lineage"):
        assert refusing.call("POST", path, OPERATOR, body)[0] == 400
    assert refusing.call("GET", "/api/v1/head", OPERATOR)[0] == 200


def test_deep_bodies_are_refused(refusing: LedgerProcess) -> None:
    body: Any = 1
    for _ in range(40):
        body = [body]
    assert refusing.call("POST", "/api/v1/entries", OPERATOR, entry(1, body={"deep": body}))[0] == 400


def test_large_bodies_are_refused(refusing: LedgerProcess) -> None:
    assert refusing.call("POST", "/api/v1/entries", OPERATOR, entry(1, body={"x": "y" * 300_000}))[0] == 413
    assert refusing.call("POST", "/api/v1/lineage", TRAINER, {**event(), "x": "y" * 300_000})[0] == 413


def test_odd_text_is_kept(ledger: LedgerProcess) -> None:
    raw = json.dumps(entry(1, body={"\ud800": "\u0000\u2028\U0001f600"})).encode()
    assert ledger.call("POST", "/api/v1/entries", OPERATOR, raw)[0] == 201
    assert ledger.call("GET", "/api/v1/entries", OPERATOR)[1]["entries"][0]["body"] == {
        "\ud800": "\u0000\u2028\U0001f600"
    }


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "limit=²",
        "after=-1",
        "after=99999999999999999999999",
        "kind=other",
        "wait=31",
        "format=xml",
        "sort=asc",
        "limit=1&limit=2",
    ],
)
def test_malformed_queries_are_refused(refusing: LedgerProcess, query: str) -> None:
    quoted = query.replace("²", "%C2%B2")
    assert refusing.call("GET", f"/api/v1/entries?{quoted}", OPERATOR)[0] == 400


def test_pages_are_bounded_and_lead_to_the_end(ledger: LedgerProcess) -> None:
    for number in range(1, 8):
        ledger.call("POST", "/api/v1/entries", OPERATOR, entry(number, kind="run" if number % 2 else "verdict"))
    seen, after, more = [], 0, True
    while more:
        page = ledger.call("GET", f"/api/v1/entries?limit=3&after={after}", OPERATOR)[1]
        assert len(page["entries"]) <= 3
        seen += [each["seq"] for each in page["entries"]]
        after, more = page["after"], page["more"]
    assert (seen, after) == ([1, 2, 3, 4, 5, 6, 7], 7)
    runs = ledger.call("GET", "/api/v1/entries?kind=run&limit=4", OPERATOR)[1]
    assert ([each["seq"] for each in runs["entries"]], runs["more"], runs["after"]) == ([1, 3, 5, 7], False, 7)


def test_pages_are_bounded_in_bytes_too(ledger: LedgerProcess) -> None:
    for number in range(1, 25):
        assert ledger.call("POST", "/api/v1/entries", OPERATOR, entry(number, body={"x": "y" * 250_000}))[0] == 201
    page = ledger.call("GET", "/api/v1/entries?limit=1000", OPERATOR)[1]
    assert page["more"]
    assert 10 < len(page["entries"]) < 20


def test_followers_hear_of_new_entries(ledger: LedgerProcess) -> None:
    answers: list[Any] = []

    def follow() -> None:
        answers.append(ledger.call("GET", "/api/v1/entries?wait=20&kind=run", OPERATOR))

    follower = threading.Thread(target=follow)
    follower.start()
    time.sleep(0.3)
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1, kind="verdict"))
    time.sleep(0.2)
    assert not answers
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(2, kind="run"))
    follower.join(timeout=10)
    assert [each["seq"] for each in answers[0][1]["entries"]] == [2]


def test_one_namespace_cannot_flood_the_ledger(ledger: LedgerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", ledger.port)
    statuses = []
    for number in range(200):
        body = json.dumps({**event(), "padding": str(number) * 50_000})
        connection.request("POST", "/api/v1/lineage", body, {"Authorization": f"Bearer {TRAINER}"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        if response.status == 429:
            break
    connection.close()
    assert statuses[-1] == 429
    assert statuses.count(201) >= 32
    assert ledger.call("POST", "/api/v1/lineage", NEIGHBOUR, event())[0] == 201
    assert ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1))[0] == 201


def test_slow_bodies_keep_nobody_out(ledger: LedgerProcess) -> None:
    slow = []
    for _ in range(40):
        each = socket.create_connection(("127.0.0.1", ledger.port))
        each.sendall(
            b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            + f"Authorization: Bearer {TRAINER}\r\n\r\n".encode()
            + b"{"
        )
        slow.append(each)
    time.sleep(0.5)
    started = time.monotonic()
    assert ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1))[0] == 201
    assert time.monotonic() - started < 3
    assert ledger.call("POST", "/api/v1/lineage", NEIGHBOUR, event())[0] == 201
    assert b" 408 " in slow[0].recv(100)
    for each in slow:
        each.close()


def test_bodies_without_length_cost_as_much_as_the_largest(ledger: LedgerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", ledger.port)
    headers = {"Authorization": f"Bearer {TRAINER}", "Transfer-Encoding": "chunked"}
    statuses = []
    for _ in range(80):
        connection.request(
            "POST", "/api/v1/lineage", iter([json.dumps(event()).encode()]), headers, encode_chunked=True
        )
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses[0] == 201
    assert statuses[-1] == 429


def test_probes_and_metrics_need_no_token(ledger: LedgerProcess) -> None:
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1))
    ledger.call("GET", "/api/v1/../../etc/passwd", OPERATOR)
    assert ledger.call("GET", "/healthz")[0] == 200
    assert ledger.call("GET", "/readyz")[0] == 200
    text = ledger.call("GET", "/metrics")[1]
    assert "lineward_ledger_size 1.0" in text
    assert 'lineward_ledger_requests_total{code="201",endpoint="/api/v1/entries"} 1.0' in text
    assert "passwd" not in text


def test_unknown_paths_and_methods(refusing: LedgerProcess) -> None:
    assert refusing.call("GET", "/api/v2/entries", OPERATOR)[0] == 404
    for method in ("PUT", "PATCH", "DELETE"):
        assert refusing.call(method, "/api/v1/entries", OPERATOR, entry(1))[0] == 405


def test_tokens_reach_no_log(ledger: LedgerProcess) -> None:
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1))
    ledger.call("GET", "/api/v1/head", TRAINER)
    assert ledger.stop() == 0
    assert not [line for line in ledger.logs if OPERATOR in line or TRAINER in line or "fake." in line]


def test_graceful_stop_lets_followers_go_and_keeps_all(ledger: LedgerProcess) -> None:
    ledger.call("POST", "/api/v1/entries", OPERATOR, entry(1))
    before = ledger.call("GET", "/api/v1/head", OPERATOR)[1]
    threading.Thread(target=ledger.call, args=("GET", "/api/v1/entries?after=1&wait=30", OPERATOR), daemon=True).start()
    time.sleep(0.3)
    started = time.monotonic()
    assert ledger.stop() == 0
    assert time.monotonic() - started < 4
    ledger.start()
    assert ledger.call("GET", "/api/v1/head", OPERATOR)[1] == before


def test_second_ledger_on_the_same_folder_does_not_start(ledger: LedgerProcess) -> None:
    second = subprocess.run(ledger.command("--port", "0"), capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "another ledger uses" in second.stderr


def test_arguments(ledger: LedgerProcess) -> None:
    help_text = subprocess.run(ledger.command("--help"), capture_output=True, text=True, timeout=30, check=False)
    assert help_text.returncode == 0
    assert AUDIENCE in help_text.stdout
    assert "insecure" not in help_text.stdout
    wrong = ledger.command("--writer", "lineward-operator")
    assert subprocess.run(wrong, capture_output=True, timeout=30, check=False).returncode == 2
