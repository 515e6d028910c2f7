"""Frozen files of manifest v1: this version reads and writes them, and so does a reader made from the document."""

import base64
import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineward.adapters.files import create_manifest, prove_path, verify_tree
from lineward.domain import proof as proofs
from lineward.domain.digest import Digest
from lineward.domain.entry import decode_all
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters, Profile, Summary
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.reasons import Reason

HERE = Path(__file__).parent
FOLDER = HERE / "manifest-v1"
VECTORS: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / "vectors.json").read_text())
INVALID = sorted(path.name for path in (FOLDER / "invalid").iterdir())


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


other = load("second_reader")
maker = load("make_manifests")


def read(data: bytes) -> tuple[Summary, list[bytes]]:
    reader = ManifestReader(io.BytesIO(data))
    entries = [entry.encode() for page in reader.pages() for entry in decode_all(page.body)]
    assert reader.summary
    return reader.summary, entries


def test_the_second_reader_is_small_and_on_its_own() -> None:
    source = (HERE / "second_reader.py").read_text()
    assert source.count("\n") <= 200
    assert "import lineward" not in source
    assert "from lineward" not in source


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["file"])
def test_both_readers_agree_with_the_vector(vector: dict[str, Any]) -> None:
    data = (FOLDER / vector["file"]).read_bytes()
    summary, entries = read(data)
    theirs = other.read(data)
    assert str(summary.root) == vector["root"] == "sha256:" + theirs.root.hex()
    assert str(summary.manifest) == vector["manifest"] == "sha256:" + other.H(data).hex()
    assert (summary.files, summary.bytes) == (vector["files"], vector["bytes"])
    assert (str(summary.parameters.profile), summary.parameters.chunk_bytes) == (
        vector["profile"],
        vector["chunkBytes"],
    )
    assert entries == [other.encode(entry) for entry in theirs.entries]


@pytest.mark.parametrize("vector", [v for v in VECTORS["valid"] if v["tree"]], ids=lambda v: v["file"])
def test_the_folder_still_has_this_manifest(vector: dict[str, Any], tmp_path: Path) -> None:
    items = [(kind, base64.b64decode(path), content) for kind, path, content in vector["tree"]]
    maker.build(tmp_path, items)
    out = io.BytesIO()
    create_manifest(tmp_path, Parameters(Profile(vector["profile"]), vector["chunkBytes"]), out=out)
    golden = (FOLDER / vector["file"]).read_bytes()
    assert out.getvalue() == golden
    theirs = other.read(golden)
    assert other.walk(str(tmp_path).encode(), theirs.profile, theirs.chunk) == theirs.entries


@pytest.mark.parametrize("name", INVALID)
def test_both_readers_refuse_every_fault(name: str) -> None:
    data = (FOLDER / "invalid" / name).read_bytes()
    with pytest.raises(InvalidInputError) as error:
        read(data)
    assert error.value.reason is Reason.MANIFEST_INVALID
    with pytest.raises(other.Wrong):
        other.read(data)


