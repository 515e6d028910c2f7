"""All of the files or none of them, whatever ends the writing: an error, Ctrl-C, or a kill that lets nothing run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lineward.cli.attest_output import Outputs
from lineward.domain.errors import InvalidInputError, LinewardError

SUFFIXES = ("lwm", "sigstore", "manifest.yaml", "yaml")
NAMES = ["v.lwm", "v.sigstore", "v-manifest.yaml", "v.yaml"]
WRITE = """
import os, signal, sys
from pathlib import Path
from lineward.cli.attest_output import Outputs
out, data, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rename, count = Path.rename, 0
def killed(self, target):
    global count
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return rename(self, target)
Path.rename = killed
with Outputs(out, "v", data, force=True) as outputs:
    for suffix in ("lwm", "sigstore", "manifest.yaml", "yaml"):
        outputs.add(suffix, b"new")
    outputs.commit()
"""


def shown(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def write(folder: Path, data: Path, *, force: bool = False, content: bytes = b"new") -> None:
    with Outputs(folder, "v", data, force=force) as outputs:
        for suffix in SUFFIXES:
            outputs.add(suffix, content)
        outputs.commit()


def test_a_new_folder_appears_whole(tmp_path: Path, data: Path) -> None:
    for last in range(2):
        out = tmp_path / f"out{last}"
        done = subprocess.run([sys.executable, "-c", WRITE, out, data, str(last)], check=False)
        assert done.returncode == (-signal.SIGKILL if last == 0 else 0)
        assert out.exists() is (last == 1)
    assert shown(tmp_path / "out1") == sorted(NAMES)
    assert (tmp_path / "out1").stat().st_mode == (tmp_path / "data").stat().st_mode


@pytest.mark.parametrize("last", range(5))
def test_killed_between_moves_the_object_is_never_there_without_the_rest(tmp_path: Path, data: Path, last: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([sys.executable, "-c", WRITE, out, data, str(last)], check=False)
    assert shown(out) == sorted(NAMES[:last])


class Ended(BaseException):
    """What Ctrl-C is: no Exception."""


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), Ended()])
@pytest.mark.parametrize("last", range(8))
def test_an_ended_replacement_brings_back_what_was_there(
    tmp_path: Path, data: Path, last: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(out, data, content=b"old")
    rename, count = Path.rename, iter(range(100))

    def failing(self: Path, target: Path) -> Path:
        if next(count) == last:
            raise error
        return rename(self, target)

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
        outputs.require_free(*SUFFIXES)
    with Outputs(out, "v", data, force=True) as outputs:
        outputs.require_free(*SUFFIXES)
    assert shown(out) == ["v.yaml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, data: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LinewardError, match="cannot be written"), Outputs(tmp_path / "out", "v", data, force=False):
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
    while not list(tmp_path.glob(".attest-*/new/*.lwm")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "key.pem"]
