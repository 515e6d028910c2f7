"""The layout keeps its promises: no shadowing package, no module that is too long."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("core", "operator", "ledger", "sidecar", "bench", "charts", "e2e")
MAX_LINES = 300
"""Of a module that is no test, as CONTRIBUTING.md has it."""


@pytest.mark.parametrize("folder", ["operator", "core", "ledger", "sidecar"])
def test_source_roots_are_not_packages(folder: str) -> None:
    """`operator/__init__.py` would shadow the standard library's operator module for `python -m` from the root."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_modules_stay_short() -> None:
    modules = [path for source in SOURCES for path in (ROOT / source).rglob("*") if path.suffix in {".py", ".c", ".h"}]
    lines = {
        path.relative_to(ROOT).as_posix(): path.read_text().count("\n")
        for path in modules
        if not path.name.startswith("test_")
    }
    assert not {name: count for name, count in lines.items() if count > MAX_LINES}
