"""TrainingRun: the view of one training workload, kept from its pods' own words for as long as people want it.

The steps of `reconcile` are ordered so that a crash between any two of them loses nothing and repeats nothing that
counts twice: Events have names made of their content, ledger entries have ids, and the status, which says what was
done, is written last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from lineward.domain import overlap, podstatus, runs
from lineward.domain.conditions import Condition, Status, Type
from lineward.domain.podstatus import PodRecord
from lineward.domain.reasons import Reason
from lineward.domain.runs import Judgement, Phase, RunFacts, WorkloadState
from lineward_operator import events
from lineward_operator.handlers import runindex
from lineward_operator.kubeio import DATASET_RECALLS, TRAINING_RUNS, Json, KubeError
from lineward_operator.ledger import Message, RejectedError, UnavailableError
from lineward_operator.outbox import Outbox, moment_of
from lineward_operator.world import Key, Tracked, World, identity

RETRY_LEDGER = 10.0
PLACING = 0.5
"""Pause while pods that may belong to the run are still being placed."""
PLACED_WITHIN = timedelta(minutes=1)
"""Longest wait for them: a run that is told once too often is better than one that other pods can hold up."""
SILENT = timedelta(hours=1)
"""After that a run whose owner gives no answer ends as its pods did; until then it may be about to start another."""
LAST_POLL = 60.0
"""Longest pause between two looks at a workload whose pods have all ended, in seconds."""


def seen(world: World, obj: Json, *, gone: bool) -> None:
    """Note a TrainingRun, and have it filled."""
    before = world.find(TRAINING_RUNS, *identity(obj))
    if not world.remember(TRAINING_RUNS, obj, gone=gone):
        return
    if gone:
        runindex.deleted(world, obj)
    elif before is not None and before["metadata"].get("uid") != obj["metadata"].get("uid"):
        runindex.deleted(world, before)
    namespace = obj["metadata"]["namespace"]
    workload = runs.workload(obj)
    uids = [workload.uid] if workload else runindex.candidates(world, obj)
    for uid in uids:
        world.queue.add(Key(TRAINING_RUNS.plural, namespace, uid))
    world.recheck(DATASET_RECALLS, after=1.0)


async def reconcile(world: World, namespace: str, uid: str) -> float | None:
    """Bring the run of the workload with this uid up to date."""
    members = runindex.members(world, namespace, uid)
    if _held(world, namespace, uid, members):
        return PLACING
    obj = runindex.find(world, namespace, uid, members) or await runindex.make(world, namespace, uid, members)
    if obj is None:
        return None
    gone = [uid for uid, pod in members.items() if pod.gone]
    known = runindex.remembering(world, namespace, uid, obj)
    before, facts = await _facts(world, namespace, known, members)
    judgement = runs.judge(facts)
    told = [pod for pod in facts.pods if _news(pod, before.pods)]
    for pod in told:
        await events.announce(world, namespace, pod, facts.workload)
    plans = {uid: pod.observed.plan for uid, pod in members.items()}
    recorded = await _record(
        world, known, before, Outbox(world.settings.cluster_name, namespace, facts, judgement, plans)
    )
    conditions = [*runs.conditions(judgement, len(facts.pods)), *([recorded] if recorded else [])]
    await runindex.write(world, uid, obj, runs.status(facts, judgement), conditions)
    for pod in told:
        world.metrics.verdict(pod)
    if recorded is None or recorded.status is Status.TRUE:
        runindex.forget(world, namespace, uid, gone)
    return _again(world, facts, judgement, recorded)


def _held(world: World, namespace: str, uid: str, members: Mapping[str, Tracked]) -> bool:
    """Whether pods that may belong to the run are being placed: those not looked at yet, or of an owner it knows."""
    owners = {uid, *(pod.observed.owner.uid for pod in members.values())}
    unplaced = [world.pods[pod] for pod in world.unplaced.get(namespace, ()) if pod in world.pods]
    if any(pod.failing is None or pod.observed.owner.uid in owners for pod in unplaced):
        since = world.held.setdefault((namespace, uid), world.now())
        if world.now() - since < PLACED_WITHIN:
            return True
    world.held.pop((namespace, uid), None)
    return False


async def _facts(world: World, namespace: str, obj: Json, members: Mapping[str, Tracked]) -> tuple[RunFacts, RunFacts]:
    """What the run's status says, and what is known now."""
    status = obj.get("status") or {}
    kept, refusals = runs.known(status)
    workload = next((pod.workload for pod in members.values() if pod.workload), None) or runs.workload(obj)
    if workload is None:
        raise LookupError(f"TrainingRun {obj['metadata']['name']} has no workload")
    phase = status.get("phase", "")
    state = WorkloadState(phase) if phase in {Phase.SUCCEEDED, Phase.FAILED} else WorkloadState.ALIVE
    before = RunFacts(workload, state, kept, refusals)
    pods = _merged(world, kept, members)
    for pod in [pod for pod in pods if pod.uid in members]:
        refusals = runs.would_deny(refusals, pod, members[pod.uid].observed.plan)
    if pods != kept or not state_final(before):
        state = await _state(world, namespace, before, pods)
    return before, RunFacts(workload, state, pods, refusals)


