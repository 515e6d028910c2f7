"""Regular expressions of policies, tried during an admission on subjects that a stranger may have chosen.

A backtracking engine takes exponential time for some of them, so they are RE2's: linear time, bounded memory, and the
engine that the API server checks policies with (CEL). Lookaround and backreferences do not exist there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import re2

MAX_MEMORY = 256 * 1024
"""Bytes of one compiled expression; what needs more is refused. Bounds its time too: 4,000 states at most."""
MAX_ANSWERS = 1024
"""Answers kept: a decision asks the same again and again."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """An expression that must match a text as a whole; made by `parse`."""

    text: str

    def matches(self, subject: str) -> bool:
        """Tell whether it matches all of the subject, which is valid Unicode."""
        return _matches(self.text, subject)


def parse(text: str) -> Pattern:
    """Check an expression (https://github.com/google/re2/wiki/Syntax) that begins with ^ and ends with $.

    Raises ValueError saying what is wrong.
    """
    if not text.startswith("^") or not text.endswith("$") or text.endswith("\\$"):
        raise ValueError("must begin with ^ and end with $, so that it matches the whole subject")
    try:
        re2.compile(text, _OPTIONS)
    except re2.error as error:
        said = error.args[0].decode(errors="replace")
        raise ValueError(f"is no RE2 expression (lookaround and backreferences do not exist): {said}") from error
    return Pattern(text)


@lru_cache(MAX_ANSWERS)
def _matches(text: str, subject: str) -> bool:
    return re2.compile(text, _OPTIONS).fullmatch(subject) is not None


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem, options.never_capture, options.log_errors = MAX_MEMORY, True, False
    return options


_OPTIONS = _options()
