"""Names, addresses and folders of the cluster, in one place; more nodes are more ``Node`` values."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from e2e import cache

BRIDGE = "lineward0"
PODS = IPv4Network("10.213.0.0/16")
SERVICES = IPv4Network("10.96.0.0/16")
KUBERNETES_SERVICE = SERVICES[1]
DNS_SERVICE = SERVICES[10]
API_PORT = 6443
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
ISSUER = f"https://127.0.0.1:{API_PORT}"
CGROUP = "lineward"
NETWORK_NAME = "lineward"
CONTEXT = "lineward"
MARKER = "LINEWARD_CLUSTER"


@dataclass(frozen=True, slots=True)
class Node:
    """One kubelet with its containerd; the first runs on the host itself, whose bridge address is its own."""

    index: int
    state: Path
    run: Path

    @property
    def name(self) -> str:
        return f"lineward-{self.index}"

    @property
    def address(self) -> IPv4Address:
        return PODS[256 * self.index + 1]

    @property
    def pod_range(self) -> tuple[IPv4Address, IPv4Address]:
        """First and last pod address; the bridge spans all nodes, so that they differ only in their range."""
        return PODS[256 * self.index + 10], PODS[256 * self.index + 254]

    @property
    def folder(self) -> Path:
        return self.state / "nodes" / self.name

    @property
    def socket(self) -> Path:
        """containerd's; in ``run`` because a socket's path may have 107 bytes at most."""
        return self.run / self.name / "containerd.sock"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of the cluster is: ``state`` lasts until ``down``, ``run`` until the machine stops."""

    state: Path = field(default_factory=lambda: cache.root() / "cluster")
    run: Path = Path("/run/lineward")
    count: int = 1

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(index, self.state, self.run) for index in range(self.count))

    @property
    def api_address(self) -> IPv4Address:
        return PODS[1]

    @property
    def pki(self) -> Path:
        """Kept by ``down``, so that whoever trusts the CA need not be told again."""
        return self.state / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def processes(self) -> Path:
        return self.state / "processes"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def lock(self) -> Path:
        """One for the machine, whatever the cache: bridge, ports and control group exist once."""
        return self.run.with_suffix(".lock")

    @property
    def owner(self) -> Path:
        """Holds the state folder of the cluster that is on this machine."""
        return self.run / "owner"
