"""The work that must run at the speed of the hardware: compiled where a compiler was at hand, else in Python.

`engine` names which one runs. Both give the same results; the tests run against each. LINEWARD_ENGINE=python
chooses the Python one, `scalar` the compiled one without the CPU's SHA instructions; any other value is refused, since
who set it would believe in a choice that nobody made.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from lineward.native import fallback


def _choose() -> ModuleType:
    wish = os.environ.get("LINEWARD_ENGINE", "")
    if wish not in {"", "python", "scalar"}:
        raise RuntimeError(f"LINEWARD_ENGINE is {wish!r}; it may be python or scalar, or unset for the fastest")
    if wish == "python":
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


def _spans(chosen: ModuleType) -> Callable[[Sequence[tuple[int, int, int]], bytearray, int], bytes]:
    """For large files on a CPU without SHA instructions hashlib: OpenSSL's AVX code is 1.4 times the scalar kernel.

    Small files stay with the kernel, since what Python does for each of them costs more than that.
    """
    if chosen.NAME == "scalar" and os.environ.get("LINEWARD_ENGINE") != "scalar":
        return fallback.hash_spans
    spans: Callable[[Sequence[tuple[int, int, int]], bytearray, int], bytes] = chosen.hash_spans
    return spans


if TYPE_CHECKING:
    from lineward.native import fallback as engine
else:
    engine = _choose()

list_directory = engine.list_directory
hash_files = engine.hash_files
hash_spans = _spans(engine)
leaf_hashes = engine.leaf_hashes
perfect_root = engine.perfect_root
encode_files = engine.encode_files
check_entries = engine.check_entries
NAME: str = engine.NAME
LANES: int = engine.LANES
