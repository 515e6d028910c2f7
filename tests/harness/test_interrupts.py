"""Ctrl-C, a kill and a closed terminal leave nothing running, however often they come and whoever still listens.

The real programs, in processes of their own, with a sleeping process for each part that they would start.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from e2e import command
from e2e.cluster import processes
from e2e.cluster.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
HEEDING = ["env", "--default-signal=INT,HUP"]  # what a shell starts in the background ignores them
PART = ["sh", "-c", "trap 'sleep 0.5; exit' TERM; echo trapped; while :; do sleep 0.1; done"]
"""A part that takes its time to end, so that a second signal comes while it is being stopped."""

CLUSTER = f"""
import sys, time
from pathlib import Path
from e2e import command
from e2e.cluster import cgroups, cleanup, lifecycle, network, processes
from e2e.cluster.layout import Layout
from e2e.cluster.progress import Progress, TimedOutError

# There is one of these on the machine, and it may be a running cluster's.
network.remove = cleanup._remove_traces = lambda _layout: None
cgroups.remove, cgroups.pids = lambda: None, set
layout = Layout(state=Path("state").resolve(), run=Path("run").resolve())

def start():
    with lifecycle._all_or_nothing(layout, Progress()):
        for name in ("etcd", "apiserver", "kubelet-0"):
            processes.start(layout, name, {PART!r})
            while "trapped" not in (layout.logs / f"{{name}}.log").read_text():
                time.sleep(0.01)
        print("started", flush=True)
        if sys.argv[1:] == ["hangs"]:
            raise TimedOutError("it is not ready")
        time.sleep(60)
    return 0

sys.exit(command.run(start, (TimedOutError,)))
"""

PARTS = f"""
import time
from pathlib import Path
from e2e.cluster import processes
from e2e.cluster.layout import Layout
from e2e.cluster.progress import Progress
from e2e.support import setup

layout = Layout(state=Path("state").resolve(), run=Path("run").resolve())

def begin(starting):
    for part in ("cluster", "sigstore"):
        starting(part)
        processes.start(layout, part, {PART!r})
    print("started", flush=True)
    time.sleep(60)

def stop(part):
    Progress().say(f"stopping {{part}}")
    processes.stop([one.pid for one in processes.recorded(layout) if one.name == part])

setup.stop = stop
"""

DEMO = """
import sys
import parts
from e2e.demo import __main__ as demo

parts.setup.cluster = lambda task, starting: parts.begin(starting)
sys.exit(demo.main())
"""

TEST = """
import parts

def test_it(this_run):
    parts.begin(this_run.starting)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    for name, text in (("cluster", CLUSTER), ("parts", PARTS), ("demo", DEMO), ("test_it", TEST)):
        (tmp_path / f"{name}.py").write_text(text)
    made = Layout(state=tmp_path / "state", run=tmp_path / "run")
    yield made
    processes.stop(processes.marked(made), grace=0)


PROGRAMS = {
    "demo": ["demo.py"],
    "cluster": ["cluster.py"],
    "e2e": [
        "-m",
        "pytest",
        "-c",
        "/dev/null",
        "--rootdir=.",
        "-s",
        "-p",
        "no:cacheprovider",
        "-p",
        "e2e.conftest",
        "test_it.py",
    ],
}


def started(layout: Layout, program: Sequence[str], out: int, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Run a program in the layout's folder; everything that it prints goes to `out`, which is closed here."""
    folder = layout.state.parent
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    argv = [*HEEDING, *before, sys.executable, *program]
    try:
        return subprocess.Popen(argv, cwd=folder, env=environment, stdin=out, stdout=out, stderr=out)
    finally:
        os.close(out)


def await_start(reading: int) -> None:
    said = b""
    while b"started" not in said:
        more = os.read(reading, 4096)
        assert more, said
        said += more


@pytest.mark.parametrize("number", command.ENDINGS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_whatever_ends_it_leaves_nothing_running(layout: Layout, program: str, number: signal.Signals) -> None:
    """Three signals, as from a terminal that closes; the later ones find it clearing away."""
    reading, writing = os.pipe()
    with started(layout, PROGRAMS[program], writing) as process:
        await_start(reading)
        for _ in range(3):
            process.send_signal(number)
            time.sleep(0.2)
        code = process.wait(30)
    os.close(reading)
    assert not processes.marked(layout)
    assert code == (pytest.ExitCode.INTERRUPTED if program == "e2e" else 130)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_closed_terminal_leaves_nothing_running(layout: Layout, program: str) -> None:
    ours, theirs = pty.openpty()
    with started(layout, PROGRAMS[program], theirs, ["setsid", "--ctty"]) as process:
        await_start(ours)
        os.close(ours)
        process.wait(30)
    assert not processes.marked(layout)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_reader_that_the_same_ctrl_c_ended_changes_nothing(layout: Layout, program: str) -> None:
    """As in `make demo 2>&1 | tee log`."""
    reading, writing = os.pipe()
    with started(layout, PROGRAMS[program], writing) as process:
        await_start(reading)
        os.close(reading)
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert not processes.marked(layout)


def test_what_is_ignored_stays_ignored(layout: Layout) -> None:
    """Under nohup, a closed terminal ends nothing."""
    reading, writing = os.pipe()
    with started(layout, PROGRAMS["demo"], writing, ["env", "--ignore-signal=HUP"]) as process:
        await_start(reading)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert len(processes.marked(layout)) >= 2
        process.terminate()
        assert process.wait(30) == 130
    os.close(reading)
    assert not processes.marked(layout)


def test_a_start_that_fails_leaves_its_logs_and_nothing_else(layout: Layout) -> None:
    reading, writing = os.pipe()
    with started(layout, ["cluster.py", "hangs"], writing) as process:
        await_start(reading)
        assert process.wait(30) == 1
    os.close(reading)
    assert not processes.marked(layout)
    assert not list(layout.state.iterdir())
    kept = layout.state.parent / "cluster-failed-logs"
    assert {path.stem for path in kept.iterdir()} == {"etcd", "apiserver", "kubelet-0"}
