"""On a cluster of somebody else, the disk lies where training pods can run."""

from __future__ import annotations

from typing import Any

import pytest
from e2e.support.nodes import NoNodeError, usable


def node(name: str, *, ready: str = "True", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


def taint(effect: str) -> list[dict[str, str]]:
    return [{"key": "example.com/for", "value": "others", "effect": effect}]


CONTROL_PLANE = node("a", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
UNUSABLE = [
    CONTROL_PLANE,
    node("b", taints=taint("NoExecute")),
    node("c", unschedulable=True),
    node("d", ready="False"),
    node("e", ready="Unknown"),
    {"metadata": {"name": "f"}, "spec": {}},
]


def test_the_first_one_where_a_pod_without_tolerations_runs() -> None:
    assert usable([*UNUSABLE, node("y"), node("z")]) == "y"


def test_a_single_node_is_used() -> None:
    assert usable([node("only")]) == "only"


def test_a_taint_that_only_prefers_others_keeps_nobody_away() -> None:
    assert usable([node("soft", taints=taint("PreferNoSchedule"))]) == "soft"


def test_where_there_is_none_each_says_why() -> None:
    with pytest.raises(NoNodeError) as error:
        usable(UNUSABLE)
    assert str(error.value) == (
        "no node that an ordinary pod can use: a is tainted node-role.kubernetes.io/control-plane:NoSchedule; "
        "b is tainted example.com/for:NoExecute; c is cordoned; d is not Ready; e is not Ready; f is not Ready"
    )
    with pytest.raises(NoNodeError, match="the cluster has none"):
        usable([])
