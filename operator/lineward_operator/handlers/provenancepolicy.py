"""ProvenancePolicy: can it be evaluated?"""

from __future__ import annotations

from collections.abc import Mapping

from lineward.domain import policy as policies
from lineward.domain.conditions import Condition, Status, Type
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.policy import Policy
from lineward.domain.reasons import Reason
from lineward_operator.kubeio import DATASET_VERSIONS, PODS, PROVENANCE_POLICIES, Json
from lineward_operator.world import Key, World


def seen(world: World, obj: Json, *, gone: bool) -> None:
    """Note a policy; data sets and pods that wait for one are judged again."""
    name = obj["metadata"]["name"]
    before = world.policies.get(name)
    if not world.remember(PROVENANCE_POLICIES, obj, gone=gone):
        return
    if gone:
        world.policies.pop(name, None)
    else:
        try:
            world.policies[name] = policies.parse(obj)
        except LinewardError as error:
            world.policies[name] = error
    if gone or _changed(before, world.policies[name]):
        world.recheck(DATASET_VERSIONS)
        for uid, pod in world.pods.items():
            if pod.workload is None:
                world.queue.add(Key(PODS.plural, pod.observed.namespace, uid))


async def reconcile(world: World, namespace: str, name: str) -> float | None:
    """Set Ready."""
    obj = world.find(PROVENANCE_POLICIES, namespace, name)
    if obj is None:
        return None
    problem = objection(world, world.policies.get(name))
    ready = (
        Condition(Type.READY, Status.TRUE)
        if problem is None
        else Condition(Type.READY, Status.FALSE, problem.reason, problem.message)
    )
    await world.set_status(PROVENANCE_POLICIES, obj, {}, [ready])
    return None


def objection(world: World, policy: Policy | LinewardError | None) -> LinewardError | None:
    """Why a policy cannot be evaluated; None where it can."""
    if policy is None:
        return InvalidInputError(Reason.POLICY_INVALID, "it could not be read")
    if isinstance(policy, LinewardError):
        return policy
    root = world.trust_roots.get(policy.trust_root)
    if root is None:
        return InvalidInputError(Reason.TRUST_ROOT_MISSING, f"there is no TrustRoot {policy.trust_root}")
    if isinstance(root, LinewardError):
        return InvalidInputError(root.reason, f"TrustRoot {policy.trust_root}: {root.message}")
    return None


def concerns(policy: Policy, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a policy could match pods of a namespace."""
    match = policy.match
    named = not match.names or namespace in match.names
    return named and (match.namespaces is None or match.namespaces.matches(labels))


def may_concern(obj: Json, namespace: str) -> bool:
    """Whether a policy that cannot be parsed may have been meant for a namespace; in doubt it was."""
    try:
        names = obj["spec"]["match"]["namespaces"].get("names")
    except (KeyError, TypeError, AttributeError):
        return True
    return not names or namespace in names


def _changed(before: Policy | LinewardError | None, now: Policy | LinewardError) -> bool:
    return before != now if isinstance(before, Policy) and isinstance(now, Policy) else True
