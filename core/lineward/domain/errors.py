"""Errors that carry a reason, so that every refusal can be explained in the one vocabulary."""

from __future__ import annotations

from lineward.domain.reasons import Reason


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
