"""What the ledger and the lineage receivers are to know of a run, derived from the run's facts alone.

The same facts give the same messages with the same ids, whoever asks and however often; that is what makes "sent again
after a crash" harmless.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lineward.domain import lineage, podentry, runs
from lineward.domain.fields import moment
from lineward.domain.lineage import EventType, Run
from lineward.domain.plan import Plan, PlannedVolume
from lineward.domain.podstatus import PodRecord
from lineward.domain.runs import Judgement, Phase, RunFacts
from lineward.domain.verdict import VolumeVerdict
from lineward_operator.ledger import Message

ENTRIES = "/api/v1/entries"
LINEAGE = "/api/v1/lineage"
TESTIMONY = ("verdict", "reason", "message", "mode", "volumes", "policies", "exitCode", "imageID")
"""What of a pod goes into its verdict entry: all that does not change afterwards."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """One run, ready to be told. `plans` are those of its pods that still exist, by uid."""

    cluster: str
    namespace: str
    facts: RunFacts
    judgement: Judgement
    plans: Mapping[str, Plan] = field(default_factory=dict)

    def messages(self) -> tuple[Message, ...]:
        """Everything to be sent about the run so far."""
        found = [*self._run_events()]
        for pod in self.facts.pods:
            if pod.verdict is not None:
                found.append(self._verdict(pod))
            if pod.ended and (pod.finished_at or pod.started_at) and self.facts.workload.uid != pod.uid:
                found.append(self._pod_end(pod))
        if self.judgement.phase.ended:
            found.append(self._run_entry())
        return tuple(found)

    def _run_events(self) -> Iterator[Message]:
        begun = min((pod.started_at for pod in self.facts.pods if pod.started_at), default="")
        if not begun:
            return
        run, data = self._run(), self._data(self.facts.pods)
        yield _event(EventType.START, run, begun, data)
        if self.judgement.phase is Phase.SUCCEEDED:
            yield _event(EventType.COMPLETE, run, self._end() or begun, data)
        elif self.judgement.phase is Phase.FAILED:
            why = self.judgement.message or "the workload failed"
            yield _event(EventType.FAIL, run, self._end() or begun, data, why)

    def _run(self) -> Run:
        workload = self.facts.workload
        return lineage.workload_run(self.cluster, self.namespace, workload.kind, workload.name, workload.uid)

    def _pod_end(self, pod: PodRecord) -> Message:
        above = self._run()
        run = Run(pod.uid, above.namespace, f"{above.job}.pod", "POD", above)
        data, end = self._data((pod,)), pod.finished_at or pod.started_at
        if pod.phase == Phase.FAILED.value:
            return _event(EventType.FAIL, run, end, data, pod.message or "the pod failed")
        return _event(EventType.COMPLETE, run, end, data)

    def _data(self, pods: Iterable[PodRecord]) -> Data:
        """Inputs and outputs of some pods, each data volume once, as the plan says where it is known."""
        inputs: dict[tuple[str, ...], Any] = {}
        outputs: dict[str, Any] = {}
        for pod in pods:
            plan = self.plans.get(pod.uid)
            planned = {volume.volume: volume for volume in plan.volumes} if plan else {}
            verdicts = {volume.volume: volume for volume in pod.volumes}
            for name in dict.fromkeys((*planned, *verdicts)):
                volume = planned.get(name) or _planned(verdicts[name])
                data = lineage.input_dataset(self.cluster, self.namespace, volume, verdicts.get(name))
                inputs.setdefault((data["namespace"], data["name"], volume.version, volume.root), data)
            for output in plan.outputs if plan else ():
                outputs.setdefault(output.claim, lineage.output_dataset(self.cluster, self.namespace, output))
        return Data(tuple(inputs.values()), tuple(outputs.values()))

    def _verdict(self, pod: PodRecord) -> Message:
        encoded = podentry.encode(pod)
        said = {name: encoded[name] for name in TESTIMONY if name in encoded}
        about = {"namespace": self.namespace, "pod": pod.name, "podUid": pod.uid}
        return self._entry("verdict", pod.uid, {**said, **about, "workload": runs.reference(self.facts.workload)})

    def _run_entry(self) -> Message:
        body = {
            "namespace": self.namespace,
            "workload": runs.reference(self.facts.workload),
            "phase": self.judgement.phase.value,
            "verdict": self.judgement.verdict.value if self.judgement.verdict else "",
            "reason": self.judgement.reason.value,
            "message": self.judgement.message,
            "agreement": self.judgement.agreement,
            "pods": sorted(pod.uid for pod in self.facts.pods)[: runs.MAX_PODS],
            "finishedAt": self._end(),
        }
        return self._entry("run", self.facts.workload.uid, body)

    def _entry(self, kind: str, uid: str, body: Mapping[str, Any]) -> Message:
        """An entry whose id changes with what it says, so that a later, different verdict is no repetition."""
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        identity = f"{uid}:{kind}:{digest}"
        workload = self.facts.workload
        subject = f"{self.namespace}/{workload.kind}/{workload.name}"
        entry = {"id": identity, "kind": kind, "subject": subject, "run": workload.uid, "body": body}
        return Message(identity, ENTRIES, entry)

    def _end(self) -> str:
        return max((pod.finished_at for pod in self.facts.pods), default="")


@dataclass(frozen=True, slots=True)
class Data:
    """Inputs and outputs of a lineage event."""

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


def _event(kind: EventType, run: Run, at: str, data: Data, error: str = "") -> Message:
    body = lineage.run_event(kind, run, moment_of(at), data.inputs, data.outputs)
    body = lineage.with_error(body, error) if error else body
    return Message(f"{run.run_id}:{kind.value}", LINEAGE, body, lineage=True)


def _planned(found: VolumeVerdict) -> PlannedVolume:
    return PlannedVolume(
        volume=found.volume, path="", dataset=found.dataset, version=found.version, root=found.expected
    )


def moment_of(text: str) -> datetime:
    """A time that the API server wrote, the epoch where it is none."""
    try:
        return moment(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
