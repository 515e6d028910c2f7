"""Folders and their roots: what changes a root, what cannot, and what refuses."""

import io
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lineward.adapters import files_tree
from lineward.adapters.files import Comparison, Outcome, create_manifest, verify_tree
from lineward.domain import manifest_writer
from lineward.domain.changes import ChangeKind
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile, Summary
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.reasons import Reason

PORTABLE = Parameters(Profile.PORTABLE, 4096)
POSIX = Parameters(Profile.POSIX, 4096)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name, content in {
        "train/cat/1.jpg": b"meow",
        "train/cat/2.jpg": b"purr",
        "train/dog/1.jpg": b"woof",
        "train.csv": b"a,b\n1,2\n",
        "empty": b"",
        "large": bytes(range(256)) * 40,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def signed(folder: Path, parameters: Parameters = PORTABLE) -> tuple[Summary, io.BytesIO]:
    manifest = io.BytesIO()
    summary = create_manifest(folder, parameters, out=manifest)
    manifest.seek(0)
    return summary, manifest


def check(folder: Path, summary: Summary, manifest: io.BytesIO | None = None) -> Comparison:
    if manifest:
        manifest.seek(0)
    return verify_tree(folder, summary.root, summary.parameters, manifest=manifest, manifest_digest=summary.manifest)


@pytest.mark.usefixtures("engine")
def test_an_untouched_copy_is_equal(data: Path, tmp_path: Path) -> None:
    summary, manifest = signed(data)
    assert (summary.files, summary.bytes) == (6, 12 + 8 + 256 * 40)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        path.chmod(0o777)
    assert check(copy, summary, manifest).outcome is Outcome.EQUAL


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "byte": (lambda d: (d / "train.csv").write_bytes(b"a,b\n1,3\n"), {"modified train.csv"}),
    "byte of a later chunk": (lambda d: _poke(d / "large", 9000), {"modified large"}),
    "rename": (
        lambda d: (d / "train/cat/1.jpg").rename(d / "train/cat/3.jpg"),
        {"removed train/cat/1.jpg", "added train/cat/3.jpg"},
    ),
    "swap": (
        lambda d: _swap(d / "train/cat/1.jpg", d / "train/dog/1.jpg"),
        {"modified train/cat/1.jpg", "modified train/dog/1.jpg"},
    ),
    "added": (lambda d: (d / "new").write_bytes(b""), {"added new"}),
    "dotfile": (lambda d: (d / ".gitignore").write_bytes(b""), {"added .gitignore"}),
    "file below .git": (lambda d: _write(d / ".git/config"), {"added .git/config"}),
    "removed": (lambda d: (d / "empty").unlink(), {"removed empty"}),
    "moved to another class": (
        lambda d: (d / "train/cat/2.jpg").rename(d / "train/dog/2.jpg"),
        {"removed train/cat/2.jpg", "added train/dog/2.jpg"},
    ),
    "shorter": (lambda d: os.truncate(d / "large", 4096), {"modified large"}),
    "file in the place of a folder": (
        lambda d: _replace(d / "train/dog", b"woof"),
        {"removed train/dog/1.jpg", "added train/dog"},
    ),
}


def _poke(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def _swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _replace(path: Path, content: bytes) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
    path.write_bytes(content)


def _relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _write(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"")


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.usefixtures("engine")
def test_every_change_is_seen_and_named(data: Path, name: str) -> None:
    summary, manifest = signed(data)
    change, expected = CHANGES[name]
    change(data)
    without = check(data, summary)
    assert (without.outcome, without.reason, without.changes) == (Outcome.DIFFERS, Reason.CONTENT_DIFFERS, ())
    comparison = check(data, summary, manifest)
    assert comparison.outcome is Outcome.DIFFERS
    assert {str(c) for c in comparison.changes} == expected
    assert sum(comparison.counts.values()) == len(expected)
    assert comparison.observed == signed(data)[0].root != summary.root


@pytest.mark.parametrize("which", ["symlink", "fifo", "socket", "empty directory"])
def test_portable_refuses_what_object_stores_lose(data: Path, which: str) -> None:
    summary, _ = signed(data)
    path = data / "train" / "x"
    reason = Reason.EMPTY_DIRECTORY if which == "empty directory" else Reason.SPECIAL_FILE
    if which == "symlink":
        path.symlink_to("cat")
    elif which == "fifo":
        os.mkfifo(path)
    elif which == "socket":
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(os.path.relpath(path))
    else:
        path.mkdir()
    with pytest.raises(LinewardError) as error:
        signed(data)
    assert error.value.reason is reason
    assert "train/x" in error.value.message
    comparison = check(data, summary)
    assert (comparison.outcome, comparison.reason) == (Outcome.DIFFERS, reason)


POSIX_CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "executable bit": (lambda d: (d / "train.csv").chmod(0o755), "retyped train.csv"),
    "empty directory": (lambda d: (d / "void2").mkdir(), "added void2"),
    "no empty directory": (lambda d: (d / "void").rmdir(), "removed void"),
    "link target": (lambda d: _relink(d / "link", "train"), "modified link"),
    "link to file": (lambda d: _replace(d / "link", b"train.csv"), "retyped link"),
}


