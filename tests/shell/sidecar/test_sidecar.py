"""The sidecar as a process: what it tells to whom, that nobody ever waits for it, and that it sees data change."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lineward.domain import lineage
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import PodVerdict, Verdict, VolumeVerdict

POD = "6f1c0e0e-4f0d-4d3c-9a44-3f7f1f3f9a01"
RUN = "0b8f2f6e-93c5-4c86-8f0e-0d7f3b8ad302"
ROOT = "sha256:" + "ab" * 32
WALKED = 'lineward_censuses_total{result="same",volume="data"}'
T = TypeVar("T")
CHANGED = 'lineward_data_changed{volume="data"} 1.0'


def until(condition: Callable[[], T], seconds: float = 20) -> T:
    """Wait for a condition to hold and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return value


class Receiver:
    """An HTTP server that notes events; answers with `status`, after `delay` seconds."""

    def __init__(self, port: int = 0) -> None:
        self.events: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.status = 201
        self.delay = 0.0
        self.location = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers)))
                time.sleep(outer.delay)
                if outer.status == 201:
                    outer.events.append(json.loads(body))
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def types(self) -> list[str]:
        return [event["eventType"] for event in self.events]

    def censuses(self) -> list[dict[str, Any]]:
        facets = [event["inputs"][0]["inputFacets"] for event in self.events]
        return [each["lineward_census"] for each in facets if "lineward_census" in each]


@dataclass
class Sidecar:
    """A pod's folder and the sidecar that runs in it."""

    folder: Path
    plan: Plan
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    logs: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self, *, wait: bool = True) -> None:
        command = [sys.executable, "-I", "-m", "lineward_sidecar.main", "--plan", self.plan.encode()]
        command += ["--result", str(self.folder / "verdict.json"), "--spool", str(self.folder / "spool")]
        command += ["--token", str(self.folder / "token"), "--metrics-port", "0", "--cluster", "c1", *self.arguments]
        pod = {"LINEWARD_POD_UID": POD, "LINEWARD_POD_NAME": "train-x", "LINEWARD_POD_NAMESPACE": "ml"}
        environment = {**os.environ, **pod, **self.environment}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.logs.clear()
        threading.Thread(target=self._collect, args=(self.process,), daemon=True).start()
        if wait:
            self.port = until(lambda: self.log("observing"))["metricsPort"]

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        for line in process.stderr:
            self.logs.append(json.loads(line))

    def log(self, message: str) -> dict[str, Any]:
        return next((line for line in self.logs if message in line["message"]), {})

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> float:
        """Send SIGTERM; returns how many seconds it took to end, with exit code 0."""
        assert self.process
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=20) == 0
        return time.monotonic() - started

    def metrics(self) -> str:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def wait_for_metric(self, text: str) -> None:
        until(lambda: text in self.metrics())

    def spooled(self) -> list[Path]:
        return list((self.folder / "spool" / "ledger").glob("*.json"))


@pytest.fixture
def ledger() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def sidecar(tmp_path: Path, ledger: Receiver) -> Iterator[Sidecar]:
    data = tmp_path / "data"
    (data / "classes").mkdir(parents=True)
    (data / "train.csv").write_text("1,2\n")
    (data / "classes" / "a.txt").write_text("a")
    volume = PlannedVolume("data", str(data), "credit", "german-credit-1.0.0", "german-credit", "1.0.0", root=ROOT)
    output = PlannedOutput("out", str(tmp_path / "out"), "model-out")
    plan = Plan("enforce", ("p",), (volume,), (output,), owner_kind="Job", owner_name="train", owner_uid=RUN)
    found = VolumeVerdict("data", Verdict.VERIFIED, Reason.VERIFIED, files=2, bytes=5, seconds=0.25, observed=ROOT)
    verdict = PodVerdict("2 files", Verdict.VERIFIED, Reason.VERIFIED, "enforce", (found,))
    (tmp_path / "verdict.json").write_text(verdict.encode())
    (tmp_path / "token").write_text("the-token\n")
    made = Sidecar(tmp_path, plan, ["--ledger-url", ledger.url, "--census-seconds", "0.2"])
    yield made
    made.kill()


def test_start_says_which_run_reads_what(sidecar: Sidecar, ledger: Receiver) -> None:
    sidecar.start()
    event = until(lambda: ledger.events)[0]
    assert lineage.summarise(event) == lineage.EventSummary(POD, RUN, "k8s://c1/ml/Job/train.pod", "START")
    (read,) = event["inputs"]
    assert (read["name"], read["facets"]["lineward_integrity"]["root"]) == ("german-credit", ROOT)
    assert read["inputFacets"]["lineward_verification"]["verdict"] == "Verified"
    assert [output["name"] for output in event["outputs"]] == ["model-out"]
    path, headers = ledger.requests[0]
    assert (path, headers["Authorization"]) == ("/api/v1/lineage", "Bearer the-token")


