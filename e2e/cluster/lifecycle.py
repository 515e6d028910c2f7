"""Starts the cluster in the order in which its parts need each other, and takes it away again."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from e2e import cache, command, prerequisites, tools
from e2e.cluster import addons, cgroups, cleanup, client, config, network, pki, processes, runtime, scratch
from e2e.cluster.layout import API_PORT, ETCD_PEER_PORT, ETCD_PORT, Layout, Node
from e2e.cluster.progress import Progress, TimedOutError, wait_for

TOOLS = ("kubernetes", "etcd", "containerd", "runc", "coredns", "pause")
NEEDS = {
    "openssl": "openssl",
    "ip": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "mount": "mount",
    str(config.CNI_BINARIES / "bridge"): "containernetworking-plugins",
}
_READY_SECONDS = 90.0
_KUBELET, _PROXY, _MANAGERS = (10248, 10250), (10249, 10256), (10257, 10259)
_PORTS = (API_PORT, ETCD_PORT, ETCD_PEER_PORT, *_KUBELET, *_PROXY, *_MANAGERS)


class NotPossibleError(RuntimeError):
    """The cluster can't be started on this machine as it is; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Status:
    """What ``status`` shows: each recorded part and whether it runs, the API server, and each node."""

    parts: dict[str, bool]
    api: bool
    nodes: dict[str, bool]
    leftovers: tuple[str, ...]

    @property
    def running(self) -> bool:
        return bool(self.parts) and all(self.parts.values()) and self.api and all(self.nodes.values())


def status(layout: Layout) -> Status:
    parts = {process.name: processes.alive(process) for process in processes.recorded(layout)}
    api = bool(parts) and client.ready(layout)
    nodes = {node.name: api and client.node_ready(layout, node.name) for node in layout.nodes}
    return Status(parts, api, nodes, () if api else tuple(cleanup.leftovers(layout)))


def up(layout: Layout, progress: Progress) -> None:
    """Start the cluster, or say that it runs; after a crash, clear away what is left of it first.

    Raises:
        NotPossibleError: not root, a port that is taken.
        MissingPrerequisiteError, BuildError, NetworkTakenError, TimedOutError: as their classes say.
    """
    if os.geteuid() != 0:
        raise NotPossibleError("starting a cluster needs root: sudo -E python3 -m e2e.cluster up")
    prerequisites.ensure(NEEDS)
    _refuse_early(layout)
    folders = tools.build(TOOLS)
    with cache.locked(layout.lock, "another process is starting or stopping the cluster, waiting"):
        clear_foreign(layout)
        if _runs_already(layout, progress):
            return
        if cleanup.leftovers(layout):
            progress.say("clearing away what an earlier cluster left")
            cleanup.remove(layout)
            if left := cleanup.leftovers(layout):
                raise NotPossibleError(f"an earlier cluster can't be cleared away: {', '.join(left)}")
        with _all_or_nothing(layout, progress):
            refuse_taken(_PORTS)
            _start(layout, folders, progress)


def parts(layout: Layout) -> set[str]:
    """Names of all daemons of a complete cluster."""
    of_nodes = {f"{part}-{node.name}" for node in layout.nodes for part in ("containerd", "kubelet", "kube-proxy")}
    return {"etcd", "apiserver", "controller-manager", "scheduler"} | of_nodes


def owns(layout: Layout) -> bool:
    """Whether the cluster that is on this machine, or what is left of one, is this layout's."""
    return layout.owner.exists() and Path(layout.owner.read_text()) == layout.state


def down(layout: Layout, progress: Progress) -> list[str]:
    """Take the cluster away; returns what could not be removed."""
    if os.geteuid() != 0:
        raise NotPossibleError("stopping the cluster needs root: sudo -E python3 -m e2e.cluster down")
    with cache.locked(layout.lock, "another process is starting or stopping the cluster, waiting"), _uninterrupted():
        clear_foreign(layout)
        cleanup.remove(layout)
    left = cleanup.leftovers(layout)
    progress.say("nothing is left of the cluster" if not left else "some of it is left")
    return left


def clear_foreign(layout: Layout) -> None:
    """Clear away what a cluster with another cache folder left on this machine.

    Raises:
        NotPossibleError: it still runs.
    """
    if other := _foreign(layout):
        cleanup.remove(other)


def _foreign(layout: Layout) -> Layout | None:
    """A cluster with another cache folder of which something is left. Raises NotPossibleError where it still runs."""
    if not layout.owner.exists():
        return None
    other = replace(layout, state=Path(layout.owner.read_text()))
    if other == layout:
        return None
    if any(processes.alive(process) for process in processes.recorded(other)):
        raise NotPossibleError(
            f"a cluster with its state in {other.state} runs on this machine; stop it first:"
            f" LINEWARD_CACHE={other.state.parent.parent} python3 -m e2e.cluster down"
        )
    return other


def _refuse_early(layout: Layout) -> None:
    """What would stop the start after minutes of building stops it before them."""
    if _foreign(layout) is None and not cleanup.leftovers(layout):
        refuse_taken(_PORTS)


def _runs_already(layout: Layout, progress: Progress) -> bool:
    """Whether a complete cluster runs; one that merely answers slowly is waited for, never cleared away."""
    alive = {process.name for process in processes.recorded(layout) if processes.alive(process)}
    if not parts(layout) <= alive:
        return False
    deadline = progress.seconds + _READY_SECONDS
    while not status(layout).running:
        if progress.seconds > deadline:
            raise NotPossibleError("all parts run, but they don't get ready; look at the logs, then: make cluster-down")
        time.sleep(0.5)
    progress.say("the cluster is already running")
    return True


