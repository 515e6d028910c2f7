"""Each engine in turn: the compiled one, where it was built, and the Python one."""

from types import ModuleType

import pytest

from lineward import native
from lineward.native import fallback

FUNCTIONS = (
    "list_directory",
    "hash_files",
    "hash_spans",
    "leaf_hashes",
    "perfect_root",
    "encode_files",
    "check_entries",
)
ENGINES = {"python": fallback} | ({} if native.engine is fallback else {"compiled": native.engine})


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The engine that everything uses while the test runs."""
    chosen = ENGINES[request.param]
    for name in FUNCTIONS:
        monkeypatch.setattr(native, name, getattr(chosen, name))
    return chosen
