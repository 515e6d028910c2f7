"""What Lineward's containers ask of the scheduler.

The verify container runs before all others, so with the sum of what the application containers ask it costs the pod
nothing and may use all of it. Whatever is given here keeps the pod's quality-of-service class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from lineward.domain import quantity
from lineward.domain.settings import Settings
from lineward.domain.world import Bounds

_WRITERS: Mapping[str, Callable[[Decimal], str]] = {"cpu": quantity.cpu, "memory": quantity.memory}
"""Only these two: never GPUs, huge pages or ephemeral storage."""

CPU_LIMIT = Decimal("0.1")
"""The sidecar's limit where it must have one: under 10m an interpreter takes half a minute to start, and to stop."""

_Amounts = dict[str, Decimal]


def of_verify(spec: Mapping[str, Any], bounds: Bounds) -> dict[str, Any]:
    """Sum of the application containers, a limit only where all of them have one; nothing under pod-level resources.

    Raises InvalidInputError(RequestInvalid) for what is no quantity.
    """
    if _pod_level(spec):
        return {}
    return _written(_sum(spec, "requests"), _sum(spec, "limits", only_if_all=True), bounds)


def of_sidecar(spec: Mapping[str, Any], bounds: Bounds, settings: Settings) -> dict[str, Any]:
    """What the settings say; made Guaranteed in a Guaranteed pod, and limited where a quota may demand limits."""
    if _pod_level(spec):
        return {}
    requests = _amounts(settings.sidecar_requests)
    limits = _amounts(settings.sidecar_limits)
    if _guaranteed(spec):
        both = {**requests, "cpu": CPU_LIMIT, **limits}
        return _written(both, both, bounds)
    if "cpu" in _sum(spec, "limits", only_if_all=True):
        limits.setdefault("cpu", CPU_LIMIT)
    return _written(requests, limits, bounds)


def same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Tell whether `theirs` holds every amount of `ours`, by value; a LimitRange may add what we left open.

    Raises InvalidInputError(RequestInvalid) for what is no quantity, and TypeError or AttributeError for what is no
    resources at all.
    """
    if not set(theirs) <= {"requests", "limits"}:
        return False
    for kind in ("requests", "limits"):
        wanted, there = ours.get(kind) or {}, theirs.get(kind) or {}
        if not wanted.keys() <= there.keys():
            return False
        if any(quantity.parse(wanted[name]) != quantity.parse(there[name]) for name in wanted):
            return False
    return True


def _pod_level(spec: Mapping[str, Any]) -> bool:
    resources = spec.get("resources") or {}
    return bool(resources.get("requests") or resources.get("limits"))


def _amounts(raw: Mapping[str, Any]) -> _Amounts:
    return {name: quantity.parse(raw[name]) for name in _WRITERS if name in raw}


def _all(spec: Mapping[str, Any], kind: str) -> list[_Amounts]:
    return [_amounts((c.get("resources") or {}).get(kind) or {}) for c in spec.get("containers") or ()]


def _sum(spec: Mapping[str, Any], kind: str, *, only_if_all: bool = False) -> _Amounts:
    each = _all(spec, kind)
    names = [n for n in _WRITERS if any(n in a for a in each) and (not only_if_all or all(n in a for a in each))]
    return {name: sum((amounts.get(name, Decimal(0)) for amounts in each), Decimal(0)) for name in names}


def _guaranteed(spec: Mapping[str, Any]) -> bool:
    """Whether the pod is Guaranteed without us: cpu and memory limits everywhere, equal to the requests."""
    everywhere = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for container in everywhere:
        resources = container.get("resources") or {}
        limits = _amounts(resources.get("limits") or {})
        if limits.keys() != _WRITERS.keys() or {**limits, **_amounts(resources.get("requests") or {})} != limits:
            return False
    return bool(everywhere)


def _written(requests: _Amounts, limits: _Amounts, bounds: Bounds) -> dict[str, Any]:
    bounded = {
        "requests": {name: _within(name, value, bounds) for name, value in requests.items()},
        "limits": {name: _within(name, value, bounds) for name, value in limits.items()},
    }
    for name, limit in bounded["limits"].items():
        # The API server would set a missing request to the limit, and refuses one above it.
        bounded["requests"][name] = min(bounded["requests"].get(name, limit), limit)
    return {
        kind: {name: _WRITERS[name](value) for name, value in sorted(amounts.items())}
        for kind, amounts in bounded.items()
        if amounts
    }


def _within(name: str, value: Decimal, bounds: Bounds) -> Decimal:
    raised = max(value, bounds.minimum.get(name, value))
    return min(raised, bounds.maximum.get(name, raised))
