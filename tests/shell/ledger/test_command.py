"""`lineward ledger` against a real ledger process: formats, following, checking, and what happens without one."""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.shell.ledger.fakes import WRITER, LedgerProcess, token

from lineward.domain import lineage
from lineward.domain.lineage import Census, EventType
from lineward.domain.plan import PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict

POD = "6f1c0e0e-4f0d-4d3c-9a44-3f7f1f3f9a01"
RUN = "0b8f2f6e-93c5-4c86-8f0e-0d7f3b8ad302"
OPERATOR = token(WRITER)
TRAINER = token("system:serviceaccount:ml:default", POD)
AT = datetime(2026, 11, 22, 18, tzinfo=UTC)


def event() -> lineage.Json:
    owner = lineage.workload_run("c1", "ml", "Job", "train", RUN)
    volume = PlannedVolume("data", "/d", "credit", dataset="german-credit", version="1.0.0")
    verdict = VolumeVerdict("data", Verdict.VERIFIED, Reason.VERIFIED)
    read = lineage.input_dataset("c1", "ml", volume, verdict, Census(1, 1, changed=True, at=AT))
    return lineage.run_event(
        EventType.START, lineage.Run(POD, owner.namespace, "Job/train.pod", "POD", owner), AT, [read]
    )


def verdict(number: int, **body: Any) -> lineage.Json:
    return {"id": f"v{number}", "kind": "verdict", "subject": "ml/Pod/train-x", "run": RUN, "body": body}


def fill(ledger: LedgerProcess) -> LedgerProcess:
    said = {"verdict": "Refused", "reason": "ContentDiffers", "message": "train.csv modified\x1b[2J"}
    assert ledger.call("POST", "/api/v1/entries", OPERATOR, verdict(1, **said))[0] == 201
    assert ledger.call("POST", "/api/v1/lineage", TRAINER, event())[0] == 201
    return ledger


@pytest.fixture(scope="module")
def filled(shared: LedgerProcess) -> LedgerProcess:
    """For tests that only read."""
    return fill(shared)


@pytest.fixture
def growing(ledger: LedgerProcess) -> LedgerProcess:
    """For tests that add to it."""
    return fill(ledger)


def command(ledger: LedgerProcess, *arguments: str, bearer: str = OPERATOR, url: str = "") -> list[str]:
    file = ledger.folder / "reader-token"
    file.write_text(bearer)
    where = ["--url", url or f"http://127.0.0.1:{ledger.port}", "--token-file", str(file)]
    return [sys.executable, "-m", "lineward.cli.main", "ledger", *arguments, *where]


