"""Finds out which DatasetVersion, if any, vouches for a volume.

A DatasetVersion names the volumes its bytes are in. Where several that hold up name the same volume, the pod chooses
by annotation; it never chooses whom to believe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lineward.domain.dataset import Attestation, ClaimVolume, DatasetVersion, ImageVolume, NfsVolume, VolumeIdentity
from lineward.domain.digest import Digest
from lineward.domain.evidence import Evidence, TrustRoot
from lineward.domain.judge import judge
from lineward.domain.plan import Refusal
from lineward.domain.policy import Policy
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict
from lineward.domain.world import World

DATASETS_ANNOTATION = "lineward.dev/datasets"
MAX_CANDIDATES = 16
"""DatasetVersions that are judged for one volume; each costs tens of microseconds of the request."""

Objection = tuple[Reason, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """The DatasetVersion that vouches for a volume, or the objection that no policy's question was answered by one."""

    dataset: DatasetVersion | None
    objection: Objection | None = None


def chosen_names(annotation: str) -> dict[str, str] | None:
    """Read `<volume>=<DatasetVersion>,...`; None where it is written otherwise or names a volume twice."""
    pairs = [part.strip().partition("=") for part in annotation.split(",")] if annotation.strip() else []
    names = {volume.strip(): name.strip() for volume, _, name in pairs}
    well_formed = len(names) == len(pairs) and all(names) and all(names.values())
    return names if well_formed else None


def choose(identity: VolumeIdentity, named: str, policies: Sequence[Policy], world: World) -> Choice:
    """Return the one DatasetVersion that all policies accept for the volume; `named` is the pod's choice, or empty."""
    candidates = [c for c in world.datasets.get(identity, ()) if named in {"", c.name}]
    if not candidates:
        return Choice(None, _nobody(identity, named, world))
    if len(candidates) > MAX_CANDIDATES:
        return Choice(None, (Reason.AMBIGUOUS_DATASET, f"{len(candidates)} DatasetVersions name it"))
    judged = [(candidate, _objection(candidate, policies, world)) for candidate in candidates]
    accepted = [candidate for candidate, objection in judged if objection is None]
    if len(accepted) > 1:
        names = ", ".join(sorted(candidate.name for candidate in accepted))[:120]
        return Choice(None, (Reason.AMBIGUOUS_DATASET, f"several DatasetVersions vouch for it: {names}"))
    if accepted:
        return Choice(accepted[0])
    return Choice(None, _most_hopeful([objection for _, objection in judged if objection]))


def not_at_hand(attestation: Attestation) -> Refusal | None:
    """Why an attestation by `oci` or `url` counts for nothing: webhook, operator and command line fetch none."""
    if attestation.bundle:
        return None
    where = attestation.oci or attestation.url
    return Refusal(Reason.NO_ATTESTATION, f"its attestation at {where[:80]} is not fetched; put the bundle inline")


def describe(identity: VolumeIdentity | None) -> str:
    """Name a volume identity for people."""
    if isinstance(identity, ClaimVolume):
        return f"claim {identity.name}"
    if isinstance(identity, ImageVolume):
        return f"image {identity.reference[-90:]}"
    return f"nfs {identity.server}:{identity.path}"[:100] if isinstance(identity, NfsVolume) else ""


def _nobody(identity: VolumeIdentity, named: str, world: World) -> Objection:
    if named in world.broken_datasets:
        return Reason.DATASET_INVALID, f"DatasetVersion {named} cannot be read: {world.broken_datasets[named][:120]}"
    if named:
        return Reason.UNVOUCHED, f"DatasetVersion {named} of the annotation does not exist here or does not name it"
    if isinstance(identity, ImageVolume) and "@sha256:" not in identity.reference:
        return Reason.UNVOUCHED, "the image is not named by digest, so nobody can vouch for it"
    hint = "; results go to a claim that the policy lists as output" if isinstance(identity, ClaimVolume) else ""
    return Reason.UNVOUCHED, f"no DatasetVersion in namespace {world.namespace} names it{hint}"


def _most_hopeful(objections: Sequence[Objection]) -> Objection:
    """Of several failed candidates report one that time alone may mend, else the first."""
    pending = (objection for objection in objections if objection[0] is Reason.EVIDENCE_PENDING)
    return next(pending, objections[0])


def _objection(candidate: DatasetVersion, policies: Sequence[Policy], world: World) -> Objection | None:
    for policy in policies:
        root = world.trust_roots.get(policy.trust_root)
        if root is None:
            return Reason.TRUST_ROOT_MISSING, f"policy {policy.name} names TrustRoot {policy.trust_root}"
        if isinstance(root, Refusal):
            return root.reason, root.message
        if objection := _judged(candidate, policy, root, world):
            return objection
    return None


def _judged(candidate: DatasetVersion, policy: Policy, root: TrustRoot, world: World) -> Objection | None:
    evidence = [_evidence(attestation, root, world.evidence) for attestation in candidate.attestations]
    judgement = judge(candidate, evidence, policy, world.recalls, world.now)
    if judgement.verdict is Verdict.VERIFIED:
        return None
    pending = next((e for e in evidence if isinstance(e, Refusal) and e.reason is Reason.EVIDENCE_PENDING), None)
    reason, message = (pending.reason, pending.message) if pending else (judgement.reason, judgement.message)
    return reason, f"DatasetVersion {candidate.name}: {message}"


def _evidence(
    attestation: Attestation, root: TrustRoot, known: Mapping[tuple[Digest, Digest], Evidence | Refusal]
) -> Evidence | Refusal:
    pending = Refusal(Reason.EVIDENCE_PENDING, "its evidence is being verified")
    refusal = not_at_hand(attestation)
    if refusal or attestation.digest is None:
        return refusal or pending
    return known.get((attestation.digest, root.digest), pending)
