"""Proofs of files and directories: they hold for what they are about, and for nothing an attacker can put there."""

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineward.adapters.files import Outcome, create_manifest, prove_path, verify_tree
from lineward.domain import proof as proofs
from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters, Profile, Summary
from lineward.domain.proof import InclusionProof, RangeProof
from lineward.domain.reasons import Reason

FILES = ["a/1", "a/2", "a/sub/3", "a-b/1", "b", "b.d/1", "c/lost+found/x", "z"]


@pytest.fixture(params=[Profile.PORTABLE, Profile.POSIX])
def signed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Summary, io.BytesIO]:
    folder = tmp_path / "set"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    out = io.BytesIO()
    return folder, create_manifest(folder, Parameters(request.param), out=out), out


Signed = tuple[Path, Summary, io.BytesIO]


@pytest.mark.parametrize("path", FILES)
def test_each_file_is_proven(signed: Signed, path: str) -> None:
    _, summary, manifest = signed
    proof = prove_path(manifest, path.encode())
    assert isinstance(proof, InclusionProof)
    assert proof.check(summary.root).path == path.encode()
    assert proofs.decode(proof.encode().encode()) == proof
    with pytest.raises(InvalidInputError) as error:
        proof.check(Digest(bytes(32)))
    assert error.value.reason is Reason.PROOF_INVALID


@pytest.mark.parametrize("directory", ["a", "a/sub", "a-b", "b.d", "c", "c/lost+found"])
def test_each_directory_is_verified_alone(signed: Signed, directory: str, tmp_path: Path) -> None:
    folder, summary, manifest = signed
    proof = prove_path(manifest, directory.encode())
    assert isinstance(proof, RangeProof)
    assert proofs.decode(proof.encode().encode()) == proof
    shutil.copytree(folder / directory, tmp_path / "mounted")
    found = verify_tree(tmp_path / "mounted", summary.root, summary.parameters, proof=proof)
    assert (found.outcome, found.observed) == (Outcome.EQUAL, summary.root)
    by_manifest = verify_tree(
        tmp_path / "mounted", summary.root, summary.parameters, manifest=manifest, directory=directory.encode()
    )
    assert by_manifest.outcome is Outcome.EQUAL


def test_a_part_may_lie_on_a_volume_of_its_own(signed: Signed) -> None:
    """Its `lost+found` is not in the signed set; what that set has below a directory of this name must be there."""
    folder, summary, manifest = signed

    def found(directory: str) -> Outcome:
        proof = prove_path(manifest, directory.encode())
        assert isinstance(proof, RangeProof)
        return verify_tree(folder / directory, summary.root, summary.parameters, proof=proof).outcome

    (folder / "a/lost+found").mkdir()
    assert found("a") is Outcome.EQUAL
    (folder / "a/sub/lost+found").mkdir()
    assert found("a") is Outcome.DIFFERS
    (folder / "c/keep").touch()
    (folder / "c/lost+found/x").unlink()
    assert found("c") is Outcome.DIFFERS


CHEATS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "added at the end": (lambda d: (d / "zzz").touch(), ["added a/zzz"]),
    "added at the start": (lambda d: (d / "!").touch(), ["added a/!"]),
    "left out first": (lambda d: (d / "1").unlink(), ["removed a/1"]),
    "left out last": (lambda d: shutil.rmtree(d / "sub"), ["removed a/sub/3"]),
    "renamed": (lambda d: (d / "1").rename(d / "0"), ["added a/0", "removed a/1"]),
    "changed": (lambda d: (d / "2").write_text("x"), ["modified a/2"]),
    "moved up": (lambda d: (d / "sub/3").rename(d / "3"), ["added a/3", "removed a/sub/3"]),
}


