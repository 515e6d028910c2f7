"""Only the very process that was started is ever stopped: not its pid's next owner, and nothing unmarked."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from e2e.cluster import lifecycle, processes
from e2e.cluster.layout import Layout
from e2e.cluster.progress import Progress

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout(state=tmp_path / "state", run=tmp_path / "run")
    yield made
    processes.stop(processes.marked(made), grace=0)


def marked(layout: Layout, count: int = 1) -> list[int]:
    """The marked pids, once there are ``count``: a new process has its environment a moment after it exists."""
    deadline = time.monotonic() + 10
    while len(found := processes.marked(layout)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_a_started_process_is_recorded_found_and_stopped(layout: Layout) -> None:
    process = processes.start(layout, "sleeper", SLEEP)
    assert processes.recorded(layout) == [process]
    assert processes.alive(process)
    assert marked(layout) == [process.pid]
    processes.stop([process.pid])
    assert not processes.alive(process)
    assert processes.marked(layout) == []


def test_another_process_with_the_same_pid_is_not_ours(layout: Layout) -> None:
    process = processes.start(layout, "sleeper", SLEEP)
    assert not processes.alive(replace(process, started=process.started + 1))
    assert not processes.alive(replace(process, boot="an earlier boot"))


def test_what_a_crash_kept_from_the_records_is_found_by_its_marker(layout: Layout) -> None:
    process = processes.start(layout, "sleeper", SLEEP)
    (layout.processes / "sleeper.json").write_text('{"name": "sle')
    assert processes.recorded(layout) == []
    assert marked(layout) == [process.pid]


def test_children_carry_the_marker_and_others_do_not(layout: Layout, tmp_path: Path) -> None:
    spawn = f"import subprocess, time; subprocess.Popen({SLEEP!r}); time.sleep(60)"
    parent = processes.start(layout, "parent", [sys.executable, "-c", spawn])
    with subprocess.Popen(SLEEP) as stranger:
        assert marked(layout, 2)[0] == parent.pid
        processes.stop(processes.marked(layout))
        assert stranger.poll() is None
        stranger.kill()
    assert processes.marked(Layout(state=tmp_path / "another")) == []


def test_a_deaf_process_is_killed_after_the_grace(layout: Layout) -> None:
    process = processes.start(layout, "deaf", STUBBORN)
    while "deaf" not in (layout.logs / "deaf.log").read_text():
        assert processes.alive(process)
    processes.stop([process.pid], grace=0.2)
    assert not processes.alive(process)


def test_a_record_of_a_dead_process_stays_readable(layout: Layout) -> None:
    process = processes.start(layout, "short", [sys.executable, "-c", ""])
    processes.stop([process.pid])
    assert processes.recorded(layout) == [process]
    assert json.loads((layout.processes / "short.json").read_text()) == asdict(process)
    assert processes.started(process.pid) is None


def test_output_goes_to_the_log(layout: Layout) -> None:
    process = processes.start(
        layout, "talker", [sys.executable, "-c", "import os; print(os.environ['LINEWARD_CLUSTER'])"]
    )
    while processes.alive(process):
        pass
    assert (layout.logs / "talker.log").read_text() == f"{layout.state}\n"


def test_this_process_is_seen_as_running() -> None:
    assert processes.started(os.getpid())


def test_a_running_cluster_of_another_cache_is_left_alone(layout: Layout, tmp_path: Path) -> None:
    process = processes.start(layout, "etcd", SLEEP)
    layout.run.mkdir()
    layout.owner.write_text(str(layout.state))
    lifecycle.clear_foreign(layout)
    with pytest.raises(lifecycle.NotPossibleError, match=str(layout.state)):
        lifecycle.clear_foreign(replace(layout, state=tmp_path / "other"))
    assert processes.alive(process)


@pytest.mark.skipif(os.geteuid() != 0, reason="a cluster needs root")
def test_another_cluster_is_named_before_anything_is_built(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(layout, state=tmp_path / "other" / "cluster")
    processes.start(other, "sleeper", SLEEP)
    layout.owner.parent.mkdir(parents=True)
    layout.owner.write_text(str(other.state))
    built: list[object] = []
    monkeypatch.setattr("e2e.tools.build", built.append)
    monkeypatch.setattr("e2e.prerequisites.ensure", lambda _: None)
    try:
        with pytest.raises(lifecycle.NotPossibleError, match=f"{other.state} runs on this machine"):
            lifecycle.up(layout, Progress())
    finally:
        processes.stop(processes.marked(other), grace=0)
    assert built == []
