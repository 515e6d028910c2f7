"""Everything that is wrong with provenance which is about to be signed, so that its author corrects it once.

A verifier stops at the first mistake. Here the same parser reads on, with a reader that notes each mistake and stands
in for the value; what it makes of the rest is thrown away, and nothing is accepted by it.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn, ParamSpec, TypeVar

from lineward.domain import provenance
from lineward.domain.digest import Digest
from lineward.domain.errors import MAX_MISTAKES, InvalidInputError, MistakesError
from lineward.domain.fields import MAX_ITEMS, Reader
from lineward.domain.origins import Consent, ConsentStatus
from lineward.domain.provenance import Provenance
from lineward.domain.reasons import Reason

_Asked = ParamSpec("_Asked")
_Read = TypeVar("_Read")
_Made = TypeVar("_Made")
_Other = TypeVar("_Other")
_Choice = TypeVar("_Choice", bound=StrEnum)


def found(predicate: Mapping[str, Any]) -> list[str]:
    """What a verifier would refuse the predicate for, one `path: problem` for each path."""
    reader = _Noting(predicate, "", Reason.PROVENANCE_INVALID)
    with contextlib.suppress(InvalidInputError):
        provenance.read(reader)
    return [f"{path}: {problem}" if path else problem for path, problem in reader.noted.items()]


def require_usable(said: Provenance, now: datetime) -> None:
    """Refuse what no pod could ever use, whatever a policy says. Raises MistakesError(ProvenanceInvalid)."""
    use, problems = said.use, []
    if use.expires is not None and use.expires < now:
        problems.append(f"use.expires: {_time(use.expires)} is past, so no pod could use the data")
    if use.expires is not None and use.not_before is not None and use.expires < use.not_before:
        problems.append(f"use.expires: {_time(use.expires)} is before use.notBefore, {_time(use.not_before)}")
    if problems:
        raise MistakesError(Reason.PROVENANCE_INVALID, problems)


def doubtful(said: Provenance, now: datetime) -> list[str]:
    """What the policies refuse that have a say in it: consents that cover no moment to come."""
    consents = ((f"sources[{i}].consent", source.consent) for i, source in enumerate(said.sources))
    problems = ((path, _over(consent, now)) for path, consent in consents if consent)
    return [f"{path}: {problem}, which policies with consent: Required refuse" for path, problem in problems if problem]


def _over(consent: Consent, now: datetime) -> str:
    if consent.status is ConsentStatus.WITHDRAWN:
        return "it is withdrawn"
    if consent.valid_until is None:
        return ""
    if consent.valid_until < now:
        return f"it ended at {_time(consent.valid_until)}"
    begins_later = consent.valid_from is not None and consent.valid_until < consent.valid_from
    return "it ends before it begins" if begins_later else ""


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _going_on(read: Callable[_Asked, _Read], stand_in: _Read) -> Callable[_Asked, _Read]:
    """The method, with a value to go on with where it refuses."""

    def reading(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Read:
        try:
            return read(*args, **kwargs)
        except InvalidInputError:
            return stand_in

    return reading


class _Noting(Reader):
    """Notes the first problem of each path, and goes on."""

    __slots__ = ("noted",)

    def __init__(self, raw: object, name: str, reason: Reason, parent: Reader | None = None) -> None:
        self.noted: dict[str, str] = parent.noted if isinstance(parent, _Noting) else {}
        try:
            super().__init__(raw, name, reason, parent)
        except InvalidInputError:
            self.noted = {}  # what is no object is not also told what it lacks
            super().__init__({}, name, reason, parent)

    def fail(self, problem: str, name: str = "") -> NoReturn:
        self.noted.setdefault(self.at(name), problem)
        super().fail(problem, name)

    value = _going_on(Reader.value, None)
    text = _going_on(Reader.text, "")
    whole = _going_on(Reader.whole, 0)
    flag = _going_on(Reader.flag, None)
    digest = _going_on(Reader.digest, Digest(bytes(32)))
    moment = _going_on(Reader.moment, None)
    pairs = _going_on(Reader.pairs, {})

    def _text(self, value: object, name: str, cap: int, pattern: str = "") -> str:
        try:
            return super()._text(value, name, cap, pattern)
        except InvalidInputError:
            return ""

    def _list(self, name: str, cap: int) -> Sequence[Any]:
        try:
            return super()._list(name, cap)
        except InvalidInputError:
            return ()

    def choice(self, name: str, kind: type[_Choice], default: _Choice | None = None) -> _Choice:
        try:
            return super().choice(name, kind, default)
        except InvalidInputError:
            return next(iter(kind))

    def nested(self, name: str, parse: Callable[[Reader], _Made], instead: _Other) -> _Made | _Other:
        try:
            return super().nested(name, parse, instead)
        except InvalidInputError:
            return instead

    def each(self, name: str, parse: Callable[[Reader], _Made], *, cap: int = MAX_ITEMS) -> tuple[_Made, ...]:
        made = []
        for item in self.objects(name, cap=cap):
            with contextlib.suppress(InvalidInputError):
                made.append(parse(item))
        return tuple(made)

    def done(self) -> None:
        for name, value in self.raw.items():
            if name not in self._seen:
                self.noted.setdefault(self.at(name[:80]), f"is unknown{self._like(name[:80])}")
            elif value is None:
                self.noted.setdefault(self.at(name), "has no value: leave it out, or give one")

    def _like(self, name: str) -> str:
        """A known name that is much like this one; looked for only as long as it will be shown."""
        near = difflib.get_close_matches(name, self._seen, 1) if len(self.noted) < MAX_MISTAKES else []
        return f"; {near[0]} is known" if near else ""
