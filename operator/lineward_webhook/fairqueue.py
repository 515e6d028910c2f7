"""A queue in which no namespace can keep the others waiting.

Namespaces take turns, and each has a budget that refills slowly, so thousands of bad attestations in one of them delay
another's by one verification and cannot burn a processor for ever.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

BURST = 4096
"""Verifications a namespace may ask for at once: a large cluster's restart; at 4 ms each, 16 seconds."""
RATE = 25.0
"""Verifications per second and namespace after that: a tenth of a core."""

T = TypeVar("T", bound=Hashable)


@dataclass(slots=True)
class _Lane(Generic[T]):
    budget: float
    refilled: float
    waiting: deque[T] = field(default_factory=deque)


class FairQueue(Generic[T]):
    """Items by namespace, each item at most once. Times are seconds of any steady clock."""

    def __init__(self, burst: int = BURST, rate: float = RATE) -> None:
        self._burst, self._rate = burst, rate
        self._lanes: OrderedDict[str, _Lane[T]] = OrderedDict()
        self._items: set[T] = set()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, namespace: str, item: T, now: float) -> None:
        """Add an item unless it waits already."""
        if item in self._items:
            return
        self._items.add(item)
        lane = self._lanes.setdefault(namespace, _Lane(self._burst, now))
        lane.waiting.append(item)

    def get(self, now: float) -> T | None:
        """Return the next item of the namespace whose turn it is; None where all that wait have spent their budget."""
        for namespace in tuple(self._lanes):
            lane = self._lanes[namespace]
            lane.budget = min(self._burst, lane.budget + (now - lane.refilled) * self._rate)
            lane.refilled = now
            if not lane.waiting:
                if lane.budget >= self._burst:
                    del self._lanes[namespace]
            elif lane.budget >= 1:
                lane.budget -= 1
                self._lanes.move_to_end(namespace)
                item = lane.waiting.popleft()
                self._items.discard(item)
                return item
        return None