@pytest.mark.parametrize("name", POSIX_CHANGES)
@pytest.mark.usefixtures("engine")
def test_posix_sees_links_modes_and_empty_directories(data: Path, name: str) -> None:
    (data / "void").mkdir()
    (data / "link").symlink_to("train.csv")
    (data / "train.csv").chmod(0o644)
    summary, manifest = signed(data, POSIX)
    assert summary.files == 6
    (data / "train.csv").chmod(0o666)  # fsGroup and umask do this
    assert check(data, summary, manifest).outcome is Outcome.EQUAL
    change, expected = POSIX_CHANGES[name]
    change(data)
    comparison = check(data, summary, manifest)
    assert [str(c) for c in comparison.changes] == [expected]


def test_a_link_out_of_the_folder_is_never_followed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(b"1")
    (data / "out").symlink_to(tmp_path / "secret")
    summary, _ = signed(data, POSIX)
    (tmp_path / "secret" / "file").write_bytes(b"2")
    assert check(data, summary).outcome is Outcome.EQUAL


def test_an_empty_folder_has_no_root(tmp_path: Path, data: Path) -> None:
    summary, manifest = signed(data)
    (tmp_path / "void").mkdir()
    with pytest.raises(LinewardError) as error:
        create_manifest(tmp_path / "void")
    assert error.value.reason is Reason.EMPTY_DATASET
    comparison = check(tmp_path / "void", summary, manifest)
    assert (comparison.outcome, comparison.reason) == (Outcome.DIFFERS, Reason.EMPTY_DATASET)


def test_lost_and_found_is_ignored_while_it_is_empty(data: Path) -> None:
    summary, manifest = signed(data)
    (data / "lost+found").mkdir(mode=0o700)
    assert check(data, summary, manifest).outcome is Outcome.EQUAL
    (data / "lost+found" / "#123").write_bytes(b"")
    assert [str(c) for c in check(data, summary, manifest).changes] == ["added lost+found/#123"]
    (data / "train" / "lost+found").mkdir()
    assert check(data, summary, manifest).reason is Reason.EMPTY_DIRECTORY


@contextmanager
def powerless(folder: Path) -> Iterator[None]:
    """Inside the folder, as somebody for whom modes count even where the tests run as root."""
    before = Path.cwd()
    os.chdir(folder)
    if os.getuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        os.chdir(before)


@pytest.mark.parametrize(("mode", "expected"), [(0, Outcome.EQUAL), (0o111, Outcome.UNKNOWN), (0o444, Outcome.UNKNOWN)])
def test_lost_and_found_is_ignored_only_where_nothing_in_it_can_be_opened(
    data: Path, mode: int, expected: Outcome
) -> None:
    summary, _ = signed(data)
    (data / "lost+found").mkdir()
    (data / "lost+found" / "payload").write_bytes(b"never signed")
    (data / "lost+found").chmod(mode)
    with powerless(data):
        found = verify_tree(".", summary.root, PORTABLE)
    assert (found.outcome, found.reason is Reason.UNREADABLE) == (expected, expected is Outcome.UNKNOWN)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("what", ["train.csv", "train/cat"])
def test_what_may_not_be_read_is_no_verdict(data: Path, what: str) -> None:
    summary, manifest = signed(data)
    (data / what).chmod(0)
    with powerless(data):
        comparison = check(Path(), summary, manifest)
    assert (comparison.outcome, comparison.reason) == (Outcome.UNKNOWN, Reason.UNREADABLE)
    assert what in comparison.message


@pytest.mark.parametrize("which", ["other set", "other parameters", "cut off", "flipped"])
def test_a_manifest_that_is_not_the_signed_one_names_nothing(data: Path, tmp_path: Path, which: str) -> None:
    summary, manifest = signed(data)
    (data / "train.csv").write_bytes(b"evil")
    content = bytearray(manifest.getvalue())
    if which == "other set":
        content = bytearray(signed(data / "train")[1].getvalue())
    elif which == "other parameters":
        content = bytearray(signed(data, POSIX)[1].getvalue())
    elif which == "cut off":
        del content[-3:]
    else:
        content[content.index(b"train.csv")] ^= 1
    comparison = check(data, summary, io.BytesIO(content))
    assert (comparison.outcome, comparison.changes, dict(comparison.counts)) == (Outcome.DIFFERS, (), {})
    assert "manifest" in comparison.note


