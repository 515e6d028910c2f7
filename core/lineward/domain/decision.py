"""Decides whether a pod may be created, and what is put into it.

All policies that match a pod must be met, each with the force of its own mode: policies of the strictest mode are met
together and make the plan; what weaker ones object to is only told. So adding an audit policy never denies a pod, and
adding an enforcing one is never softened by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lineward.domain.dataset import ClaimVolume, VolumeIdentity
from lineward.domain.injection import Injection
from lineward.domain.matching import DATASETS_ANNOTATION, Choice, choose, chosen_names, describe
from lineward.domain.messages import MAX_MESSAGE, MIN_ROOM, cut, framed
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume, Refusal
from lineward.domain.podspec import Pod, Usage, usage, workload_kinds
from lineward.domain.policy import DEFAULT_TIMEOUT, Mode, Policy, Sidecar
from lineward.domain.reasons import Reason
from lineward.domain.rules import (
    POD_RULES,
    Case,
    Group,
    Objection,
    is_block,
    is_written,
    reserved_names,
    written_claims,
)
from lineward.domain.settings import Settings
from lineward.domain.verdict import MAX_VOLUMES
from lineward.domain.volume_rules import DATA_RULES, OUTPUT_RULES, VOLUME_RULES
from lineward.domain.volumes import Kind, Volume
from lineward.domain.world import BrokenPolicy, World

MAX_REFUSALS = 32
"""Refusals that one pod is told; a pod that breaks more has enough to read."""
_TOO_LARGE = "what the verifier must know of its volumes is too long for one argument; mount fewer, with shorter names"
_FORCE = {Mode.AUDIT: 0, Mode.WARN: 1, Mode.ENFORCE: 2}
DATA_ROOT = "/lineward/data"
OUTPUT_ROOT = "/lineward/outputs"
MANIFEST_ROOT = "/lineward/manifest"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a pod. `mode` is None where no policy matches."""

    mode: Mode | None = None
    denials: tuple[Refusal, ...] = ()
    """Why it may not be created; empty means that it may."""
    warnings: tuple[Refusal, ...] = ()
    """What its author is told although it may be created."""
    recorded: tuple[Refusal, ...] = ()
    """What enforce would have denied, and what an exception set aside; for logs and metrics."""
    injection: Injection | None = None

    @property
    def allowed(self) -> bool:
        """Tell whether the pod may be created."""
        return not self.denials


def decide(pod: Pod, world: World, settings: Settings) -> Decision:
    """Decide on a pod as its author wrote it, without Lineward's containers.

    Pure; raises nothing for a pod that `podspec.parse` accepted.
    """
    matching = _matching(pod, world)
    if isinstance(matching, Refusal):
        return Decision(denials=(matching,))
    if not matching:
        return Decision(denials=(*_unprotected(pod), *writes_into_protected(pod, world)))
    mode = max((policy.mode for policy in matching), key=_FORCE.__getitem__)
    binding = _case(pod, world, [p for p in matching if p.mode is mode], settings)
    refusals, excused = _refusals(binding)
    weaker = {
        weak: _refusals(_case(pod, world, policies, settings))[0]
        for weak in (Mode.WARN, Mode.AUDIT)
        if weak is not mode and (policies := [p for p in matching if p.mode is weak])
    }
    told = tuple(dict.fromkeys((*excused, *(() if mode is Mode.ENFORCE else refusals), *weaker.get(Mode.WARN, ()))))
    recorded = tuple(dict.fromkeys((*told, *weaker.get(Mode.AUDIT, ()))))[:MAX_REFUSALS]
    injection = _injection(binding, mode, recorded, excused, matching)
    forced = injection.read_only if injection else frozenset()
    if injection and not injection.plan.fits:
        injection, large = None, Refusal(Reason.VOLUME_NOT_SUPPORTED, _TOO_LARGE)
        if mode is Mode.ENFORCE:
            refusals = (large, *refusals)
        else:
            told, recorded = (large, *told), (large, *recorded)[:MAX_REFUSALS]
    denials = (*(refusals if mode is Mode.ENFORCE else ()), *writes_into_protected(pod, world, forced))
    return Decision(
        mode=mode,
        denials=denials[:MAX_REFUSALS],
        warnings=() if mode is Mode.AUDIT else told[:MAX_REFUSALS],
        recorded=recorded,
        injection=injection,
    )


