"""The bridge that joins pods and host, and what a kernel must be told for it; all undone by ``remove``."""

import json
import shutil
import subprocess
from pathlib import Path

from e2e.cluster.layout import API_PORT, BRIDGE, PODS, SERVICES, Layout

GUARD = "lineward"
_BRIDGED_TO_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_WANTED = {
    "net/ipv4/ip_forward": "1",
    # Answers between pods on one bridge must pass the address translation of Services.
    "net/bridge/bridge-nf-call-iptables": "1",
}
# The kubelet sets these; they are listed to be put back.
_TOUCHED = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
_GUARD_RULES = f"""
table inet {GUARD} {{
  chain input {{
    type filter hook input priority filter; policy accept;
    tcp dport {API_PORT} iifname != {{ "lo", "{BRIDGE}" }} drop
  }}
}}
"""


class NetworkTakenError(RuntimeError):
    """The cluster's addresses are somebody else's on this machine."""


def create(layout: Layout) -> None:
    """Make the bridge, route Services to it and keep the API server's port to this machine.

    Raises:
        NetworkTakenError: another interface routes part of the pods' or Services' addresses.
    """
    _refuse_overlap()
    _set_kernel(layout)
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "add", f"{layout.api_address}/{PODS.prefixlen}", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    # Without a route of their own, Services would be out of reach on a machine that has no default route.
    _run("ip", "route", "add", str(SERVICES), "dev", BRIDGE)
    subprocess.run(["nft", "-f", "-"], input=_GUARD_RULES, text=True, check=True, capture_output=True)


def remove(layout: Layout) -> None:
    """Take away bridge, packet filter tables (kube-proxy's too) and put kernel settings back; harmless twice."""
    _try("ip", "link", "delete", BRIDGE)
    for family, table in (("inet", GUARD), ("ip", "kube-proxy"), ("ip6", "kube-proxy")):
        _try("nft", "delete", "table", family, table)
    saved = _saved(layout)
    if saved.exists():
        for key, value in json.loads(saved.read_text()).items():
            _sysctl(key).write_text(value)
        saved.unlink()


def leftovers() -> list[str]:
    """What of the network is there, in words; empty after ``remove``."""
    tables = _output("nft", "list", "tables").splitlines() if shutil.which("nft") else []  # nothing else makes tables
    ours = (f"table inet {GUARD}", "table ip kube-proxy", "table ip6 kube-proxy")
    found = [line.strip() for line in tables if line.strip() in ours]
    return found + ([f"bridge {BRIDGE}"] if Path("/sys/class/net", BRIDGE).exists() else [])


def _refuse_overlap() -> None:
    for route in json.loads(_output("ip", "-json", "-4", "route") or "[]"):
        destination = route["dst"]
        if destination == "default" or route.get("dev") == BRIDGE:
            continue
        if any(network.overlaps(type(network)(destination, strict=False)) for network in (PODS, SERVICES)):
            raise NetworkTakenError(
                f"{destination} is routed to {route.get('dev')}; the cluster needs {PODS} and {SERVICES}"
            )


def _set_kernel(layout: Layout) -> None:
    if not _BRIDGED_TO_NETFILTER.exists():
        _try("modprobe", "br_netfilter")
    before = {key: _sysctl(key).read_text().strip() for key in (*_WANTED, *_TOUCHED) if _sysctl(key).exists()}
    saved = _saved(layout)
    if not saved.exists():
        saved.write_text(json.dumps(before))
    for key, value in _WANTED.items():
        if before.get(key) != value:
            _sysctl(key).write_text(value)


def _saved(layout: Layout) -> Path:
    return layout.state / "sysctls.json"


def _sysctl(key: str) -> Path:
    return Path("/proc/sys", key)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _try(*command: str) -> None:
    try:
        subprocess.run(command, check=False, capture_output=True)
    except FileNotFoundError:
        return


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