def test_running_comes_from_time_to_time_with_the_census(sidecar: Sidecar, ledger: Receiver) -> None:
    sidecar.arguments += ["--running-seconds", "0.5"]
    sidecar.start()
    census = until(ledger.censuses)[0]
    assert ledger.types()[:2] == ["START", "RUNNING"]
    assert (census["files"], census["bytes"], census["changed"]) == (2, 5, False)


def test_metrics_show_the_verdict(sidecar: Sidecar) -> None:
    sidecar.start()
    text = sidecar.metrics()
    assert 'lineward_volume_verified{dataset="german-credit",version="1.0.0",volume="data"} 1.0' in text
    assert 'lineward_volume_bytes{volume="data"} 5.0' in text
    assert 'lineward_volume_files{volume="data"} 2.0' in text
    assert 'lineward_volume_hash_seconds{volume="data"} 0.25' in text
    assert 'lineward_data_changed{volume="data"} 0.0' in text
    sidecar.wait_for_metric('lineward_ledger_spooled_events{receiver="ledger"} 0.0')


def write_new(data: Path) -> None:
    (data / "classes" / "b.txt").write_text("")


def rewrite_same_size(data: Path) -> None:
    (data / "train.csv").write_text("3,4\n")


@pytest.mark.parametrize(
    "change",
    [
        write_new,
        rewrite_same_size,
        lambda data: (data / "train.csv").unlink(),
        lambda data: (data / "train.csv").rename(data / "trein.csv"),
        lambda data: (data / "empty").mkdir(),
        lambda data: (data / "link").symlink_to("/etc/passwd"),
    ],
)
def test_change_in_the_data_is_told_at_once(
    sidecar: Sidecar, ledger: Receiver, change: Callable[[Path], object]
) -> None:
    sidecar.start()
    sidecar.wait_for_metric(WALKED)
    change(sidecar.data)
    until(lambda: len(ledger.events) == 2)
    (census,) = ledger.censuses()
    assert (ledger.events[1]["eventType"], census["changed"]) == ("RUNNING", True)
    assert census["reason"] == "DataChangedDuringRun"
    assert CHANGED in sidecar.metrics()
    time.sleep(0.8)
    assert len(ledger.events) == 2


def test_change_that_is_undone_stays_known(sidecar: Sidecar, ledger: Receiver) -> None:
    sidecar.start()
    sidecar.wait_for_metric(WALKED)
    write_new(sidecar.data)
    until(lambda: len(ledger.events) == 2)
    (sidecar.data / "classes" / "b.txt").unlink()
    until(lambda: len(ledger.events) == 3)
    assert CHANGED in sidecar.metrics()


def test_restart_neither_repeats_start_nor_forgets_the_beginning(sidecar: Sidecar, ledger: Receiver) -> None:
    sidecar.start()
    until((sidecar.folder / "spool" / "first-census.json").exists)
    until(lambda: ledger.types() == ["START"])
    sidecar.kill()
    write_new(sidecar.data)
    sidecar.start()
    until(lambda: any(census["changed"] for census in ledger.censuses()))
    assert ledger.types().count("START") == 1


def test_sigterm_ends_it_at_once(sidecar: Sidecar, ledger: Receiver) -> None:
    sidecar.start()
    until(lambda: ledger.events)
    sidecar.wait_for_metric('lineward_ledger_spooled_events{receiver="ledger"} 0.0')
    assert sidecar.stop() < 0.5


def test_sigterm_counts_from_the_first_moment(sidecar: Sidecar) -> None:
    sidecar.start(wait=False)
    assert sidecar.process
    status = Path(f"/proc/{sidecar.process.pid}/status")

    def caught() -> bool:
        line = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))

    until(caught)
    assert not sidecar.logs
    assert sidecar.stop() < 0.5


def test_receiver_that_hangs_delays_the_end_by_two_seconds_at_most(sidecar: Sidecar, ledger: Receiver) -> None:
    ledger.delay = 60
    sidecar.start()
    until(lambda: ledger.requests)
    assert sidecar.stop() < 3


def test_receiver_that_is_away_gets_everything_later(sidecar: Sidecar, ledger: Receiver) -> None:
    ledger.close()
    sidecar.arguments += ["--running-seconds", "0.3"]
    sidecar.start()
    sidecar.wait_for_metric('lineward_ledger_spooled_events{receiver="ledger"} 3.0')
    assert len(sidecar.spooled()) >= 3
    back = Receiver(ledger.port)
    try:
        until(lambda: len(back.events) >= 3)
        assert back.types()[:2] == ["START", "RUNNING"]
        times = [event["eventTime"] for event in back.events]
        assert times == sorted(times)
    finally:
        back.close()


def test_what_waited_outlives_the_process(sidecar: Sidecar, ledger: Receiver) -> None:
    ledger.close()
    sidecar.start()
    until(sidecar.spooled)
    assert sidecar.stop() < 3
    back = Receiver(ledger.port)
    try:
        sidecar.start()
        until(lambda: back.types()[:1] == ["START"])
    finally:
        back.close()