@pytest.mark.parametrize("name", CHEATS)
def test_no_change_below_the_directory_passes(signed: Signed, name: str) -> None:
    folder, summary, manifest = signed
    change, names = CHEATS[name]
    proof = prove_path(manifest, b"a")
    assert isinstance(proof, RangeProof)
    change(folder / "a")
    if name in {"left out last", "moved up"}:
        shutil.rmtree(folder / "a/sub", ignore_errors=True)
    by_proof = verify_tree(folder / "a", summary.root, summary.parameters, proof=proof)
    assert by_proof.outcome is Outcome.DIFFERS
    by_manifest = verify_tree(
        folder / "a",
        summary.root,
        summary.parameters,
        manifest=manifest,
        manifest_digest=summary.manifest,
        directory=b"a",
    )
    assert by_manifest.outcome is Outcome.DIFFERS
    if name != "left out last":
        assert sorted(map(str, by_manifest.changes)) == names


def test_another_directory_of_the_set_is_not_this_one(signed: Signed) -> None:
    """A mount of b.d in the place of a-b: the same file name and number of files."""
    folder, summary, manifest = signed
    proof = prove_path(manifest, b"a-b")
    assert isinstance(proof, RangeProof)
    found = verify_tree(folder / "b.d", summary.root, summary.parameters, proof=proof)
    assert found.outcome is Outcome.DIFFERS
    moved = verify_tree(folder / "b.d", summary.root, summary.parameters, manifest=manifest, directory=b"a-b")
    assert moved.outcome is Outcome.DIFFERS


def test_a_part_needs_a_manifest_or_a_proof(signed: Signed) -> None:
    folder, summary, manifest = signed
    found = verify_tree(folder / "a", summary.root, summary.parameters, directory=b"a")
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, Reason.PROOF_INVALID)
    wrong = verify_tree(
        folder / "a",
        summary.root,
        summary.parameters,
        manifest=manifest,
        manifest_digest=Digest(bytes(32)),
        directory=b"a",
    )
    assert (wrong.outcome, wrong.reason) == (Outcome.UNKNOWN, Reason.MANIFEST_INVALID)
    absent = verify_tree(folder / "a", summary.root, summary.parameters, manifest=manifest, directory=b"nothing")
    assert absent.outcome is Outcome.UNKNOWN


def forged(proof: proofs.Proof, **changes: Any) -> bytes:
    raw = json.loads(proof.encode())
    return json.dumps(raw | changes).encode()


def test_a_range_that_leaves_out_its_last_file_is_refused(signed: Signed) -> None:
    """The proof of a shorter range is true as a range, but its neighbour is still in the directory."""
    folder, summary, manifest = signed
    honest = prove_path(manifest, b"a")
    assert isinstance(honest, RangeProof)
    last = prove_path(manifest, b"a/sub/3")
    assert isinstance(last, InclusionProof)
    text = forged(honest, count=2, after=base64.b64encode(last.leaf).decode())
    forgery = proofs.decode(text)
    assert isinstance(forgery, RangeProof)
    shutil.rmtree(folder / "a/sub")
    found = verify_tree(folder / "a", summary.root, summary.parameters, proof=forgery)
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, Reason.PROOF_INVALID)


