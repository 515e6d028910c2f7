"""All of the files or none of them, whatever ends the writing: an error, Ctrl-C, or a kill that lets nothing run."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.unprivileged import powerless

from lineward.cli.attest_output import Outputs
from lineward.cli.output import replacing
from lineward.domain.errors import InvalidInputError, LinewardError

SUFFIXES = ("lwm", "sigstore", "manifest.yaml", "yaml")
NAMES = ["v.lwm", "v.sigstore", "v-manifest.yaml", "v.yaml"]
WRITE = """
import os, signal, sys
from pathlib import Path
from lineward.cli.attest_output import Outputs
out, data, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rename, count = os.rename, 0
def killed(*names):
    global count
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return rename(*names)
os.rename = killed
with Outputs(out, "v", data, force=True) as outputs:
    for suffix in ("lwm", "sigstore", "manifest.yaml", "yaml"):
        outputs.add(suffix, b"new")
    outputs.commit()
"""


def shown(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in shown(folder)}


def write(
    folder: Path, data: Path, *, force: bool = False, content: bytes = b"new", suffixes: tuple[str, ...] = SUFFIXES
) -> None:
    with Outputs(folder, "v", data, force=force) as outputs:
        for suffix in suffixes:
            outputs.add(suffix, content)
        outputs.commit()


def killed(out: Path, data: Path, last: int) -> int:
    """Write by force in a process that is killed at its rename number `last`."""
    return subprocess.run([sys.executable, "-c", WRITE, out, data, str(last)], check=False).returncode


def test_a_new_folder_appears_whole(tmp_path: Path, data: Path) -> None:
    for last in range(2):
        out = tmp_path / f"out{last}"
        assert killed(out, data, last) == (-signal.SIGKILL if last == 0 else 0)
        assert out.exists() is (last == 1)
    assert shown(tmp_path / "out1") == sorted(NAMES)
    assert (tmp_path / "out1").stat().st_mode == (tmp_path / "data").stat().st_mode


@pytest.mark.parametrize("last", range(5))
def test_killed_between_moves_the_object_is_never_there_without_the_rest(tmp_path: Path, data: Path, last: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    killed(out, data, last)
    assert shown(out) == sorted(NAMES[:last])


@pytest.mark.parametrize("last", range(10))
def test_killed_at_any_move_of_a_replacement_no_object_is_beside_another_set(
    tmp_path: Path, data: Path, last: int
) -> None:
    out = tmp_path / "out"
    write(out, data, content=b"old", suffixes=(*SUFFIXES[:3], "sig", "yaml"))
    old = contents(out)
    assert killed(out, data, last) == (0 if last == 9 else -signal.SIGKILL)
    if last in {0, 9}:
        assert contents(out) == (old if last == 0 else dict.fromkeys(NAMES, b"new"))
    else:
        assert "v.yaml" not in shown(out)
    write(out, data, force=True, content=b"again")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == dict.fromkeys(NAMES, b"again")


def test_what_a_kill_left_is_removed_once_a_set_is_complete(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    killed(out, data, 0)
    (tmp_path / ".v-2@12345678").mkdir()
    (left,) = tmp_path.glob(".v@*")
    with Outputs(out, "v", data, force=False) as outputs:
        outputs.add("yaml", b"")
    assert left.exists()
    write(out, data)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".v-2@12345678", "data", "out"]


def test_what_another_process_still_writes_is_left_alone(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with Outputs(out, "v", data, force=True) as slow:
        slow.add("yaml", b"slow")
        write(out, data)
        assert slow.commit() == [out / "v.yaml"]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"v.yaml": b"slow"}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is renamed and what is brought to disk, in order."""
    made: list[str] = []
    fsync = os.fsync

    def noting(move: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def noted(here: Path, there: Path) -> None:
            made.append("rename")
            move(here, there)

        return noted

    def synced(fd: int) -> None:
        made.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, noting(getattr(os, name)))
    monkeypatch.setattr(os, "fsync", synced)
    return made


@pytest.mark.parametrize("there", [True, False])
def test_each_move_is_on_disk_before_the_next(
    tmp_path: Path,
    data: Path,
    there: bool,  # noqa: FBT001 - a parameter of the test
    done: list[str],
) -> None:
    out = tmp_path / "out"
    if there:
        write(out, data, content=b"old")
    done.clear()
    write(out, data, force=True)
    assert done == ["file"] * 4 + (["rename", "folder"] * 8 if there else ["folder", "rename", "folder"])


def test_a_file_that_is_replaced_is_on_disk(tmp_path: Path, done: list[str]) -> None:
    with replacing(tmp_path / "v.yaml") as file:
        file.write(b"new")
    assert done == ["file", "rename", "folder"]


class Ended(BaseException):
    """What Ctrl-C is: no Exception."""


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), Ended()])
@pytest.mark.parametrize("last", range(8))
@pytest.mark.parametrize("after", [True, False])
def test_an_ended_replacement_brings_back_what_was_there(
    tmp_path: Path,
    data: Path,
    last: int,
    after: bool,  # noqa: FBT001 - a parameter of the test
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it ends just `after` a file has moved."""
    out = tmp_path / "out"
    write(out, data, content=b"old")
    rename, count = Path.rename, iter(range(100))

    def failing(self: Path, target: Path) -> Path:
        ends = next(count) == last
        if ends and not after:
            raise error
        moved = rename(self, target)
        if ends:
            raise error
        return moved

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises((LinewardError, KeyboardInterrupt, Ended)):
        write(out, data, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == dict.fromkeys(NAMES, b"old")


def test_what_is_there_is_found_before_any_work(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    write(out, data)
    for name in NAMES[:-1]:
        (out / name).unlink()
    with Outputs(out, "v", data, force=False) as outputs, pytest.raises(InvalidInputError, match=r"v\.yaml is there"):
        outputs.require_free()
    with Outputs(out, "v", data, force=True) as outputs:
        outputs.require_free()
    assert shown(out) == ["v.yaml"]


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with Outputs(out, "v", data, force=False) as outputs:
        outputs.add("yaml", b"new")
        (out / "v.yaml").write_bytes(b"theirs")
        with pytest.raises(InvalidInputError, match=r"v\.yaml is there"):
            outputs.commit()
    assert contents(out) == {"v.yaml": b"theirs"}


@pytest.mark.parametrize("mode", [0o555, 0])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, data: Path, mode: int) -> None:
    (tmp_path / "kept").mkdir(mode)
    refused = pytest.raises(LinewardError, match="cannot be written")
    with powerless(tmp_path / "kept"), refused, Outputs(Path("out"), "v", data, force=False):
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_cancelled_job_leaves_nothing_behind(tmp_path: Path, data: Path, number: signal.Signals, code: int) -> None:
    with (data / "large.bin").open("wb") as file:
        file.truncate(4 << 30)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    what = ["--dataset", "d", "--version", "1", "--namespace", "ml", "--key", tmp_path / "key.pem"]
    heeding = ["env", "--default-signal=INT"]  # what a shell starts in the background ignores it
    command = [*heeding, sys.executable, "-m", "lineward.cli.main", "attest", data, *what, "--out", tmp_path / "out"]
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE)
    until = time.monotonic() + 30
    while not list(tmp_path.glob(".d-1@*/new/*.lwm")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "key.pem"]
