"""The layout keeps its promises: no shadowing package, no module that is too long."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("core", "operator", "ledger", "sidecar", "bench", "e2e")


@pytest.mark.parametrize("folder", ["operator", "core", "ledger", "sidecar"])
def test_source_roots_are_not_packages(folder: str) -> None:
    """`operator/__init__.py` would shadow the standard library's operator module for `python -m` from the root."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_modules_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for source in SOURCES
        for path in (ROOT / source).rglob("*.py")
        if (lines := path.read_text().count("\n")) > 500
    }
    assert not long