@pytest.mark.parametrize("status", [401, 429, 503])
def test_refusal_for_now_is_tried_again(sidecar: Sidecar, ledger: Receiver, status: int) -> None:
    ledger.status = status
    sidecar.start()
    until(lambda: ledger.requests)
    ledger.status = 201
    until(lambda: ledger.types() == ["START"])


@pytest.mark.parametrize("status", [400, 409])
def test_refusal_for_ever_does_not_block_what_follows(sidecar: Sidecar, ledger: Receiver, status: int) -> None:
    ledger.status = status
    sidecar.arguments += ["--running-seconds", "1"]
    sidecar.start()
    until(lambda: sidecar.log("will not take"))
    ledger.status = 201
    until(lambda: "RUNNING" in ledger.types())


def test_second_receiver_gets_events_but_no_token(sidecar: Sidecar, ledger: Receiver) -> None:
    other = Receiver()
    try:
        sidecar.arguments += ["--openlineage-url", f"{other.url}/api/v1/other"]
        ledger.status = 503
        sidecar.start()
        until(lambda: other.types() == ["START"])
        path, headers = other.requests[0]
        assert path == "/api/v1/other"
        assert "Authorization" not in headers
    finally:
        other.close()


def test_neither_redirect_nor_proxy_gets_the_token(sidecar: Sidecar, ledger: Receiver) -> None:
    thief = Receiver()
    try:
        sidecar.environment = {"http_proxy": thief.url, "HTTP_PROXY": thief.url, "all_proxy": thief.url}
        ledger.status, ledger.location = 307, f"{thief.url}/api/v1/lineage"
        sidecar.start()
        until(lambda: ledger.requests)
        time.sleep(0.5)
        ledger.status, ledger.location = 201, ""
        until(lambda: ledger.types() == ["START"])
        assert not thief.requests
    finally:
        thief.close()


def test_without_ledger_and_verdict_it_still_watches(sidecar: Sidecar) -> None:
    sidecar.arguments = ["--census-seconds", "0.2"]
    (sidecar.folder / "verdict.json").unlink()
    (sidecar.folder / "token").unlink()
    sidecar.start()
    sidecar.wait_for_metric(WALKED)
    write_new(sidecar.data)
    sidecar.wait_for_metric(CHANGED)
    text = sidecar.metrics()
    assert 'lineward_volume_verified{dataset="german-credit",version="1.0.0",volume="data"} 0.0' in text
    assert sidecar.stop() < 0.5


def test_taken_port_harms_nothing_else(sidecar: Sidecar, ledger: Receiver) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("", 0))
        taken.listen()
        sidecar.arguments += ["--metrics-port", str(taken.getsockname()[1])]
        sidecar.start(wait=False)
        until(lambda: ledger.events)
        assert sidecar.log("no metrics")
        until(lambda: not sidecar.spooled())
        assert sidecar.stop() < 0.5


@pytest.mark.parametrize("broken", ["plan", "environment", "spool", "volume"])
def test_whatever_is_broken_the_end_is_quick(sidecar: Sidecar, broken: str) -> None:
    if broken == "plan":
        sidecar.arguments += ["--plan", "{}"]
    if broken == "environment":
        sidecar.environment = {"LINEWARD_POD_UID": ""}
    if broken == "spool":
        sidecar.arguments += ["--spool", "/proc/nowhere"]
    if broken == "volume":
        sidecar.plan = replace(sidecar.plan, volumes=(replace(sidecar.plan.volumes[0], path="/nonexistent"),))
    sidecar.start(wait=False)
    until(lambda: sidecar.logs)
    time.sleep(0.5)
    assert sidecar.process
    assert sidecar.process.poll() is None
    assert sidecar.stop() < 0.5


def test_only_metrics_are_served_and_connections_are_few(sidecar: Sidecar) -> None:
    sidecar.start()
    assert sidecar.process
    threads = Path(f"/proc/{sidecar.process.pid}/task")
    before = len(list(threads.iterdir()))
    idle = [socket.create_connection(("127.0.0.1", sidecar.port)) for _ in range(12)]
    time.sleep(0.3)
    assert len(list(threads.iterdir())) <= before + 8
    for each in idle:
        each.close()
    until(lambda: "lineward_volume_verified" in _read(sidecar))
    with closing(http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=10)) as connection:
        connection.request("GET", "/../etc/passwd")
        assert connection.getresponse().status == 404


def _read(sidecar: Sidecar) -> str:
    try:
        return sidecar.metrics()
    except (OSError, http.client.HTTPException):
        return ""


def test_tokens_reach_no_log(sidecar: Sidecar, ledger: Receiver) -> None:
    ledger.status = 401
    sidecar.start()
    until(lambda: ledger.requests)
    sidecar.stop()
    assert "the-token" not in json.dumps(sidecar.logs)