def render(refusal: Refusal, pod: Pod, docs: str = "") -> str:
    """One line for people, at most `MAX_MESSAGE` characters: what is refused, why, what to do, where to read.

    `docs` is the URL of the page of reasons, empty where none is served.
    """
    found = next((v for v in pod.volumes if v.name == refusal.volume), None)
    step = refusal.reason.next_step
    tail = f". {step[:1].upper()}{step[1:]}. See {refusal.reason.docs(docs)}"
    head = _head(refusal, f" ({describe(found.identity)})" if found else "")
    if len(head) + len(tail) > MAX_MESSAGE - MIN_ROOM:
        head = _head(refusal, "")
    return framed(head, refusal.message, tail)


def _head(refusal: Refusal, what: str) -> str:
    where = f'volume "{refusal.volume}"{what}: ' if refusal.volume else ""
    return f"[lineward] {where}{refusal.reason.value}: "


def _matching(pod: Pod, world: World) -> list[Policy | BrokenPolicy] | Refusal:
    """The policies that match the pod; a namespace that is not known yet is an objection, not a mismatch."""
    found: list[Policy | BrokenPolicy] = []
    for policy in world.policies:
        if isinstance(policy, BrokenPolicy):
            found.append(policy)
        elif world.namespace_labels is None and policy.match.namespaces is not None:
            return Refusal(Reason.INTERNAL_ERROR, f"namespace {world.namespace} is not known yet; try again")
        elif any(
            policy.matches(world.namespace, world.namespace_labels or {}, pod.labels, kind)
            for kind in workload_kinds(pod.owner)
        ):
            found.append(policy)
    return sorted(found, key=lambda policy: policy.name)


def _unprotected(pod: Pod) -> Iterator[Refusal]:
    """A pod that no policy matches gets nothing injected, so nothing in it may call itself ours."""
    if objection := reserved_names(pod):
        yield Refusal(*objection)


def writes_into_protected(pod: Pod, world: World, forced: frozenset[str] = frozenset()) -> Iterator[Refusal]:
    """No pod, protected or not, may start to write into what a protected pod is training on."""
    for volume in written_claims(pod):
        readers = world.protected_readers.get(volume.claim)
        if readers and volume.name not in forced:
            message = f"pod {readers[0]} trains on it; mount it read-only"
            yield Refusal(Reason.DATA_WRITABLE, message, volume.name)


def _case(pod: Pod, world: World, policies: Sequence[Policy | BrokenPolicy], settings: Settings) -> Case:
    sound = tuple(policy for policy in policies if isinstance(policy, Policy))
    used = usage(pod)
    data, outputs = _roles(pod, used, sound)
    named = chosen_names(pod.annotations.get(DATASETS_ANNOTATION, "")) or {}
    choices: dict[VolumeIdentity, Choice] = {}
    for group in data[:MAX_VOLUMES]:
        chosen = next((named[volume.name] for volume in group.volumes if volume.name in named), "")
        if sound:
            choices[group.identity] = choose(group.identity, chosen, sound, world)
    broken = tuple(policy for policy in policies if isinstance(policy, BrokenPolicy))
    return Case(pod, used, world, policies[0].mode, sound, broken, settings.ledger_audience, data, outputs, choices)


def _roles(pod: Pod, used: Usage, policies: Sequence[Policy]) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """Data and outputs: an output is a claim that every policy lists and that the pod can write; all else is data."""
    groups: dict[VolumeIdentity, list[Volume]] = {}
    for volume in pod.volumes:
        if volume.kind is Kind.DATA and volume.identity is not None:
            groups.setdefault(volume.identity, []).append(volume)
    data: list[Group] = []
    outputs: list[Group] = []
    for identity, members in groups.items():
        listed = isinstance(identity, ClaimVolume) and policies and all(identity in p.volumes.outputs for p in policies)
        role = outputs if listed and is_written(used, members) else data
        role.append(Group(identity, tuple(members)))
    return tuple(data), tuple(outputs)


