"""Finds pods that read a claim or an NFS export as data while another pod could write to it.

Admission refuses this for claims, but two replicas of the webhook that admit a reader and a writer in the same moment
see neither, and an export has writers in every namespace. Both are seen afterwards, and then the reader's verdict says
nothing about what it read.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lineward.domain import claimuse, podstatus
from lineward.domain.claimuse import ClaimUse, Place
from lineward.domain.dataset import ClaimVolume
from lineward.domain.plan import Plan
from lineward.domain.podstatus import PodRecord
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict


@dataclass(frozen=True, slots=True)
class Stay:
    """A pod's time with its volumes. Times are RFC 3339 in whole seconds of UTC; `ended` is empty while it lasts."""

    namespace: str
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
    """The pod `reader`, of `namespace`, takes its volume `volume` for data, and the pod `writer` can write to it.

    `reader` is a uid, `writer` for people. `real` says whether both lived at one time as far as is known now: word of
    an end may come after that of a start.
    """

    namespace: str
    reader: str
    volume: str
    writer: str
    real: bool


_Key = tuple[str, str]
"""Where to look for those who may meet: namespace and claim, or nothing and an NFS server."""


class Stays:
    """Every pod that uses claims or NFS exports, for as long as its object exists."""

    def __init__(self) -> None:
        self._readers: defaultdict[_Key, dict[str, Stay]] = defaultdict(dict)
        self._writers: defaultdict[_Key, dict[str, Stay]] = defaultdict(dict)

    def note(self, pod: Mapping[str, Any], *, gone: bool) -> tuple[Overlap, ...]:
        """Take note of a pod's state, and return its overlaps with all others that are known, as reader and writer."""
        one = stay(pod)
        reads = {_key(one, place) for _, place in one.use.data}
        writes = {_key(one, place) for place in one.use.written}
        writers = {other.uid: other for key in reads for other in self._writers.get(key, {}).values()}
        readers = {other.uid: other for key in writes for other in self._readers.get(key, {}).values()}
        found = [pair for other in writers.values() for pair in _pairs(one, other)]
        found += [pair for other in readers.values() for pair in _pairs(other, one)]
        for index, keys in ((self._readers, reads), (self._writers, writes)):
            for key in keys:
                _keep(index, key, one, gone=gone)
        return tuple(found)

    def uids(self) -> set[str]:
        """Uids of the pods that are known."""
        return {uid for index in (self._readers, self._writers) for stays in index.values() for uid in stays}

    def forget(self, uid: str) -> None:
        """Forget a pod that is gone, though nobody saw how it ended."""
        for index in (self._readers, self._writers):
            for key in [key for key, stays in index.items() if uid in stays]:
                _remove(index, key, uid)


def stay(pod: Mapping[str, Any]) -> Stay:
    """Read a pod as the API server sends it."""
    meta = pod["metadata"]
    ended = (pod.get("status") or {}).get("phase") in podstatus.ENDED
    return Stay(
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uid=str(meta["uid"]),
        use=claimuse.read(pod),
        begun=str(meta.get("creationTimestamp", "")),
        ended=podstatus.finished(pod) if ended else "",
    )


def disturbed(record: PodRecord, plan: Plan, writers: Mapping[str, str]) -> PodRecord:
    """What is left of a pod's verdict where `writers`, pods by the volume's name, could write to its data."""
    if not writers:
        return record
    name, writer = next(iter(writers.items()))
    claim = next((v.claim for v in plan.volumes if v.volume == name), "")
    what = f"claim {claim[:100]}" if claim else f"the export of volume {name}"
    volumes = [
        VolumeVerdict(v.volume, Verdict.UNKNOWN, Reason.DATA_WRITABLE, v.dataset, v.version, expected=v.root)
        for v in plan.volumes
        if v.volume in writers
    ]
    message = f"pod {writer[:100]} mounted {what} writable while this pod took it for data"
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


def _pairs(reader: Stay, writer: Stay) -> Iterator[Overlap]:
    """The overlaps of two pods. Pods of one run under audit, which all mount their data writable, do not count."""
    if reader.uid == writer.uid:
        return
    elsewhere = "" if reader.namespace == writer.namespace else f"{writer.namespace}/"
    for volume, read in reader.use.data:
        met = [place for place in writer.use.written if _meet(reader, read, writer, place)]
        if not all(reader.use.audits(read) and writer.use.audits(place) for place in met):
            yield Overlap(reader.namespace, reader.uid, volume, elsewhere + writer.name, reader.meets(writer))


def _meet(one: Stay, place: Place, other: Stay, theirs: Place) -> bool:
    """Whether two places hold the same files: one claim, or exports of which one lies at or under the other."""
    if _key(one, place) != _key(other, theirs):
        return False
    if isinstance(place, ClaimVolume) or isinstance(theirs, ClaimVolume):
        return True
    ours, others = _parts(place.path), _parts(theirs.path)
    return all(map(str.__eq__, ours, others))


def _key(one: Stay, place: Place) -> _Key:
    if isinstance(place, ClaimVolume):
        return one.namespace, place.name
    return "", place.server.lower().rstrip(".")


def _parts(path: str) -> list[str]:
    return posixpath.normpath(path).strip("/").split("/") if path.strip("/.") else []


def _keep(index: defaultdict[_Key, dict[str, Stay]], key: _Key, one: Stay, *, gone: bool) -> None:
    if gone:
        _remove(index, key, one.uid)
    else:
        index[key][one.uid] = one


def _remove(index: defaultdict[_Key, dict[str, Stay]], key: _Key, uid: str) -> None:
    index[key].pop(uid, None)
    if not index[key]:
        del index[key]


def _before(begun: str, ended: str) -> bool:
    return not ended or begun < ended
