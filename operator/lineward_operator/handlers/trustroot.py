"""TrustRoot: can it be used, and when does it end?"""

from __future__ import annotations

from datetime import datetime, timedelta

from lineward.adapters import trustroots
from lineward.domain import trustroot
from lineward.domain.conditions import Condition, Status, Type, timestamp
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.evidence import TrustRoot
from lineward.domain.reasons import Reason
from lineward_operator.kubeio import DATASET_VERSIONS, PROVENANCE_POLICIES, TRUST_ROOTS, Json
from lineward_operator.world import World

SOON = timedelta(days=30)
LOOK_AGAIN = 3600.0


def seen(world: World, obj: Json, *, gone: bool) -> None:
    """Note a TrustRoot; whatever depends on it is judged again where its content changed."""
    name = obj["metadata"]["name"]
    before = world.trust_roots.get(name)
    if not world.remember(TRUST_ROOTS, obj, gone=gone):
        return
    if gone:
        world.trust_roots.pop(name, None)
    else:
        world.trust_roots[name] = parsed(obj)
    now = world.trust_roots.get(name)
    if not (isinstance(before, TrustRoot) and isinstance(now, TrustRoot) and before.digest == now.digest):
        world.recheck(PROVENANCE_POLICIES, DATASET_VERSIONS)


def parsed(obj: Json) -> TrustRoot | LinewardError:
    """The TrustRoot, or why it cannot be used."""
    try:
        root = trustroot.parse(obj)
        trustroots.require_usable(root)
    except LinewardError as error:
        return error
    return root


async def reconcile(world: World, namespace: str, name: str) -> float | None:
    """Set Ready, Expiring and `expires`."""
    obj = world.find(TRUST_ROOTS, namespace, name)
    if obj is None:
        return None
    root = world.trust_roots.get(name)
    if isinstance(root, TrustRoot):
        end = expires(root, world.now())
        status = {"expires": timestamp(end)} if end else {}
        await world.set_status(TRUST_ROOTS, obj, status, _conditions(end, world.now()))
        return LOOK_AGAIN
    problem = root or InvalidInputError(Reason.TRUST_ROOT_INVALID, "it could not be read")
    await world.set_status(TRUST_ROOTS, obj, {}, [Condition(Type.READY, Status.FALSE, problem.reason, problem.message)])
    return None


def expires(root: TrustRoot, now: datetime) -> datetime | None:
    """When the first key that may be used now ends; None where none has an end."""
    ends = (window.end for window in trustroots.windows(root) if window.valid(now))
    return min((end for end in ends if end), default=None)


def _conditions(end: datetime | None, now: datetime) -> list[Condition]:
    ready = Condition(Type.READY, Status.TRUE)
    if end is None:
        return [ready, Condition(Type.EXPIRING, Status.FALSE, message="no key has an end")]
    soon = end - now < SOON
    reason = Reason.OUTSIDE_VALIDITY if soon else "AsExpected"
    text = f"the first key ends at {timestamp(end)}"
    return [ready, Condition(Type.EXPIRING, Status.TRUE if soon else Status.FALSE, reason, text)]
