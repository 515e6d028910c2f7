"""A start of the cluster that is interrupted leaves nothing, wherever it is.

Bridge, ports, packet filter and control group exist once on a machine, so this start has namespaces of its own for
them, without the mounts of the cluster of the other tests, which goes on beside it. Without real control groups no
kubelet would run in there; what it would leave is the business of `down`, which the end of every run of these tests
goes through.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import command
from e2e.cluster import processes
from e2e.cluster.layout import Layout

ROOT = Path(__file__).resolve().parents[1]
APART = """
set -e
for mount in $(awk '$5 ~ "^/run/lineward/" {print $5}' /proc/self/mountinfo | sort -r); do
  umount --lazy "$mount" 2>/dev/null || true  # it goes by itself where its pod ends just now
done
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /sys/fs/cgroup
touch /sys/fs/cgroup/cgroup.controllers
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops; do
  cp /proc/sys/$setting /run/setting && mount --bind /run/setting /proc/sys/$setting && rm /run/setting
done
ip link set lo up
exec "$@"
"""
START = """
import json, sys
from pathlib import Path
from e2e import command
from e2e.cluster import cleanup, lifecycle
from e2e.cluster.layout import Layout
from e2e.cluster.progress import Progress

layout = Layout(state=Path(sys.argv[1]))
code = command.run(lambda: lifecycle.up(layout, Progress()) or 0, ())
print(json.dumps(cleanup.leftovers(layout)))
sys.exit(code)
"""
STEPS = {
    "etcd and API server started": {"etcd", "apiserver"},
    "API server ready": {"etcd", "apiserver", "containerd-lineward-0"},
}
"""What is interrupted when it has just been said, and what runs then."""


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout(state=tmp_path / "cluster")
    yield made
    processes.stop(processes.marked(made), grace=0)


@pytest.mark.parametrize(("step", "number"), [*zip(STEPS, command.ENDINGS[:2], strict=True)])
def test_an_interrupted_start_leaves_nothing(layout: Layout, step: str, number: signal.Signals) -> None:
    apart = ["unshare", "--net", "--mount", "--propagation=private", "--", "sh", "-c", APART, "sh"]
    heeding = ["env", f"PYTHONPATH={ROOT}", "--default-signal=INT"]  # what a shell starts in the background ignores it
    start = [*heeding, *apart, sys.executable, "-c", START, str(layout.state)]
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while step not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        assert STEPS[step] <= {one.name for one in processes.recorded(layout) if processes.alive(one)}
        process.send_signal(number)
        answer, rest = process.communicate(timeout=60)
    assert process.returncode == 130, said + rest
    assert json.loads(answer) == []
    assert not processes.marked(layout)
    assert {path.name for path in layout.state.iterdir()} == {"pki"}
