"""Finds pods that read a claim as data while another pod could write to it.

Admission refuses this, but two replicas of the webhook that admit a reader and a writer in the same moment see neither.
Both are seen afterwards, and then the reader's verdict says nothing about what it read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lineward.domain import claimuse, podstatus
from lineward.domain.claimuse import ClaimUse
from lineward.domain.plan import Plan
from lineward.domain.podstatus import PodRecord
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict


@dataclass(frozen=True, slots=True)
class Stay:
    """A pod's time with its claims. Times are RFC 3339 in whole seconds of UTC; `ended` is empty while it lasts."""

    name: str
    uid: str
    use: ClaimUse
    begun: str
    ended: str = ""

    def meets(self, other: Stay) -> bool:
        """Whether both lived at one time; a pod that was created in the second in which another ended did not."""
        return _before(self.begun, other.ended) and _before(other.begun, self.ended)


@dataclass(frozen=True, slots=True)
class Overlap:
    """The pod with uid `reader` takes `claim` for data, and the pod named `writer` can write to it.

    `real` says whether both lived at one time as far as is known now: word of an end may come after that of a start.
    """

    reader: str
    claim: str
    writer: str
    real: bool


class Stays:
    """Every pod that uses claims, for as long as its object exists."""

    def __init__(self) -> None:
        self._readers: defaultdict[tuple[str, str], dict[str, Stay]] = defaultdict(dict)
        self._writers: defaultdict[tuple[str, str], dict[str, Stay]] = defaultdict(dict)

    def note(self, pod: Mapping[str, Any], *, gone: bool) -> tuple[Overlap, ...]:
        """Take note of a pod's state, and return its overlaps with all others that are known, as reader and writer."""
        one, namespace = stay(pod), str(pod["metadata"].get("namespace", ""))
        reads = [(namespace, claim) for claim in one.use.reads]
        writes = [(namespace, claim) for claim in one.use.writes]
        found = [
            *(
                pair
                for key in reads
                for other in self._writers.get(key, {}).values()
                for pair in _pair(one, other, key[1])
            ),
            *(
                pair
                for key in writes
                for other in self._readers.get(key, {}).values()
                for pair in _pair(other, one, key[1])
            ),
        ]
        for index, keys in ((self._readers, reads), (self._writers, writes)):
            for key in keys:
                _keep(index, key, one, gone=gone)
        return tuple(found)


def stay(pod: Mapping[str, Any]) -> Stay:
    """Read a pod as the API server sends it."""
    meta = pod["metadata"]
    ended = (pod.get("status") or {}).get("phase") in podstatus.ENDED
    return Stay(
        name=str(meta.get("name", "")),
        uid=str(meta["uid"]),
        use=claimuse.read(pod),
        begun=str(meta.get("creationTimestamp", "")),
        ended=podstatus.finished(pod) if ended else "",
    )


def disturbed(record: PodRecord, plan: Plan, writers: Mapping[str, str]) -> PodRecord:
    """What is left of a pod's verdict where `writers`, names of pods by claim, could write to its data."""
    if not writers:
        return record
    claim, writer = next(iter(writers.items()))
    volumes = [
        VolumeVerdict(v.volume, Verdict.UNKNOWN, Reason.DATA_WRITABLE, v.dataset, v.version, expected=v.root)
        for v in plan.volumes
        if v.claim in writers
    ]
    message = f"pod {writer[:100]} mounted claim {claim[:100]} writable while this pod took it for data"
    return _unverified(record, message, volumes)


def remembered(record: PodRecord, before: PodRecord) -> PodRecord:
    """Keep what `disturbed` once said: the writer may be gone by now."""
    if before.reason is not Reason.DATA_WRITABLE:
        return record
    volumes = [volume for volume in before.volumes if volume.reason is Reason.DATA_WRITABLE]
    return _unverified(record, before.message, volumes)


def _unverified(record: PodRecord, message: str, volumes: Sequence[VolumeVerdict]) -> PodRecord:
    """Never Verified; a worse verdict of its own stays, and so does the first message."""
    again = record.reason is Reason.DATA_WRITABLE
    if record.verdict not in {None, Verdict.VERIFIED} and not again:
        return record
    names = {volume.volume for volume in volumes}
    kept = [
        replace(v, verdict=Verdict.UNKNOWN, reason=Reason.DATA_WRITABLE) if v.volume in names else v
        for v in record.volumes
    ]
    new = [volume for volume in volumes if volume.volume not in {v.volume for v in kept}]
    return replace(
        record,
        verdict=Verdict.UNKNOWN,
        reason=Reason.DATA_WRITABLE,
        message=record.message if again else message,
        volumes=(*kept, *new),
    )


def _pair(reader: Stay, writer: Stay, claim: str) -> Iterator[Overlap]:
    """The overlap of two pods. Pods of one run under audit, which all mount their data writable, do not count."""
    excused = reader.use.audits(claim) and writer.use.audits(claim)
    if reader.uid != writer.uid and not excused:
        yield Overlap(reader.uid, claim, writer.name, reader.meets(writer))


def _keep(index: defaultdict[tuple[str, str], dict[str, Stay]], key: tuple[str, str], one: Stay, *, gone: bool) -> None:
    if not gone:
        index[key][one.uid] = one
        return
    index[key].pop(one.uid, None)
    if not index[key]:
        del index[key]


def _before(begun: str, ended: str) -> bool:
    return not ended or begun < ended
