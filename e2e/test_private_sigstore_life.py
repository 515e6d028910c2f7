"""The private Sigstore ends whole, however it ends, and starts again on what it left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from e2e.sigstore import supervisor
from e2e.sigstore.layout import ENDPOINTS, HOST
from e2e.sigstore.stack import Stack, StackError
from e2e.support.kubectl import wait_for

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def stack(private_sigstore: Stack) -> Iterator[Stack]:
    """Runs before and after each test, whatever the test does to it; nobody else counts on it meanwhile."""
    with private_sigstore.disturbing():
        private_sigstore.up()
        yield private_sigstore
        private_sigstore.up()


def _pid(stack: Stack) -> int | None:
    return supervisor.running_pid(stack.layout.running)


def _listening() -> list[str]:
    found = []
    for name, port in asdict(ENDPOINTS).items():
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                found.append(name)
    return found


def _all_closed() -> bool:
    return not _listening()


def test_everything_that_is_listed_listens(stack: Stack) -> None:
    assert set(_listening()) == set(asdict(ENDPOINTS))
    assert all(stack.status().values())


def test_a_second_start_changes_nothing(stack: Stack) -> None:
    before = _pid(stack)
    assert not stack.up()
    assert _pid(stack) == before


def test_down_leaves_nothing_and_may_be_repeated(stack: Stack) -> None:
    assert stack.down()
    assert _all_closed()
    assert not stack.down()


def test_a_killed_supervisor_takes_all_along(stack: Stack) -> None:
    pid = _pid(stack)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for("all ports closed", _all_closed, seconds=5, every=0.05)
    assert not stack.running
    assert stack.up()


def test_one_dead_service_stops_the_others(stack: Stack) -> None:
    """A half-dead Sigstore fails in ways that nobody can read; none at all is clear."""
    (rekor,) = (pid for pid in _children(stack) if Path(f"/proc/{pid}/exe").readlink().name == "rekor-tiles")
    os.kill(rekor, signal.SIGKILL)
    wait_for("all ports closed", _all_closed, seconds=10, every=0.05)
    assert "rekor ended" in stack.layout.log("supervisor").read_text().splitlines()[-1]


def test_an_interrupted_start_leaves_nothing(stack: Stack) -> None:
    """A start takes half a second; on a busy machine the signal may come after it, and then it is tried again."""
    heeding = ["env", "--default-signal=INT"]  # what a shell starts in the background ignores it
    command = [*heeding, sys.executable, "-m", "e2e.sigstore", "up"]
    for _ in range(10):
        stack.down()
        with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}) as starting:
            wait_for("a supervisor", lambda: stack.running, seconds=30, every=0.005)
            starting.send_signal(signal.SIGINT)
            interrupted = starting.wait(30) == 130
        if interrupted:
            break
    assert interrupted
    assert not stack.running
    assert _all_closed()


def test_a_taken_port_is_named(stack: Stack) -> None:
    stack.down()
    with socket.create_server((HOST, ENDPOINTS.fulcio)):
        with pytest.raises(StackError, match=rf"port {ENDPOINTS.fulcio} \(fulcio\) is taken"):
            stack.up()
        assert _listening() == ["fulcio"]
    assert not stack.running


def _children(stack: Stack) -> list[int]:
    pid = _pid(stack)
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
