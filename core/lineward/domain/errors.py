"""Errors that carry a reason, so that every refusal can be explained in the one vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

from lineward.domain.reasons import Reason

MAX_MISTAKES = 20
"""How many mistakes of one input are named; who has more than a screen of them reads the format first."""
MAX_MISTAKE = 300
"""Characters of one of them."""


class LinewardError(Exception):
    """Base of all errors a caller is meant to handle; `reason` is what users and metrics see."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class InvalidInputError(LinewardError):
    """Untrusted input that is not what it should be: too large, malformed, or of the wrong kind."""


class RefusedError(LinewardError):
    """Well-formed input that must not be accepted."""


class MistakesError(InvalidInputError):
    """Input with all that is wrong with it; `mistakes` has a line for each, and one for those that are too many."""

    def __init__(self, reason: Reason, mistakes: Sequence[str]) -> None:
        shown = [mistake[:MAX_MISTAKE] for mistake in mistakes[:MAX_MISTAKES]]
        more = len(mistakes) - len(shown)
        self.mistakes = (*shown, f"and {more} more") if more else tuple(shown)
        super().__init__(reason, "; ".join(self.mistakes))
