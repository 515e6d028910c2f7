"""What the sidecar tells about its pod: the run's START, RUNNING from time to time, and change in the data at once.

The first walk over each volume is kept in a file, so that a restart of the sidecar compares with the beginning of the
run and not with its own.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lineward.domain import lineage
from lineward.domain.lineage import Census, EventType, Run
from lineward.domain.plan import Plan, PlannedVolume
from lineward.domain.verdict import PodVerdict
from lineward_sidecar.census import Count, Walk
from lineward_sidecar.metrics import Metrics
from lineward_sidecar.spool import START, Spool

BUSY_SHARE = 20
"""Between two walks of a volume passes this many times what a walk took."""

_log = logging.getLogger("lineward.sidecar")


@dataclass
class Observer:
    """Makes events and puts them into all spools; safe to use from several threads."""

    plan: Plan
    verdict: PodVerdict | None
    cluster: str
    namespace: str
    run: Run
    spools: Sequence[Spool]
    folder: Path
    _latest: dict[str, Census] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Emit START, once in the life of the pod."""
        mark = self.folder / "started"
        if mark.exists():
            self.running()
            return
        self._emit(EventType.START, START)
        write(mark, "")

    def running(self) -> None:
        """Emit RUNNING with what the last walks saw."""
        self._emit(EventType.RUNNING, "running")

    def saw(self, volume: PlannedVolume, census: Census) -> None:
        """Note what a walk saw, for the next event."""
        with self._lock:
            self._latest[volume.volume] = census

    def changed(self) -> None:
        """Emit at once what the last walks saw."""
        self._emit(EventType.RUNNING, "changed")

    def _emit(self, event_type: EventType, kind: str) -> None:
        found = {each.volume: each for each in self.verdict.volumes} if self.verdict else {}
        with self._lock:
            latest = dict(self._latest)
        inputs = [
            lineage.input_dataset(self.cluster, self.namespace, each, found.get(each.volume), latest.get(each.volume))
            for each in self.plan.volumes
        ]
        outputs = [lineage.output_dataset(self.cluster, self.namespace, each) for each in self.plan.outputs]
        event = lineage.run_event(event_type, self.run, datetime.now(UTC), inputs, outputs)
        data = json.dumps(event, separators=(",", ":")).encode()
        for spool in self.spools:
            spool.put(kind, data)


class Watcher:
    """Walks the volumes again and again in a thread, and reports what differs from the first walk."""

    def __init__(self, observer: Observer, metrics: Metrics, seconds: float) -> None:
        self._observer = observer
        self._metrics = metrics
        self._seconds = seconds
        self._file = observer.folder / "first-census.json"
        self._first = read_counts(self._file)
        self._last = dict(self._first)

    def start(self) -> None:
        """Begin to walk."""
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self, pause: Callable[[float], object] = time.sleep) -> None:
        """Walk for ever; `pause` is called with seconds."""
        while True:
            started = time.monotonic()
            for volume in self._observer.plan.volumes:
                self.look(volume, pause)
            pause(max(self._seconds, BUSY_SHARE * (time.monotonic() - started)))

    def look(self, volume: PlannedVolume, pause: Callable[[float], object]) -> None:
        """Walk one volume once."""
        try:
            count = Walk(pause).count(volume.path)
        except OSError as error:
            _log.warning("volume %s could not be walked: %s", volume.volume, error)
            self._metrics.censuses.labels(volume.volume, "failed").inc()
            return
        first = self._first.setdefault(volume.volume, count)
        if volume.volume not in self._last:
            write(self._file, json.dumps({name: asdict(each) for name, each in self._first.items()}))
        before = self._last.get(volume.volume, first)
        self._last[volume.volume] = count
        differs = count != first
        self._observer.saw(volume, Census(count.files, count.bytes, differs, datetime.now(UTC)))
        self._metrics.censuses.labels(volume.volume, "changed" if differs else "same").inc()
        if differs:
            self._metrics.changed.labels(volume.volume).set(1)
        if count != before:
            fields = {"volume": volume.volume, "files": count.files, "bytes": count.bytes}
            _log.warning("data changed during the run", extra=fields)
            self._observer.changed()


def read_counts(path: Path) -> dict[str, Count]:
    """Return the first walks of an earlier life of this container, if there are any."""
    try:
        return {str(name): Count(**each) for name, each in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("the first census is lost: %s", error)
        return {}


def write(path: Path, text: str) -> None:
    """Write a file if it can be; what is lost otherwise is only comparison across restarts."""
    try:
        draft = path.with_suffix(".part")
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        _log.warning("%s cannot be kept: %s", path, error)
