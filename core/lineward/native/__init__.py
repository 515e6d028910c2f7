"""The work that must run at the speed of the hardware: compiled where a compiler was at hand, else in Python.

`engine` names which one runs. Both give the same results; the tests run against each. LINEWARD_ENGINE=python
chooses the Python one.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING

from lineward.native import fallback


def _choose() -> ModuleType:
    if os.environ.get("LINEWARD_ENGINE") == "python":
        return fallback
    try:
        compiled = importlib.import_module("lineward.native._engine")
    except ImportError:
        return fallback
    if getattr(compiled, "ABI", 0) != fallback.ABI:
        raise RuntimeError(
            f"{compiled.__file__} was compiled from other sources than the Python files beside it: install again "
            "(in a checkout: python hatch_build.py), or set LINEWARD_ENGINE=python"
        )
    return compiled


if TYPE_CHECKING:
    from lineward.native import fallback as engine
else:
    engine = _choose()

list_directory = engine.list_directory
hash_files = engine.hash_files
hash_spans = engine.hash_spans
leaf_hashes = engine.leaf_hashes
perfect_root = engine.perfect_root
encode_files = engine.encode_files
check_entries = engine.check_entries
NAME: str = engine.NAME
LANES: int = engine.LANES
