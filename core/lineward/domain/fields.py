"""Reads untrusted JSON-like values field by field, with caps, so that parsers state shapes instead of checking types.

A `Reader` remembers which fields were asked for: `done()` refuses the rest, so that a typing error in a policy or
statement is an error and never a rule that silently does not apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

MAX_TEXT = 4096
"""Characters of one text field; longer ones (keys, bundles) say so where they are read."""
MAX_ITEMS = 256
"""Items of one list, unless the reader of the list says otherwise."""
MAX_WHOLE = 2**63 - 1
"""Kubernetes integers are int64 (API conventions, "Primitive types")."""

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which no UTF-8 can hold (RFC 8259 section 8.2)."""
_FRACTION = re.compile(r"(\.\d{6})\d+")
_Choice = TypeVar("_Choice", bound=StrEnum)
_Made = TypeVar("_Made")
_Other = TypeVar("_Other")


class Reader:
    """One JSON object being read. Every method raises InvalidInputError(`reason`) naming the field's path."""

    __slots__ = ("_name", "_parent", "_seen", "raw", "reason")

    def __init__(self, raw: object, name: str, reason: Reason, parent: Reader | None = None) -> None:
        self._name, self._parent, self.reason = name, parent, reason
        if not isinstance(raw, dict) and not isinstance(raw, Mapping):
            self.fail("must be an object")
        self.raw: Mapping[str, Any] = raw
        self._seen: set[str] = set()

    @property
    def path(self) -> str:
        """Where the object is, for messages; put together only when there is one."""
        above = self._parent.path if self._parent else ""
        return ".".join(part for part in (above, self._name) if part)

    def fail(self, problem: str, name: str = "") -> NoReturn:
        """Refuse the object, or the field `name` of it."""
        raise InvalidInputError(self.reason, f"{self.at(name)} {problem}")

    def at(self, name: str) -> str:
        """Path of a field, or of the object itself."""
        return ".".join(part for part in (self.path, name) if part)

    def has(self, name: str) -> bool:
        """Tell whether the field is there and not null."""
        self._seen.add(name)
        return self.raw.get(name) is not None

    def value(self, name: str) -> Any:
        """The field as it stands; refused where it is missing."""
        self._seen.add(name)
        value = self.raw.get(name)
        if value is None:
            self.fail("is missing", name)
        return value

    def text(self, name: str, default: str | None = None, *, cap: int = MAX_TEXT, pattern: str = "") -> str:
        """A text of at most `cap` characters, matching `pattern` in full; empty only where there is a default."""
        self._seen.add(name)
        value = self.raw.get(name)
        if value is None or value == "":
            if default is not None:
                return default
            self.fail("is missing" if value is None else "must be a text that is not empty", name)
        return self._text(value, name, cap, pattern)

    def _text(self, value: object, name: str, cap: int, pattern: str = "") -> str:
        if not isinstance(value, str) or not value:
            self.fail("must be a text that is not empty", name)
        if len(value) > cap:
            self.fail(f"is longer than {cap} characters", name)
        if not value.isprintable() and _CONTROL.search(value):
            self.fail("holds control characters or half a surrogate pair", name)
        if pattern and not re.fullmatch(pattern, value):
            self.fail(f"must match {pattern}", name)
        return value

    def texts(self, name: str, *, cap: int = MAX_ITEMS, length: int = MAX_TEXT) -> tuple[str, ...]:
        """A list of texts; empty where the field is missing."""
        items = self._list(name, cap)
        return tuple([self._text(item, f"{name}[{i}]", length) for i, item in enumerate(items)]) if items else ()

    def whole(self, name: str, default: int | None = None, *, low: int = 0, high: int = MAX_WHOLE) -> int:
        """A whole number between `low` and `high`, both included."""
        if default is not None and not self.has(name):
            return default
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(f"must be a whole number from {low} to {high}", name)
        return value

    def flag(self, name: str) -> bool | None:
        """True, false, or None where the field is missing."""
        if not self.has(name):
            return None
        value = self.value(name)
        if not isinstance(value, bool):
            self.fail("must be true or false", name)
        return value

    def choice(self, name: str, kind: type[_Choice], default: _Choice | None = None) -> _Choice:
        """One of the words of `kind`."""
        if default is not None and not self.has(name):
            return default
        text = self.text(name)
        try:
            return kind(text)
        except ValueError:
            self.fail(f"must be one of {', '.join(kind)}", name)

    def digest(self, name: str) -> Digest:
        """A `sha256:<hex>` digest."""
        try:
            return Digest.parse(self.text(name))
        except InvalidInputError as error:
            self.fail(f"is no digest: {error.message}", name)

    def moment(self, name: str) -> datetime | None:
        """A time of RFC 3339 with its zone (or a datetime of a YAML reader), in UTC; None where missing."""
        self._seen.add(name)
        value = self.raw.get(name)
        if value is None:
            return None
        try:
            return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else moment(value)
        except (ValueError, OverflowError, TypeError):
            self.fail("must be a time such as 2026-01-31T12:00:00Z", name)

    def duration(self, name: str) -> timedelta | None:
        """A duration such as `8760h` or `1h30m`; None where missing."""
        if not self.has(name):
            return None
        found = _DURATION.fullmatch(self.text(name, cap=32))
        if not found or not any(found.groups()):
            self.fail("must be a duration such as 720h or 1h30m", name)
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)

    def object(self, name: str) -> Reader:
        """A nested object; refused where missing."""
        return type(self)(self.value(name), name, self.reason, self)

    def objects(self, name: str, *, cap: int = MAX_ITEMS) -> tuple[Reader, ...]:
        """A list of objects; empty where the field is missing."""
        items = self._list(name, cap)
        make = type(self)
        return tuple([make(item, f"{name}[{i}]", self.reason, self) for i, item in enumerate(items)]) if items else ()

    def nested(self, name: str, parse: Callable[[Reader], _Made], instead: _Other) -> _Made | _Other:
        """What `parse` makes of a nested object; `instead` where the field is missing."""
        self._seen.add(name)
        value = self.raw.get(name)
        return instead if value is None else parse(type(self)(value, name, self.reason, self))

    def each(self, name: str, parse: Callable[[Reader], _Made], *, cap: int = MAX_ITEMS) -> tuple[_Made, ...]:
        """What `parse` makes of each object of a list; empty where the field is missing."""
        return tuple([parse(item) for item in self.objects(name, cap=cap)])

    def pairs(self, name: str, *, cap: int = MAX_ITEMS) -> dict[str, str]:
        """An object of texts, such as labels; values may be empty. Empty where the field is missing."""
        if not self.has(name):
            return {}
        value = self.value(name)
        if not isinstance(value, Mapping) or len(value) > cap:
            self.fail(f"must be an object of at most {cap} texts", name)
        if not all(isinstance(k, str) and isinstance(v, str) and len(v) <= MAX_TEXT for k, v in value.items()):
            self.fail("must hold texts only", name)
        return dict(value)

    def _list(self, name: str, cap: int) -> Sequence[Any]:
        self._seen.add(name)
        value = self.raw.get(name)
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)):
            self.fail("must be a list", name)
        if len(value) > cap:
            self.fail(f"has more than {cap} items", name)
        return value

    def one_of(self, *names: str) -> str:
        """The one of these fields that is there; none or several are refused."""
        there = [name for name in names if self.has(name)]
        if len(there) != 1:
            self.fail(f"must have exactly one of {', '.join(names)}")
        return there[0]

    def done(self) -> None:
        """Refuse fields that nobody asked for, and null: a rule without a value must not look like one that holds."""
        if not self.raw.keys() <= self._seen:
            unknown = sorted(str(name) for name in self.raw.keys() - self._seen)
            self.fail(f"has unknown fields: {', '.join(unknown)[:200]}")
        if None in self.raw.values():
            empty = sorted(str(name) for name, value in self.raw.items() if value is None)
            self.fail(f"has no value (leave it out, or give one): {', '.join(empty)[:200]}")


def moment(text: str) -> datetime:
    """Parse a time of RFC 3339 with its zone, in UTC. Raises ValueError."""
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise ValueError("not a time of RFC 3339")
    short = _FRACTION.sub(r"\1", text) if "." in text else text
    return datetime.fromisoformat(short.upper()).astimezone(UTC)
