"""Which node of a cluster carries the disk of the demo and of the tests: the training pods have to run there too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

KEEPS_AWAY = ("NoSchedule", "NoExecute")


class NoNodeError(RuntimeError):
    """An ordinary pod can run nowhere; the message says of each node why."""


def usable(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Name of the first node on which a pod without tolerations can run.

    On most clusters the first of all is a tainted control plane. Raises NoNodeError.
    """
    found = {node["metadata"]["name"]: list(_objections(node)) for node in nodes}
    for name, objections in found.items():
        if not objections:
            return str(name)
    each = "; ".join(f"{name} {' and '.join(objections)}" for name, objections in found.items())
    raise NoNodeError(f"no node that an ordinary pod can use: {each or 'the cluster has none'}")


def _objections(node: Mapping[str, Any]) -> Iterator[str]:
    conditions = {one["type"]: one["status"] for one in node.get("status", {}).get("conditions", ())}
    if conditions.get("Ready") != "True":
        yield "is not Ready"
    if node["spec"].get("unschedulable"):
        yield "is cordoned"
    for taint in node["spec"].get("taints", ()):
        if taint["effect"] in KEEPS_AWAY:
            yield f"is tainted {taint['key']}:{taint['effect']}"