def read(ledger: LedgerProcess, *arguments: str, bearer: str = OPERATOR, url: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        command(ledger, *arguments, bearer=bearer, url=url), capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_head_in_all_formats(filled: LedgerProcess) -> None:
    expected = filled.call("GET", "/api/v1/head", OPERATOR)[1]
    assert json.loads(read(filled, "head", "-o", "json")[1]) == expected
    assert yaml.safe_load(read(filled, "head", "-o", "yaml")[1]) == expected
    assert expected["root"] in read(filled, "head")[1]


def test_entries_as_table_are_safe_for_a_terminal(filled: LedgerProcess) -> None:
    code, out, _ = read(filled, "entries")
    assert code == 0
    header, first, second = out.splitlines()
    assert header.split() == ["SEQ", "TIME", "KIND", "TRUST", "SUBJECT", "SAYS"]
    assert first.endswith("Refused: ContentDiffers: train.csv modified?[2J")
    assert second.split()[2:] == ["lineage", "observed", "k8s://c1/ml/Job/train.pod", "START"]


def test_entries_as_json_and_yaml(filled: LedgerProcess) -> None:
    found = json.loads(read(filled, "entries", "-o", "json")[1])
    assert [each["seq"] for each in found] == [1, 2]
    assert list(yaml.safe_load_all(read(filled, "entries", "-o", "yaml")[1])) == found


@pytest.mark.parametrize(
    ("arguments", "seqs"),
    [
        (["--kind", "verdict"], [1]),
        (["--after", "1"], [2]),
        (["--limit", "1"], [1]),
        (["--limit", "0"], [1, 2]),
        (["--run", RUN], [1, 2]),
        (["--run", POD], [2]),
    ],
)
def test_filters(filled: LedgerProcess, arguments: list[str], seqs: list[int]) -> None:
    found = json.loads(read(filled, "entries", "-o", "json", *arguments)[1])
    assert [each["seq"] for each in found] == seqs


def test_events_are_what_was_received(filled: LedgerProcess) -> None:
    assert json.loads(read(filled, "events", "-o", "json")[1]) == [event()]
    assert "german-credit 1.0.0 Verified changed during the run" in read(filled, "events")[1]


def test_more_than_a_page(ledger: LedgerProcess) -> None:
    for number in range(30):
        body = {"padding": "x" * 250_000}
        assert ledger.call("POST", "/api/v1/entries", OPERATOR, verdict(number, **body))[0] == 201
    assert len(json.loads(read(ledger, "entries", "-o", "json", "--limit", "25")[1])) == 25
    assert len(json.loads(read(ledger, "entries", "-o", "json", "--limit", "0")[1])) == 30
    assert read(ledger, "check")[0] == 0


def test_follow_prints_what_comes(growing: LedgerProcess) -> None:
    process = subprocess.Popen(
        command(growing, "follow", "-o", "json", "--kind", "verdict"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        lines: list[str] = []
        threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True).start()
        number, until = 100, time.monotonic() + 30
        while not lines and time.monotonic() < until:
            number += 1
            growing.call("POST", "/api/v1/entries", OPERATOR, verdict(number, verdict="Verified"))
            time.sleep(0.3)
        assert json.loads(lines[0])["kind"] == "verdict"
        assert json.loads(lines[0])["seq"] > 2
    finally:
        process.kill()
        process.wait()


def test_check_says_whether_a_kept_head_still_holds(growing: LedgerProcess) -> None:
    kept = growing.call("GET", "/api/v1/head", OPERATOR)[1]
    growing.call("POST", "/api/v1/entries", OPERATOR, verdict(2))
    assert read(growing, "check", "--head", f"{kept['size']}:{kept['root']}")[0] == 0
    assert read(growing, "check", "--head", f"1:{kept['root']}")[0] == 1
    assert read(growing, "check", "--head", f"9:{kept['root']}")[0] == 1
    code, out, _ = read(growing, "check", "-o", "json", "--head", f"2:sha256:{'0' * 64}")
    assert (code, json.loads(out)["consistent"]) == (1, False)


def test_check_by_somebody_who_sees_a_part_is_no_check(growing: LedgerProcess) -> None:
    other = token("system:serviceaccount:web:default", POD)
    growing.call("POST", "/api/v1/lineage", other, event())
    code, _, error = read(growing, "check", bearer=other)
    assert code == 2
    assert "may not read all" in error


@contextmanager
def lying(ledger: LedgerProcess, change: bytes, to: bytes) -> Iterator[str]:
    """A server between ledger and reader that changes what entries say; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {"Authorization": self.headers["Authorization"]}
            url = f"http://127.0.0.1:{ledger.port}{self.path}"
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                body = answer.read().replace(change, to)
                self.send_response(200)
                for name in ("X-Lineward-After", "X-Lineward-More"):
                    if answer.headers[name]:
                        self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_check_finds_an_entry_that_was_changed(filled: LedgerProcess) -> None:
    with lying(filled, b'"Refused"', b'"Verified"') as url:
        code, out, _ = read(filled, "check", url=url)
    assert code == 1
    assert "its head says" in out


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ftp://x", "nonsense"])
def test_no_ledger_is_an_error_in_one_line(filled: LedgerProcess, url: str) -> None:
    code, out, error = read(filled, "head", url=url)
    assert (code, out, len(error.splitlines())) == (2, "", 1)


def test_refused_token_is_explained(filled: LedgerProcess) -> None:
    code, _, error = read(filled, "entries", bearer=token(WRITER, audience="other"))
    assert code == 2
    assert "HTTP 401" in error
    assert "audience" in error


def test_without_kubeconfig_it_says_so(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "lineward.cli.main", "ledger", "head"]
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=60, check=False, env={"KUBECONFIG": str(tmp_path / "none")}
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "API server" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["entries", "--limit", "x"], ["check", "--head", "5"], ["show"]])
def test_wrong_arguments_end_in_64(arguments: list[str]) -> None:
    line = [sys.executable, "-m", "lineward.cli.main", "ledger", *arguments]
    assert subprocess.run(line, capture_output=True, timeout=60, check=False).returncode == 64