def test_a_forged_profile_does_not_hide_an_executable(tmp_path: Path) -> None:
    """Leaf 0 is far to the left of the range: without its own audit path nothing would bind it."""
    for name in ("set/a/x", "set/b/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    out = io.BytesIO()
    summary = create_manifest(tmp_path / "set", Parameters(Profile.POSIX), out=out)
    honest = prove_path(out, b"b")
    (tmp_path / "set/b/y").chmod(0o755)
    portable = {"leaf": base64.b64encode(Parameters().encode()).decode()}
    forgery = proofs.decode(forged(honest, parameters=honest.parameters.value() | portable))
    for proof, outcome in ((honest, Outcome.DIFFERS), (forgery, Outcome.UNKNOWN)):
        assert isinstance(proof, RangeProof)
        found = verify_tree(tmp_path / "set/b", summary.root, proof.parameters.leaf, proof=proof)
        assert found.outcome is outcome
    assert isinstance(honest, RangeProof)
    lied_to = verify_tree(tmp_path / "set/b", summary.root, Parameters(), proof=honest)
    assert (lied_to.outcome, lied_to.reason) == (Outcome.UNKNOWN, Reason.PROOF_INVALID)


def mutated(value: Any) -> list[Any]:
    """Other values of the same type: each number beside it, each hash or byte string changed, left out or doubled."""
    if isinstance(value, dict):
        return [value | {name: other} for name in value for other in mutated(value[name])]
    if isinstance(value, list):
        changed = [[*value[:at], other, *value[at + 1 :]] for at, item in enumerate(value) for other in mutated(item)]
        return [*changed, value[1:] or ["A" * 43 + "="], [*value, *(value[:1] or ["A" * 43 + "="])]]
    if isinstance(value, int):
        return [value - 1, value + 1, 0, 2 * value]
    if value.startswith("sha256:"):
        return ["sha256:" + "0" * 64]
    data = base64.b64decode(value)
    flipped = (data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :] for at in range(len(data)) for bit in (1, 2, 128))
    return [base64.b64encode(other).decode() for other in (*flipped, data[:-1], data + b"x", b"")]


@pytest.mark.parametrize("path", ["a", "a-b", "c", "b", "z", "a/sub/3"])
def test_no_member_of_a_proof_can_be_changed(signed: Signed, path: str) -> None:
    """`size` and `index` place the hashes; where other values lead to the root too, they prove the same."""
    folder, summary, manifest = signed
    honest = prove_path(manifest, path.encode())
    raw = json.loads(honest.encode())
    for name in raw.keys() - {"format"}:
        for value in mutated(raw[name]):
            if value != raw[name] and (proof := accepted(forged(honest, **{name: value}), summary.root)):
                if isinstance(proof, RangeProof):
                    found = verify_tree(folder / path, summary.root, summary.parameters, proof=proof)
                    assert found.outcome is not Outcome.EQUAL or name == "size", (name, value)
                else:
                    assert name in {"size", "index"}
                    assert isinstance(honest, InclusionProof)
                    assert proof.entry == honest.entry


def accepted(text: bytes, root: Digest) -> proofs.Proof | None:
    """The proof, unless it is refused as one."""
    try:
        proof = proofs.decode(text)
        proof.check(root)
    except InvalidInputError as error:
        if error.reason is not Reason.PROOF_INVALID:
            raise
        return None
    return proof


@given(st.data())
def test_no_mangled_proof_is_accepted(data: st.DataObject) -> None:
    """Whatever is done to its text, a proof fails as a proof or leads elsewhere; it never crashes."""
    golden = (
        Path(__file__).parents[1]
        / "format_goldens/manifest-v1/proofs"
        / data.draw(st.sampled_from(["3-00003.json", "3.json"]))
    )
    text = bytearray(golden.read_bytes())
    original = proofs.decode(bytes(text))
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = proofs.decode(bytes(text))
        found.check(original.root)
    except InvalidInputError:
        return
    if isinstance(found, InclusionProof) and isinstance(original, InclusionProof):
        assert (found.leaf, found.path) == (original.leaf, original.path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"format":"lineward.dev/inclusion-proof/v1"}',
        b" " * 300_000,
    ],
)
def test_what_is_no_proof_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInputError) as error:
        proofs.decode(text)
    assert error.value.reason is Reason.PROOF_INVALID


def test_a_member_that_stands_twice_is_refused(signed: Signed) -> None:
    proof = prove_path(signed[2], b"b")
    text = proof.encode().replace('"size"', '"index": 1, "size"', 1)
    with pytest.raises(InvalidInputError):
        proofs.decode(text.encode())


def test_nothing_at_a_path_cannot_be_proven(signed: Signed) -> None:
    for path in (b"nothing", b"a/", b"", b"../a", b"a/3"):
        with pytest.raises(InvalidInputError):
            prove_path(signed[2], path)
