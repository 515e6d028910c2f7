"""A start that can't succeed says why, soon, with the words of the part that failed."""

import socket
import time
from pathlib import Path

import pytest
from e2e.cluster import lifecycle
from e2e.cluster.layout import Layout
from e2e.cluster.progress import TimedOutError, tail, wait_for


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(lifecycle.NotPossibleError, match=f"port {port} "):
            lifecycle.refuse_taken([port])
    lifecycle.refuse_taken([port])


def test_waiting_ends_when_it_is_ready(tmp_path: Path) -> None:
    answers = iter([False, False, True])
    wait_for("it", lambda: next(answers), 10, tmp_path / "log", lambda: True)
    assert next(answers, None) is None


def test_a_part_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("first\nF0000 no such flag\n")
    before = time.monotonic()
    with pytest.raises(TimedOutError, match=r"part has ended.*\n.*\n.*no such flag"):
        wait_for("part", lambda: False, 60, log, lambda: False)
    assert time.monotonic() - before < 10


def test_a_part_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(TimedOutError, match="not ready after 0 s"):
        wait_for("part", lambda: False, 0.2, tmp_path / "log", lambda: True)


def test_a_log_that_is_not_there_has_no_last_lines(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing", 5) == ""


def test_the_status_needs_no_program_that_a_start_would_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not lifecycle.status(Layout(state=tmp_path / "state", run=tmp_path / "run")).running
