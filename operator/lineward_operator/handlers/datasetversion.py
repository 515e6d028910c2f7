"""DatasetVersion: says whether the policies of its namespace would accept its evidence.

Nobody decides by this status: the webhook verifies for itself. It is for people, who learn before they submit a Job
whether it will be admitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lineward.domain import dataset as datasets
from lineward.domain.conditions import Condition, Status, Type, timestamp
from lineward.domain.dataset import Attestation, DatasetVersion
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence, TrustRoot
from lineward.domain.judge import Judgement, judge
from lineward.domain.matching import not_at_hand
from lineward.domain.plan import Refusal
from lineward.domain.policy import Policy
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict
from lineward_operator.handlers.provenancepolicy import concerns, may_concern, objection
from lineward_operator.kubeio import DATASET_RECALLS, DATASET_VERSIONS, PROVENANCE_POLICIES, Json
from lineward_operator.world import World

LOOK_AGAIN = 300.0
"""Seconds after which age, expiry and namespace labels are judged anew."""

Results = Sequence[Evidence | Refusal]


def seen(world: World, obj: Json, *, gone: bool) -> None:
    """Note a DatasetVersion."""
    if world.remember(DATASET_VERSIONS, obj, gone=gone):
        world.recheck(DATASET_RECALLS, after=1.0)


async def reconcile(world: World, namespace: str, name: str) -> float | None:
    """Set Verified and `evidence`."""
    obj = world.find(DATASET_VERSIONS, namespace, name)
    if obj is None:
        return None
    try:
        dataset = datasets.parse(obj)
    except LinewardError as error:
        await world.set_status(
            DATASET_VERSIONS, obj, {}, [Condition(Type.VERIFIED, Status.FALSE, error.reason, error.message)]
        )
        return None
    policies = await _policies(world, namespace)
    by_root = {root.name: await evidence(world, dataset, root) for root in _roots(world, policies)}
    judged = [(policy.name, _judge(world, dataset, policy, by_root)) for policy in policies]
    shown = [_entry(index, results) for index, results in enumerate(zip(*by_root.values(), strict=True))]
    broken = _broken(world, namespace)
    await world.set_status(DATASET_VERSIONS, obj, {"evidence": shown} if shown else {}, [_condition(judged, broken)])
    return LOOK_AGAIN


async def evidence(world: World, dataset: DatasetVersion, root: TrustRoot) -> Results:
    """What each attestation proves under a trust root."""
    return [await _proves(world, attestation, root) for attestation in dataset.attestations]


async def _proves(world: World, attestation: Attestation, root: TrustRoot) -> Evidence | Refusal:
    refusal = not_at_hand(attestation)
    if refusal or attestation.digest is None:
        return refusal or Refusal(Reason.EVIDENCE_PENDING, "its bundle has no digest yet")
    return await world.verify(attestation.bundle, attestation.digest, root)


async def _policies(world: World, namespace: str) -> list[Policy]:
    labels = await world.namespace_labels(namespace)
    known = [policy for _, policy in sorted(world.policies.items()) if isinstance(policy, Policy)]
    return [policy for policy in known if concerns(policy, namespace, labels)]


def _roots(world: World, policies: Iterable[Policy]) -> list[TrustRoot]:
    """Trust roots that the policies name; all of them where no policy matches, so that signers are shown anyway."""
    names = {policy.trust_root for policy in policies} or set(world.trust_roots)
    roots = (world.trust_roots.get(name) for name in sorted(names))
    return [root for root in roots if isinstance(root, TrustRoot)]


def _judge(world: World, dataset: DatasetVersion, policy: Policy, by_root: dict[str, Results]) -> Judgement:
    problem = objection(world, policy)
    if problem is not None:
        return Judgement(Verdict.UNKNOWN, problem.reason, problem.message)
    recalls = tuple(world.recalls.values())
    return judge(dataset, by_root[policy.trust_root], policy, recalls, world.now())


def _broken(world: World, namespace: str) -> tuple[str, LinewardError] | None:
    for obj in world.every(PROVENANCE_POLICIES):
        name = obj["metadata"]["name"]
        problem = world.policies.get(name)
        if isinstance(problem, LinewardError) and may_concern(obj, namespace):
            return name, problem
    return None


def _condition(judged: Sequence[tuple[str, Judgement]], broken: tuple[str, LinewardError] | None) -> Condition:
    for name, judgement in judged:
        if judgement.verdict is not Verdict.VERIFIED:
            status = Status.FALSE if judgement.verdict is Verdict.REFUSED else Status.UNKNOWN
            return Condition(Type.VERIFIED, status, judgement.reason, f"policy {name}: {judgement.message}")
    if broken is not None:
        return Condition(Type.VERIFIED, Status.UNKNOWN, broken[1].reason, f"policy {broken[0]}: {broken[1].message}")
    if not judged:
        return Condition(Type.VERIFIED, Status.UNKNOWN, Reason.NO_POLICY, "no policy matches the namespace")
    names = ", ".join(name for name, _ in judged)
    return Condition(Type.VERIFIED, Status.TRUE, Reason.VERIFIED, f"{judged[0][1].message}; accepted by {names}")


def _entry(index: int, results: Sequence[Evidence | Refusal]) -> Json:
    """One line of `evidence`: what the first trust root that believes it proves, else the first refusal."""
    proven = next((result for result in results if isinstance(result, Evidence)), None)
    if proven is not None:
        entry = {
            "index": index,
            "signer": str(proven.signer),
            "reason": Reason.VERIFIED.value,
            "message": "signature is good",
        }
        return entry | ({"signedAt": timestamp(proven.signed_at)} if proven.signed_at else {})
    refusal = next(result for result in results if isinstance(result, Refusal))
    return {"index": index, "reason": refusal.reason.value, "message": refusal.message}
