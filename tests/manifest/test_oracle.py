"""The tree against pymerkle (GPL, so it is only ever used here): roots and audit paths of every size up to 70."""

import importlib
import os
import warnings
from typing import Any

import pytest

from lineward.domain import merkle

pymerkle: Any
try:
    pymerkle = importlib.import_module("pymerkle")
except ImportError:
    if os.environ.get("LINEWARD_TOOLS") == "require":
        raise
    pytest.skip("make test-native installs pymerkle", allow_module_level=True)


@pytest.mark.usefixtures("engine")
def test_roots_and_paths_are_those_of_pymerkle() -> None:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    leaves: list[bytes] = []
    for size in range(1, 71):
        data = f"leaf {size}".encode()
        tree.append_entry(data)
        leaves.append(merkle.leaf_hash(data))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert merkle.root_of(b"".join(leaves)) == tree.get_state()
        index = size * 5 // 7
        theirs = tree.prove_inclusion(index + 1, size).serialize()["path"]
        ours = merkle.fold_ranges(leaves, merkle.audit_ranges(index, size))
        assert {node.hex() for node in ours} | {leaves[index].hex()} == set(theirs)
        assert merkle.root_from_path(leaves[index], index, size, ours) == merkle.root_of(b"".join(leaves))
