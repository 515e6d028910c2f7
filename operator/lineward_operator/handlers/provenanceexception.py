"""ProvenanceException: does it count? Only in Lineward's own namespace, and only until it expires."""

from __future__ import annotations

from lineward.domain import exemption
from lineward.domain.conditions import Condition, Status, Type, timestamp
from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason
from lineward_operator.kubeio import PROVENANCE_EXCEPTIONS, Json
from lineward_operator.world import World


def seen(world: World, obj: Json, *, gone: bool) -> None:
    """Note an exception."""
    world.remember(PROVENANCE_EXCEPTIONS, obj, gone=gone)


async def reconcile(world: World, namespace: str, name: str) -> float | None:
    """Set Ready, and Ignored where it is in a namespace in which it cannot count."""
    obj = world.find(PROVENANCE_EXCEPTIONS, namespace, name)
    if obj is None:
        return None
    again: float | None = None
    if namespace != world.settings.namespace:
        text = f"it counts only in namespace {world.settings.namespace}"
        found = [
            Condition(Type.READY, Status.FALSE, Reason.EXCEPTION_IGNORED, text),
            Condition(Type.IGNORED, Status.TRUE, Reason.EXCEPTION_IGNORED, text),
        ]
    else:
        ready, again = _ready(world, obj)
        found = [ready]
    await world.set_status(PROVENANCE_EXCEPTIONS, obj, {}, found)
    return again


def _ready(world: World, obj: Json) -> tuple[Condition, float | None]:
    try:
        parsed = exemption.parse(obj)
    except LinewardError as error:
        return Condition(Type.READY, Status.FALSE, error.reason, error.message), None
    left = (parsed.expires - world.now()).total_seconds()
    until = timestamp(parsed.expires)
    if left <= 0:
        return Condition(Type.READY, Status.FALSE, Reason.OUTSIDE_VALIDITY, f"it expired at {until}"), None
    scope = f"{parsed.kind} {parsed.namespace}/{parsed.workload}"
    return Condition(Type.READY, Status.TRUE, message=f"excuses {scope} until {until}"), min(left + 1, 86400.0)
