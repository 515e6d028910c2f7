"""SHA-256 digests as values, written `sha256:<64 lower-case hex digits>` everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

_TEXT = re.compile(r"sha256:[0-9a-f]{64}")


class _Digest(NamedTuple):
    raw: bytes


class Digest(_Digest):
    """A SHA-256 digest (FIPS 180-4); `raw` is 32 bytes. Law: `Digest.parse(str(d)) == d`."""

    __slots__ = ()

    def __new__(cls, raw: bytes) -> Self:
        """Raises InvalidInputError(RequestInvalid) where `raw` has another length."""
        if len(raw) != 32:
            raise InvalidInputError(Reason.REQUEST_INVALID, "a SHA-256 digest has 32 bytes")
        return super().__new__(cls, raw)

    @classmethod  # mypy makes up a signature that nobody can repeat
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]
        """What `_replace` calls: it is to check as well."""
        return cls(*iterable)

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:<hex>`.

        Raises InvalidInputError(RequestInvalid) for anything else, upper-case digits included.
        """
        if not isinstance(text, str) or not _TEXT.fullmatch(text):
            raise InvalidInputError(Reason.REQUEST_INVALID, "expected sha256: and 64 lower-case hex digits")
        return cls(bytes.fromhex(text[7:]))

    def __str__(self) -> str:
        return f"sha256:{self.raw.hex()}"