def state_final(facts: RunFacts) -> bool:
    """Whether a run has ended by what was already written of it."""
    return facts.state in {WorkloadState.SUCCEEDED, WorkloadState.FAILED}


def _merged(world: World, kept: Sequence[PodRecord], members: Mapping[str, Tracked]) -> tuple[PodRecord, ...]:
    """Known pods as they are now, those that are gone as they were last seen."""
    pods = {pod.uid: pod for pod in kept}
    for uid, tracked in members.items():
        now = _updated(pods.get(uid), tracked.observed.record)
        pods[uid] = overlap.disturbed(now, tracked.observed.plan, world.disturbed.get(uid, {}))
    return tuple(podstatus.vanished(pod) if _is_lost(world, pod) else pod for pod in pods.values())


def _updated(old: PodRecord | None, new: PodRecord) -> PodRecord:
    """A verdict that was read once stays, even where the kubelet's status has lost it."""
    if old is None or old.verdict is None:
        return new
    if new.reason is not Reason.NO_VERDICT:
        return overlap.remembered(new, old)
    kept = replace(old, phase=new.phase, started=old.started or new.started)
    return replace(kept, started_at=old.started_at or new.started_at, finished_at=new.finished_at)


def _is_lost(world: World, pod: PodRecord) -> bool:
    return world.primed and not pod.ended and pod.uid not in world.pods


async def _state(world: World, namespace: str, before: RunFacts, pods: Sequence[PodRecord]) -> WorkloadState:
    """Ask the workload itself only when its pods cannot tell; they are recorded too where it gives no answer."""
    if before.workload.kind == "Pod":
        return WorkloadState.GONE
    if any(not pod.ended for pod in pods):
        return WorkloadState.ALIVE
    try:
        return runs.workload_state(await world.owners.read(namespace, before.workload))
    except KubeError:
        await world.owners.probe(namespace)
        return WorkloadState.GONE if _since(world, pods) > SILENT else before.state


def _news(pod: PodRecord, before: Sequence[PodRecord]) -> bool:
    said = {(old.uid, old.verdict, old.reason, old.message) for old in before}
    return pod.verdict is not None and (pod.uid, pod.verdict, pod.reason, pod.message) not in said


async def _record(world: World, obj: Json, before: RunFacts, outbox: Outbox) -> Condition | None:
    """Send what the ledger has not acknowledged yet, and say whether it has everything."""
    if not world.ledger.configured:
        return None
    done = frozenset[str]()
    if runindex.recorded(obj.get("status") or {}):
        told = replace(outbox, facts=before, judgement=runs.judge(before), plans={})
        done = frozenset(message.id for message in told.messages())
    return await _send(world, [message for message in outbox.messages() if message.id not in done])


async def _send(world: World, unsent: Sequence[Message]) -> Condition:
    problem: UnavailableError | None = None
    for message in unsent:
        try:
            await world.ledger.send(message)
        except RejectedError as error:
            problem = error
        except UnavailableError as error:
            problem = error
            break
    if problem is None:
        return Condition(Type.RECORDED, Status.TRUE)
    return Condition(Type.RECORDED, Status.FALSE, Reason.LEDGER_UNAVAILABLE, str(problem))


def _again(world: World, facts: RunFacts, judgement: Judgement, recorded: Condition | None) -> float | None:
    if recorded is not None and recorded.status is not Status.TRUE:
        return RETRY_LEDGER
    if judgement.phase.ended or any(not pod.ended for pod in facts.pods):
        return None
    return min(LAST_POLL, max(1.0, _since(world, facts.pods).total_seconds() / 4))


def _since(world: World, pods: Sequence[PodRecord]) -> timedelta:
    """Time since the last pod has ended."""
    return world.now() - moment_of(max((pod.finished_at for pod in pods), default=""))
