"""What a new version takes over from an earlier one: what holds for the data set, never what was found of those bytes.

The new bytes have other checks, another run made them, and their sources have another state. A statement that carried
these over would vouch for what nobody looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TAKEN = frozenset({"dataset", "sources", "collection", "use", "quality", "extensions", "critical"})
_OF_BYTES: Mapping[str, frozenset[str]] = {
    "dataset": frozenset({"version", "previousVersion"}),
    "sources": frozenset({"pin", "digest", "attestation"}),
    "quality": frozenset({"checks", "statistics"}),
}
"""What these members say of one state of the data."""
_NAMES = frozenset({"dataset.name", "dataset.previousVersion"})


def inherited(previous: Mapping[str, Any]) -> dict[str, Any]:
    """What of an earlier version's predicate may hold for the next, which names that version as the previous one."""
    kept = {member: _without(value, _OF_BYTES.get(member)) for member, value in previous.items() if member in _TAKEN}
    version = previous.get("dataset", {}).get("version", "")
    kept["dataset"] = {**kept.get("dataset", {}), **({"previousVersion": version} if version else {})}
    return {member: value for member, value in kept.items() if value}


def _without(value: Any, members: frozenset[str] | None) -> Any:
    if members is None:
        return value
    if isinstance(value, list):
        return [_without(item, members) for item in value]
    return {member: said for member, said in value.items() if member not in members}


def over(previous: Mapping[str, Any], said: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """What is said over what was inherited: it wins, lists included, but no prohibited use is ever taken away."""
    made = dict(previous)
    for member, value in said.items():
        there, where = made.get(member), f"{path}{member}"
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            made[member] = over(there, value, f"{where}.")
        elif isinstance(value, list) and isinstance(there, list) and where in _LISTS:
            made[member] = _LISTS[where](there, value)
        else:
            made[member] = value
    return made


def _sources(there: list[Any], said: list[Any]) -> list[Any]:
    """The sources that are said, each with what the earlier version told of its URI."""
    known = {source["uri"]: source for source in there}
    return [{**known.get(source["uri"], {}), **source} for source in said]


def _grown(there: list[Any], said: list[Any]) -> list[Any]:
    return [*there, *(item for item in said if item not in there)]


_LISTS: Mapping[str, Callable[[list[Any], list[Any]], list[Any]]] = {"sources": _sources, "use.prohibited": _grown}


def taken_over(previous: Mapping[str, Any], said: Mapping[str, Any], flags: Mapping[str, Any]) -> list[str]:
    """Paths of what was inherited and is signed anew: neither the file nor a flag says it otherwise."""
    return [path for path in _standing(previous, said) if path not in _NAMES and not _replaced(flags, path)]


def _standing(previous: Mapping[str, Any], said: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for member, value in previous.items():
        where, there = f"{path}{member}", said.get(member)
        if isinstance(value, Mapping):
            yield from _standing(value, there if isinstance(there, Mapping) else {}, f"{where}.")
        elif there is None or where == "use.prohibited":
            yield where
        elif where == "sources":
            yield from _of_sources(value, there)


def _of_sources(there: list[Any], said: list[Any]) -> Iterator[str]:
    known = {source["uri"]: source for source in there}
    for i, source in enumerate(said):
        yield from (f"sources[{i}].{member}" for member in known.get(source["uri"], {}) if member not in source)


def _replaced(flags: Mapping[str, Any], path: str) -> bool:
    """Whether a flag says it: those of lists only add."""
    group, _, member = path.partition(".")
    said = flags.get(group, {})
    return isinstance(said, Mapping) and member in said and not isinstance(said[member], list)