def test_a_manifest_without_digest_is_believed_by_its_root(data: Path) -> None:
    summary, manifest = signed(data)
    (data / "train.csv").write_bytes(b"evil")
    comparison = verify_tree(data, summary.root, PORTABLE, manifest=manifest)
    assert [c.kind for c in comparison.changes] == [ChangeKind.MODIFIED]
    manifest.seek(0)
    comparison = verify_tree(data, Digest(bytes(32)), PORTABLE, manifest=manifest)
    assert not comparison.changes


def test_names_are_listed_up_to_the_limit_and_all_are_counted(data: Path) -> None:
    summary, manifest = signed(data)
    for i in range(3000):
        (data / f"{i:05}").write_bytes(b"")
    comparison = check(data, summary, manifest)
    assert len(comparison.changes) == 20
    assert comparison.counts == {ChangeKind.ADDED: 3000}


def test_parameters_change_the_root(data: Path) -> None:
    roots = {
        create_manifest(data, Parameters(profile, size)).root for profile in Profile for size in (4096, 8192, 1 << 23)
    }
    assert len(roots) == 6


@pytest.mark.parametrize("name", [b"\xff\xfe", b"new\nline", b"\x1b[31m", b"x" * 255, "ü".encode()])
def test_names_may_be_any_bytes(data: Path, name: bytes) -> None:
    summary, manifest = signed(data)
    (Path(os.fsdecode(os.fsencode(data) + b"/" + name))).write_bytes(b"1")
    comparison = check(data, summary, manifest)
    (change,) = comparison.changes
    assert change.path == name
    assert str(change).isprintable()
    assert signed(data)[0].root == comparison.observed


def test_deep_trees_work_up_to_the_limit(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    fd = os.open(deep, os.O_RDONLY)
    for level in range(513):
        if level in {511, 512}:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            if level == 511:
                assert create_manifest(deep).files == 1
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    with pytest.raises(LinewardError) as error:
        create_manifest(deep)
    assert error.value.reason is Reason.TREE_TOO_DEEP


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_nothing_is_written_that_no_reader_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A path of 32,767 bytes is an entry, a longer one refuses, whatever its kind; so with names."""
    fd, names = os.open(tmp_path, os.O_RDONLY), ["x" * 255] * 127 + ["y" * 250]
    for name in names:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below

    def make(name: str) -> None:
        if kind == "file":
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        elif kind == "link":
            os.symlink("t", name, dir_fd=fd)
        else:
            os.mkdir(name, dir_fd=fd)

    make("1234")
    summary, manifest = signed(tmp_path, POSIX)
    list(ManifestReader(manifest).pages())
    assert summary.files == (kind == "file")
    make("12345")
    with pytest.raises(LinewardError, match="TreeTooDeep"):
        signed(tmp_path, POSIX)
    monkeypatch.setattr(files_tree, "MAX_NAME_BYTES", 5)
    shutil.rmtree(tmp_path / ("x" * 255))
    fd = os.open(tmp_path, os.O_RDONLY)
    make("12345")
    assert signed(tmp_path, POSIX)
    make("123456")
    with pytest.raises(LinewardError, match="TreeTooDeep"):
        signed(tmp_path, POSIX)
    os.close(fd)


@pytest.mark.parametrize("target", [b"", b"t" * 4096])
def test_a_link_whose_target_has_no_encoding_refuses(
    data: Path, monkeypatch: pytest.MonkeyPatch, target: bytes
) -> None:
    (data / "link").symlink_to("c")
    real = os.readlink
    monkeypatch.setattr(os, "readlink", lambda path, **at: target if path == b"link" else real(path, **at))
    with pytest.raises(LinewardError, match="SpecialFile: link is a symlink whose target"):
        signed(data, POSIX)


def test_a_manifest_beyond_the_limits_is_not_written(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_writer, "MAX_BYTES", 12 + 8 + 256 * 40)
    assert signed(data)
    (data / "one").write_bytes(b"1")
    with pytest.raises(LinewardError, match="at most 2\\^63 - 1 bytes"):
        signed(data)
    monkeypatch.setattr(manifest_writer, "MAX_PAGES", 1)
    for number in range(2100):
        (data / f"{number}").touch()
    with pytest.raises(LinewardError, match="at most 1 pages"):
        signed(data)


def test_sparse_files_and_hard_links_are_plain_files(data: Path) -> None:
    (data / "sparse").touch()
    os.truncate(data / "sparse", 1 << 20)
    os.link(data / "train.csv", data / "again.csv")
    summary, _ = signed(data)
    (data / "sparse").write_bytes(bytes(1 << 20))
    (data / "again.csv").unlink()
    shutil.copyfile(data / "train.csv", data / "again.csv")
    assert check(data, summary).outcome is Outcome.EQUAL
