"""Takes a cluster away completely, whether it runs, half runs, or was killed."""

import os
import socket
import subprocess
from pathlib import Path

from e2e.cluster import cgroups, network, processes
from e2e.cluster.layout import NETWORK_NAME, Layout

_SHIM_SOCKETS = Path("/run/containerd/s")
_CNI_RESULTS = Path("/var/lib/cni/results")
_CONTAINER_LOGS = Path("/var/log/containers")
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
# The kubelet first, or it would start again what stops; etcd last, because all others write to it.
_FIRST, _LAST = ("kubelet", "kube-proxy"), ("apiserver", "etcd")


def remove(layout: Layout) -> None:
    """Stop every process, unmount, and remove all but the CA; harmless when nothing is there."""
    _stop(layout)
    _unmount(layout)
    network.remove(layout)
    cgroups.remove()
    _remove_traces(layout)
    _remove_state(layout)


def leftovers(layout: Layout) -> list[str]:
    """What is left of a cluster on this machine, in words; empty after ``remove``."""
    running = [f"process {pid}" for pid in (*processes.marked(layout), *sorted(cgroups.pids()))]
    mounts = [f"mount {path}" for path in _mounts(layout)]
    files = [str(path) for path in layout.state.glob("*") if path != layout.pki] if layout.state.exists() else []
    return running + mounts + network.leftovers() + cgroups.leftovers() + files


def _stop(layout: Layout) -> None:
    records = {process.name: process for process in processes.recorded(layout) if processes.alive(process)}
    early = [record.pid for name, record in records.items() if name.startswith(_FIRST)]
    late = [record.pid for name, record in records.items() if name in _LAST]
    processes.stop(early)
    processes.stop(cgroups.pids(), grace=0)
    processes.stop(set(processes.marked(layout)) - set(late))
    processes.stop(cgroups.pids(), grace=0)
    for name in _LAST:
        if name in records:
            processes.stop([records[name].pid])
    processes.stop(processes.marked(layout))


def _mounts(layout: Layout) -> list[Path]:
    """Mount points below our folders, innermost first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split(" ")[4].encode().decode("unicode_escape"))
        if point.is_relative_to(layout.state) or point.is_relative_to(layout.run):
            points.append(point)
    return sorted(points, key=lambda path: len(path.parts), reverse=True)


def _unmount(layout: Layout) -> None:
    for point in _mounts(layout):
        if subprocess.run(["umount", str(point)], check=False, capture_output=True).returncode:
            subprocess.run(["umount", "--lazy", str(point)], check=False, capture_output=True)


def _remove_state(layout: Layout) -> None:
    if _mounts(layout):  # removing through a mount would empty what is mounted there
        return
    for path in layout.state.glob("*") if layout.state.exists() else ():
        if path != layout.pki:
            remove_path(path)
    remove_path(layout.run)


def _remove_traces(layout: Layout) -> None:
    """Files that the daemons insist on having outside our folders."""
    for path in _CNI_RESULTS.glob(f"{NETWORK_NAME}-*-eth0"):
        sandbox = path.name.removeprefix(f"{NETWORK_NAME}-").removesuffix("-eth0")
        path.unlink(missing_ok=True)
        (_CNI_RESULTS / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
    for path in _CONTAINER_LOGS.glob("*.log"):
        if path.is_symlink() and path.readlink().is_relative_to(layout.state):
            path.unlink()
    for path in (*_SHIM_SOCKETS.glob("*"), *_DEVICE_PLUGINS.glob("*.sock")):
        if path.is_socket() and not _listening(path):
            path.unlink()


def remove_path(path: Path) -> None:
    """Remove a file or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        # A node with images has some 100,000 files, and Python takes half a minute for them.
        subprocess.run(["rm", "-rf", "--", str(path)], check=True)
    else:
        path.unlink(missing_ok=True)


def _listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(os.fspath(path))
        except OSError:
            return False
    return True