def _refusals(case: Case) -> tuple[tuple[Refusal, ...], tuple[Refusal, ...]]:
    """Objections, and those that an exception sets aside."""
    refusals = [Refusal(*found) for rule in POD_RULES if (found := rule(case))]
    for volume in case.pod.volumes:
        found = next((found for rule in VOLUME_RULES if (found := rule(case, volume))), None)
        refusals += [Refusal(*found, volume.name)] if found else []
    excused: list[Refusal] = []
    for group, rules in (*((g, DATA_RULES) for g in case.data), *((g, OUTPUT_RULES) for g in case.outputs)):
        for rule in rules:
            found = rule(case, group)
            if found is None:
                continue
            if exception := _exception(case, found, group):
                message = cut(f"set aside by ProvenanceException {exception}: {found[1]}")
                excused.append(Refusal(found[0], message, group.name))
                continue
            refusals.append(Refusal(*found, group.name))
            break
    return tuple(refusals), tuple(excused)


def _exception(case: Case, objection: Objection, group: Group) -> str:
    owner, world = case.pod.owner, case.world
    for exemption in world.exemptions:
        if exemption.excuses(objection[0], (world.namespace, owner.kind, owner.name), group.claim, world.now):
            return exemption.name
    return ""


def _injection(
    case: Case,
    mode: Mode,
    recorded: tuple[Refusal, ...],
    excused: tuple[Refusal, ...],
    matching: Sequence[Policy | BrokenPolicy],
) -> Injection | None:
    """What to put into the pod; nothing where there is nothing to verify and nothing to report."""
    few = len(case.data) + len(case.outputs) <= MAX_VOLUMES
    if case.pod.windows or not few or not (case.data or case.outputs or recorded):
        return None
    blocked = {g.name for g in (*case.data, *case.outputs) if is_block(case, g)}
    unvouched = {g.name for g in case.data if not ((choice := case.choices.get(g.identity)) and choice.dataset)}
    exceptions = tuple(refusal for refusal in excused if refusal.volume in unvouched)
    data = [g for g in case.data if g.name not in blocked.union(refusal.volume for refusal in exceptions)]
    outputs = tuple(
        PlannedOutput(g.name, f"{OUTPUT_ROOT}/{g.name}", g.claim) for g in case.outputs if g.name not in blocked
    )
    sources = {g.name: source for g in data if (source := _manifest_source(case, g))}
    timeouts = [policy.timeout for policy in case.policies]
    plan = Plan(
        mode=mode.value,
        policies=tuple(policy.name for policy in matching),
        volumes=tuple(_planned(case, group, has_mount=group.name in sources) for group in data),
        outputs=outputs,
        refusals=recorded,
        exceptions=exceptions,
        timeout_seconds=int(min(timeouts, default=DEFAULT_TIMEOUT).total_seconds()),
        owner_kind=case.pod.owner.kind,
        owner_name=case.pod.owner.name,
        owner_uid=case.pod.owner.uid,
    )
    return Injection(
        plan=plan.fitted(),
        read_only=frozenset(n for g in case.data for n in g.names) if mode is Mode.ENFORCE else frozenset(),
        manifests=sources,
        sidecar=all(policy.sidecar is Sidecar.ENABLED for policy in case.policies),
        restricted=case.world.restricted,
        bounds=case.world.bounds,
    )


def _planned(case: Case, group: Group, *, has_mount: bool) -> PlannedVolume:
    choice = case.choices.get(group.identity)
    planned = PlannedVolume(group.name, f"{DATA_ROOT}/{group.name}", group.claim)
    if choice is None or choice.dataset is None:
        return planned
    dataset = choice.dataset
    manifest = dataset.integrity.manifest
    inside = manifest.volume_path if manifest else ""
    path = f"{MANIFEST_ROOT}/{group.name}/manifest.lwm" if has_mount else f"{planned.path}/{inside}" if inside else ""
    return replace(
        planned,
        resource=dataset.name,
        dataset=dataset.dataset,
        version=dataset.version,
        profile=dataset.integrity.profile.value,
        chunk_bytes=dataset.integrity.chunk_bytes,
        root=str(dataset.integrity.root),
        manifest_digest=str(manifest.digest) if manifest else "",
        manifest_path=path,
    )


def _manifest_source(case: Case, group: Group) -> dict[str, object] | None:
    """The volume source that brings the manifest, as the API server would write it with its defaults."""
    choice = case.choices.get(group.identity)
    manifest = choice.dataset.integrity.manifest if choice and choice.dataset else None
    if manifest is None:
        return None
    if manifest.config_map:
        items = [{"key": manifest.key, "path": "manifest.lwm"}]
        return {"configMap": {"name": manifest.config_map, "items": items, "defaultMode": 420, "optional": True}}
    if manifest.image:
        return {"image": {"reference": manifest.image, "pullPolicy": "IfNotPresent"}}
    return None
