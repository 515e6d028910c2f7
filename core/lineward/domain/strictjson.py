"""JSON that means one thing to every reader: what is signed must not be read differently by two parsers.

Refuses duplicate and case-variant keys (in-toto/specification#74, CVE-2026-39395), NaN, trailing data, deep nesting
and anything over its cap before it is parsed (RFC 8259 section 4 leaves duplicates undefined).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

MAX_DEPTH = 32
"""Nested arrays and objects; the deepest legitimate member of a bundle or statement is at 9."""


def parse(raw: bytes | str, *, cap: int, what: str, reason: Reason = Reason.EVIDENCE_INVALID) -> Any:
    """Parse UTF-8 JSON of at most `cap` bytes.

    Raises InvalidInputError: EvidenceTooLarge over the cap, else `reason`, with `what` in the message.
    """
    if len(raw) > cap:
        raise InvalidInputError(Reason.EVIDENCE_TOO_LARGE, f"{what} has {len(raw)} bytes; at most {cap} are read")
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark, which JSON has none of (RFC 8259 section 8.1)")
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(reason, f"{what} is not strict JSON: {error}"[:300]) from error
    if _deeper_than(value, MAX_DEPTH):
        raise InvalidInputError(reason, f"{what} nests deeper than {MAX_DEPTH}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    count = len(pairs)
    if len(made) != count or (count > 1 and len(set(map(str.casefold, made))) != count):
        raise ValueError("duplicate key in an object")
    return made


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_CONTAINERS = (dict, list)


def _deeper_than(value: object, depth: int) -> bool:
    """Tell whether decoded JSON nests deeper; the types are exact, since it was this module that decoded it."""
    level: list[Any] = [value] if type(value) in _CONTAINERS else []
    while level and depth > 0:
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in _CONTAINERS
        ]
        depth -= 1
    return bool(level)
