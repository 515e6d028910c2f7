"""What those who watch a run are told."""

from __future__ import annotations

from typing import NamedTuple


class Progress(NamedTuple):
    """How far a run has come. `total_bytes` and `total_files` are 0 while they are not known; `seconds` since start."""

    files: int
    bytes: int
    total_files: int
    total_bytes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes each second so far."""
        return self.bytes / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the rate so far; None while it cannot be told."""
        if not self.rate or not self.total_bytes:
            return None
        return max(0.0, (self.total_bytes - self.bytes) / self.rate)