def _start(layout: Layout, folders: dict[str, Path], progress: Progress) -> None:
    layout.run.mkdir(parents=True, exist_ok=True)
    layout.owner.write_text(str(layout.state))
    layout.config.mkdir(parents=True, exist_ok=True)
    pki.issue(layout)
    for user in ("controller-manager", "scheduler", "kube-proxy"):
        (layout.config / f"{user}.kubeconfig").write_text(config.kubeconfig(layout, user))
    network.create(layout)
    cgroups.create()
    binaries = folders["kubernetes"]
    processes.start(layout, "etcd", [folders["etcd"] / "etcd", *config.etcd(layout)])
    apiserver = processes.start(layout, "apiserver", [binaries / "kube-apiserver", *config.apiserver(layout)])
    progress.say("etcd and API server started")
    for node in layout.nodes:
        _start_containerd(layout, node, folders, progress)
    _load_own_images(layout, folders)
    _wait(layout, "API server", lambda: client.ready(layout), apiserver)
    _write_kubeconfig(layout)
    progress.say("API server ready")
    processes.start(
        layout, "controller-manager", [binaries / "kube-controller-manager", *config.controller_manager(layout)]
    )
    processes.start(layout, "scheduler", [binaries / "kube-scheduler", *config.scheduler(layout)])
    kubelets = {node: _start_kubelet(layout, node, binaries) for node in layout.nodes}
    client.kubectl(layout, "apply", "--server-side", "-f", "-", stdin=addons.manifests(layout))
    for node, kubelet in kubelets.items():
        _wait(layout, f"node {node.name}", lambda node=node: client.node_ready(layout, node.name), kubelet)  # type: ignore[misc]
        progress.say(f"node {node.name} ready")
    kubelet = kubelets[layout.nodes[0]]
    _wait(layout, "CoreDNS", lambda: client.deployment_ready(layout, "kube-system", "coredns"), kubelet)
    progress.say("CoreDNS ready, so names of Services resolve in pods")


def _start_containerd(layout: Layout, node: Node, folders: dict[str, Path], progress: Progress) -> None:
    node.folder.mkdir(parents=True, exist_ok=True)
    node.socket.parent.mkdir(parents=True, exist_ok=True)
    (node.folder / "cni").mkdir(exist_ok=True)
    (node.folder / "cni" / "lineward.conflist").write_text(config.cni(node))
    file = node.folder / "containerd.toml"
    file.write_text(config.containerd_config(node, folders["containerd"], folders["runc"] / "runc"))
    process = processes.start(
        layout,
        f"containerd-{node.name}",
        [folders["containerd"] / "containerd", "--config", file, "--log-level", "warn"],
    )
    _wait(layout, "containerd", lambda: runtime.answers(node), process)
    progress.say(f"containerd of {node.name} ready")


def _load_own_images(layout: Layout, folders: dict[str, Path]) -> None:
    for name, reference in (("pause", config.PAUSE_IMAGE), ("coredns", addons.COREDNS_IMAGE)):
        binary = folders[name] / name
        archive = layout.config / f"{name}.tar"
        scratch.write(binary, reference, archive)
        runtime.load(layout, archive, folders[name].name)
        archive.unlink()


def _start_kubelet(layout: Layout, node: Node, binaries: Path) -> processes.Process:
    (node.folder / "kubelet.json").write_text(config.kubelet_config(layout, node))
    (node.folder / "kubelet.kubeconfig").write_text(config.kubeconfig(layout, node.name))
    proxy = node.folder / "kube-proxy.json"
    proxy.write_text(config.kube_proxy_config(layout, node))
    processes.start(layout, f"kube-proxy-{node.name}", [binaries / "kube-proxy", f"--config={proxy}"])
    return processes.start(layout, f"kubelet-{node.name}", [binaries / "kubelet", *config.kubelet(node)])


def _write_kubeconfig(layout: Layout) -> None:
    part = layout.kubeconfig.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(config.kubeconfig(layout, "admin"))
    part.rename(layout.kubeconfig)


def _wait(layout: Layout, what: str, ready: Callable[[], bool], process: processes.Process) -> None:
    log = layout.logs / f"{process.name}.log"
    wait_for(what, ready, _READY_SECONDS, log, lambda: processes.alive(process))


def refuse_taken(ports: Iterable[int]) -> None:
    """Raise NotPossibleError if another program listens on one of these ports."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise NotPossibleError(
                    f"port {port} is in use by another program (see: ss -ltnp 'sport = :{port}')"
                ) from error


@contextmanager
def _all_or_nothing(layout: Layout, progress: Progress) -> Iterator[None]:
    """Whatever ends the start early, a signal too, leaves nothing running; the logs stay for the reader."""
    command.heed()
    try:
        yield
    except BaseException as error:
        with _uninterrupted():
            progress.say("stopping what was started")
            if isinstance(error, TimedOutError):
                progress.say(f"the logs are kept in {_keep_logs(layout)}")
            cleanup.remove(layout)
        raise


def _keep_logs(layout: Layout) -> Path:
    kept = layout.state.parent / "cluster-failed-logs"
    cleanup.remove_path(kept)
    layout.logs.rename(kept)
    return kept


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not stop the clearing away."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in command.ENDINGS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
