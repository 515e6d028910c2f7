"""A folder that is changed step by step, against a reference that knows nothing of trees, lanes or pages."""

import hashlib
import io
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lineward.adapters.files import Outcome, create_manifest, verify_tree
from lineward.domain.changes import ChangeKind
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile

CHUNK = 4096
PARAMETERS = Parameters(Profile.POSIX, CHUNK)

NAMES = st.sampled_from([b"a", b"a-", b"a.b", b"b", b"\xff", b".x", b"lost+found"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
CONTENTS = st.one_of(st.binary(max_size=3), st.integers(4094, 12_300).map(lambda n: bytes([n % 256]) * n))

Model = dict[bytes, tuple[str, bytes]]
"""Path to kind (F, X, L) and content; directories follow from the paths, empty ones are of kind D."""


def tree_hash(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def reference(model: Model) -> bytes:
    """The root, from the document and nothing else."""
    leaves = [b"\x89LWM\r\n\x1a\n\0\1\1\2" + CHUNK.to_bytes(4, "big")]
    sizes = []
    for path in sorted(model, key=lambda p: p.split(b"/")):
        kind, content = model[path]
        size = 0 if kind == "D" else len(content)
        if kind in "FX":
            chunks = [hashlib.sha256(content[i : i + CHUNK]).digest() for i in range(0, len(content), CHUNK)]
            content = tree_hash(chunks) if len(chunks) > 1 else hashlib.sha256(content).digest()
            sizes.append(size)
        leaves.append(kind.encode() + len(path).to_bytes(2, "big") + size.to_bytes(8, "big") + path + content)
    counts = len(leaves) - 1, len(sizes), sum(sizes)
    return tree_hash([*leaves, b"E" + b"".join(n.to_bytes(8, "big") for n in counts)])


class Folder(RuleBasedStateMachine):
    """The folder on disk and the model go through the same changes."""

    @initialize()
    def start(self) -> None:
        self.top = Path(tempfile.mkdtemp())
        self.model: Model = {}
        self.before: Model = {}
        self.manifest = b""

    def teardown(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)

    def where(self, path: bytes) -> bytes:
        return os.fsencode(self.top) + b"/" + path

    def room(self, path: bytes) -> bool:
        """Whether the path is free and its parents are directories or free."""
        parents = [b"/".join(path.split(b"/")[:n]) for n in range(1, path.count(b"/") + 1)]
        taken = any(p in self.model and self.model[p][0] != "D" for p in parents)
        return not taken and not os.path.lexists(self.where(path))

    def put(self, path: bytes, kind: str, content: bytes) -> None:
        if not self.room(path):
            return
        parent = os.path.dirname(self.where(path))  # noqa: PTH120 - paths are bytes here
        os.makedirs(parent, exist_ok=True)  # noqa: PTH103
        for n in range(1, path.count(b"/") + 1):
            self.model.pop(b"/".join(path.split(b"/")[:n]), None)
        if kind == "L":
            os.symlink(content, self.where(path))  # noqa: PTH211
        elif kind == "D":
            os.mkdir(self.where(path))  # noqa: PTH102
        else:
            with open(self.where(path), "wb") as file:  # noqa: PTH123
                file.write(content)
            os.chmod(self.where(path), 0o755 if kind == "X" else 0o644)  # noqa: PTH101
        if not (kind == "D" and path == b"lost+found"):
            self.model[path] = (kind, content)

    @rule(path=PATHS, content=CONTENTS, executable=st.booleans())
    def write(self, path: bytes, content: bytes, executable: bool) -> None:  # noqa: FBT001
        self.put(path, "X" if executable else "F", content)

    @rule(path=PATHS, to=st.sampled_from([b"a", b"../x", b"/etc/passwd", b"\xff"]))
    def link(self, path: bytes, to: bytes) -> None:
        self.put(path, "L", to)

    @rule(path=PATHS)
    def directory(self, path: bytes) -> None:
        self.put(path, "D", b"")

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.model)))
        kind, _ = self.model.pop(path)
        (os.rmdir if kind == "D" else os.unlink)(self.where(path))
        parent = path.rpartition(b"/")[0]
        if parent and not os.listdir(self.where(parent)) and parent != b"lost+found":  # noqa: PTH208
            self.model[parent] = ("D", b"")

    @precondition(lambda self: any(kind in "FX" for kind, _ in self.model.values()))
    @rule(data=st.data(), content=CONTENTS)
    def rewrite(self, data: st.DataObject, content: bytes) -> None:
        path = data.draw(st.sampled_from(sorted(p for p, (kind, _) in self.model.items() if kind in "FX")))
        with open(self.where(path), "wb") as file:  # noqa: PTH123
            file.write(content)
        self.model[path] = (self.model[path][0], content)

    @rule()
    def sign(self) -> None:
        if self.model:
            out = io.BytesIO()
            create_manifest(self.top, PARAMETERS, out=out, workers=2)
            self.before, self.manifest = dict(self.model), out.getvalue()

    @precondition(lambda self: self.manifest)
    @rule()
    def compare(self) -> None:
        if not self.model:
            return
        found = verify_tree(
            self.top,
            lineward_root(self.manifest),
            PARAMETERS,
            manifest=io.BytesIO(self.manifest),
            max_names=1000,
            workers=2,
        )
        both = self.before.keys() & self.model.keys()
        expected = {(ChangeKind.ADDED, path) for path in self.model.keys() - both}
        expected |= {(ChangeKind.REMOVED, path) for path in self.before.keys() - both}
        for path in both:
            if self.before[path] != self.model[path]:
                same_kind = self.before[path][0] == self.model[path][0]
                expected.add((ChangeKind.MODIFIED if same_kind else ChangeKind.RETYPED, path))
        assert {(change.kind, change.path) for change in found.changes} == expected
        assert (found.outcome is Outcome.EQUAL) is (not expected)

    @invariant()
    def roots_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        if not self.model:
            with pytest.raises(LinewardError):
                create_manifest(self.top, PARAMETERS, workers=2)
            return
        assert create_manifest(self.top, PARAMETERS, workers=2).root.raw == reference(self.model)


def lineward_root(manifest: bytes) -> Digest:
    return Digest(manifest[-32:])


Folder.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestFolder = Folder.TestCase
