"""How sure a verdict is, on its own so that hashing need not load what a verdict is written with."""

from __future__ import annotations

from enum import StrEnum


class Assurance(StrEnum):
    """How a verdict was reached, strongest first."""

    FULL = "full"
    PREVERIFIED = "preverified"
    CACHED = "cached"
    SAMPLED = "sampled"