@given(st.data())
def test_no_flipped_bit_is_accepted(data: st.DataObject) -> None:
    """Every byte of a manifest is bound: by the root, or by the one way to write it."""
    golden = bytearray((FOLDER / "valid/names.lwm").read_bytes())
    golden[data.draw(st.integers(0, len(golden) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(InvalidInputError):
        read(bytes(golden))
    with pytest.raises(other.Wrong):
        other.read(bytes(golden))


@pytest.mark.parametrize("vector", VECTORS["proofs"], ids=lambda v: v["file"])
def test_proofs_are_still_made_and_still_hold(vector: dict[str, Any], tmp_path: Path) -> None:
    manifest = (FOLDER / vector["manifest"]).read_bytes()
    text = (FOLDER / vector["file"]).read_bytes()
    made = prove_path(io.BytesIO(manifest), vector["path"].encode())
    assert made.encode().encode() == text
    assert proofs.decode(text) == made
    root = read(manifest)[0].root
    their_parameters = other.check_parameters(json.loads(text), root.raw)
    assert their_parameters == (1, made.parameters.leaf.chunk_bytes)
    with pytest.raises(other.Wrong):
        other.check_parameters(json.loads(text) | {"root": "sha256:" + "0" * 64}, bytes(32))
    if isinstance(made, proofs.InclusionProof):
        assert made.check(root).path.decode() == vector["path"]
        assert other.check_inclusion(json.loads(text), root.raw)[1].decode() == vector["path"]
        with pytest.raises(InvalidInputError):
            made.check(Digest(bytes(32)))
        return
    maker.build(
        tmp_path, [(k, p, c) for k, p, c in maker.described()["pages"][2] if p.startswith(made.directory + b"/")]
    )
    folder = tmp_path / vector["path"]
    assert verify_tree(folder, root, made.parameters.leaf, proof=made).observed == root
    other.check_range(json.loads(text), root.raw, made.directory, os.fsencode(folder))
    for name, value in wrong_values(json.loads(text)):
        wrong = json.dumps(json.loads(text) | {name: value}).encode()
        with contextlib.suppress(InvalidInputError):  # or says that the folder differs
            changed = proofs.decode(wrong)
            assert isinstance(changed, proofs.RangeProof)
            assert verify_tree(folder, root, made.parameters.leaf, proof=changed).observed != root
        with pytest.raises(other.Wrong):
            other.check_range(json.loads(wrong), root.raw, made.directory, os.fsencode(folder))
    first = next(folder.iterdir())
    first.rename(folder / "moved")
    with pytest.raises(other.Wrong):
        other.check_range(json.loads(text), root.raw, made.directory, os.fsencode(folder))
    (folder / "moved").unlink()
    with pytest.raises(other.Wrong):
        other.check_range(json.loads(text), root.raw, made.directory, os.fsencode(folder))


def wrong_values(proof: dict[str, Any]) -> list[tuple[str, Any]]:
    """Members of a range proof, each with a value under which it proves nothing."""
    found: list[tuple[str, Any]] = [("before", proof["after"]), ("after", proof["before"]), ("directory", "eA==")]
    for side in ("left", "right"):
        hashes = proof[side]
        found += [(side, hashes[1:]), (side, hashes[::-1])] if len(hashes) > 1 else []
        found += [(side, [*hashes, proof["parameters"]["path"][0]])]
    return found


def test_the_second_reader_runs_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    golden = FOLDER / "valid/one-empty-file.lwm"
    command = [sys.executable, str(HERE / "second_reader.py"), str(golden)]
    assert subprocess.run(command, check=True, capture_output=True).stdout.startswith(b"sha256:")
    assert subprocess.run([*command, str(tmp_path)], check=False, capture_output=True).returncode == 1
    (tmp_path / "a").rename(tmp_path / "empty")
    (tmp_path / "empty").write_bytes(b"")
    assert subprocess.run([*command, str(tmp_path)], check=False, capture_output=True).returncode == 0


def test_pages_end_by_bytes_too(tmp_path: Path) -> None:
    """33 paths of 32 KB fill a page; the two implementations cut alike."""
    from lineward.domain.entry import Entry, Kind  # noqa: PLC0415
    from lineward.domain.manifest_writer import ManifestWriter  # noqa: PLC0415

    out = io.BytesIO()
    writer = ManifestWriter(Parameters(), out.write)
    for i in range(100):
        path = b"/".join([b"x" * 255] * 127) + b"/%03d" % i
        writer.append(Entry(Kind.FILE, path, 0, bytes(32)))
    summary = writer.finish()
    assert read(out.getvalue())[0] == summary
    assert other.read(out.getvalue()).root == summary.root.raw
    assert out.getvalue().count(b"xP") + out.getvalue().count(b"\0P") >= 3
