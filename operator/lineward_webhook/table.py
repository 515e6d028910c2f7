"""Objects of one kind as the watch shows them, parsed once, with indexes that follow every change.

A request reads these and nothing else, so reading costs dictionary look-ups and never a scan.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Index(Generic[K, V]):
    """Values by something other than their object's key; an object may stand under several keys."""

    def __init__(self) -> None:
        self._values: dict[K, dict[Key, V]] = {}
        self._under: dict[Key, tuple[K, ...]] = {}

    def set(self, owner: Key, entries: Iterable[tuple[K, V]]) -> None:
        """Replace everything that the object stands for."""
        for key in self._under.pop(owner, ()):
            values = self._values[key]
            values.pop(owner, None)
            if not values:
                del self._values[key]
        kept = dict(entries)
        for key, value in kept.items():
            self._values.setdefault(key, {})[owner] = value
        if kept:
            self._under[owner] = tuple(kept)

    def get(self, key: K) -> tuple[V, ...]:
        """Values under the key, of all objects."""
        return tuple(self._values.get(key, {}).values())


class Table(Generic[T]):
    """All objects of a kind, as `parse` reads them; `changed` hears of each one, with None for one that is gone."""

    def __init__(
        self, parse: Callable[[Mapping[str, Any]], T | None], changed: Callable[[Key, T | None], None] | None = None
    ) -> None:
        self.rows: dict[Key, T] = {}
        self.parse = parse
        self._changed = changed or (lambda _key, _row: None)

    def replace(self, rows: Mapping[Key, T]) -> None:
        """Take over a whole list."""
        for gone in self.rows.keys() - rows.keys():
            self.put(gone, None)
        for key, row in rows.items():
            self.put(key, row)

    def put(self, key: Key, row: T | None) -> None:
        """Take over one object; None forgets it."""
        if row is None:
            if self.rows.pop(key, None) is None:
                return
        elif self.rows.get(key) == row:
            return
        else:
            self.rows[key] = row
        self._changed(key, row)


def key_of(obj: Mapping[str, Any]) -> Key:
    """Namespace and name of an API object."""
    meta = obj["metadata"]
    return str(meta.get("namespace", "")), str(meta["name"])
