"""Shared by all tests: where others' vectors are, and no judgement by the clock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("lineward", deadline=None)
settings.load_profile("lineward")

ROOT = Path(__file__).resolve().parents[1]


def vectors_folder() -> Path:
    """Where test data made by others should be."""
    return Path(os.environ.get("LINEWARD_VECTORS", ROOT.parent / "shared" / "vectors"))


def without_vectors() -> str:
    """What a test says that is skipped for want of them."""
    return f"no vectors at {vectors_folder()}; LINEWARD_VECTORS names another place"


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Folder of test data made by others; skips the test where it is missing."""
    if not vectors_folder().is_dir():
        pytest.skip(without_vectors())
    return vectors_folder()
