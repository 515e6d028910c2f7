"""Changes JSON the way an attacker would: by structure, inside base64, and sometimes byte by byte."""

from __future__ import annotations

import base64
import binascii
import copy
import json
from typing import Any, Protocol

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    2**70,
    1.5,
    "",
    "\x00",
    "a" * 5000,
    "\ud800",
    "é" * 10,
    [],
    {},
    [[]],
    {"": {}},
    "sha256:" + "0" * 64,
    "2026-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999+23:59",
)

OPENINGS = (b"[", b'{"a": ', b"- ", b"? ")
"""What opens one more level, in JSON or YAML."""


class Choices(Protocol):
    """Where decisions come from: a seeded generator, or a coverage-guided fuzzer."""

    def below(self, end: int) -> int:
        """A number from 0 to end - 1."""
        ...


class Subject:
    """A JSON value to change again and again: its text and places are found once, so that inputs are cheap."""

    def __init__(self, value: Any) -> None:
        self.text = json.dumps(value)
        self._places = _places(value)

    def mutated(self, choices: Choices) -> bytes:
        """JSON text with one to three changes, mostly one, so that many inputs get past the first check.

        One time in eight the text itself is changed too.
        """
        tree = json.loads(self.text)
        for _ in range(1 + choices.below(2) * choices.below(3)):
            self._change(tree, choices)
        try:
            text = json.dumps(tree, ensure_ascii=bool(choices.below(2))).encode()
        except UnicodeEncodeError:
            text = json.dumps(tree).encode()
        if choices.below(64) == 0:
            text = _deep(text, choices)
        return _bytes(text, choices) if choices.below(8) == 0 else text

    def _change(self, tree: Any, choices: Choices) -> None:
        """Change one place, unless an earlier change took it away."""
        path = self._places[choices.below(len(self._places))]
        parent, last, there = _at(tree, path[:-1]), path[-1], _at(tree, path)
        if not isinstance(parent, dict | list) or there is None:
            return
        match choices.below(8):
            case 0:
                del parent[last]
            case 1:
                parent[last] = copy.deepcopy(_at(tree, self._places[choices.below(len(self._places))]))
            case 2:
                _twice(parent, last, there)
            case 3:
                parent[last] = _repeated(there, choices)
            case _:
                parent[last] = _other(there, choices)


def _places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(tree, dict):
        for key, child in tree.items():
            found += _places(child, (*path, key))
    elif isinstance(tree, list):
        for index, child in enumerate(tree):
            found += _places(child, (*path, index))
    return found


def _repeated(there: Any, choices: Choices) -> list[Any]:
    """A list beyond the caps of a small thing; of a large one only a few, or three changes would make megabytes."""
    large = isinstance(there, dict | list) or len(str(there)) > 100
    return [there] * (1 + choices.below(4 if large else 300))


def _twice(parent: Any, last: Any, there: Any) -> None:
    if isinstance(parent, list):
        parent.insert(last, copy.deepcopy(there))
    else:
        parent[str(last).swapcase()] = copy.deepcopy(there)


def _other(there: Any, choices: Choices) -> Any:
    if isinstance(there, str) and choices.below(4):
        return _text(there, choices)
    if isinstance(there, int) and choices.below(2):
        return there + choices.below(3) - 1
    return _odd(choices)


def _odd(choices: Choices) -> Any:
    return copy.deepcopy(ODD[choices.below(len(ODD))])


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _text(text: str, choices: Choices) -> str:
    try:
        raw = base64.b64decode(text, validate=True) if len(text) > 16 else b""
    except (binascii.Error, ValueError):
        raw = b""
    if raw and choices.below(4):
        return base64.b64encode(_bytes(raw, choices)).decode()
    at = choices.below(len(text) + 1)
    return text[:at] + chr(choices.below(0x250)) + text[at + choices.below(2) :]


def _deep(text: bytes, choices: Choices) -> bytes:
    """Nested beyond every stack, before the text or in the place of a value in it."""
    deep = OPENINGS[choices.below(len(OPENINGS))] * 30_000
    at = text.find(b": ", choices.below(len(text))) + 2
    return text[:at] + deep + text[at:] if at > 1 else deep + text


def _bytes(raw: bytes, choices: Choices) -> bytes:
    at = choices.below(len(raw)) if raw else 0
    match choices.below(3):
        case 0:
            return raw[:at] + bytes([raw[at] ^ (1 << choices.below(8))] if raw else []) + raw[at + 1 :]
        case 1:
            return raw[:at] + raw[at + 1 :]
        case _:
            return raw[:at] + bytes([choices.below(256)]) + raw[at:]
