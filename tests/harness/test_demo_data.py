"""The demo's data comes from a source archive of which nothing may run."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from e2e.demo import data

SETUP = """
import pathlib, setuptools
pathlib.Path({ran!r}).touch()
setuptools.setup(name="german", version="1.0")
"""


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """Where the archive's setup.py leaves its trace."""
    return tmp_path / "ran"


@pytest.fixture
def index(tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its index, with one source archive."""
    folder = tmp_path / "index"
    folder.mkdir()
    contents = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: german\nVersion: 1.0\n",
        "setup.py": SETUP.format(ran=str(ran)),
    }
    with tarfile.open(folder / "german-1.0.tar.gz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"german-1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def requirements(tmp_path: Path, digest: str) -> Path:
    file = tmp_path / "requirements.txt"
    file.write_text(f"german==1.0 --hash=sha256:{digest}\n")
    return file


def test_nothing_of_the_archive_runs(tmp_path: Path, index: Path, ran: Path) -> None:
    content = (index / "german-1.0.tar.gz").read_bytes()
    fetched = data.fetch(requirements(tmp_path, hashlib.sha256(content).hexdigest()), tmp_path / "scratch")
    assert fetched.read_bytes() == content
    assert not ran.exists()


@pytest.mark.usefixtures("index")
def test_another_archive_is_refused(tmp_path: Path, ran: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        data.fetch(requirements(tmp_path, "0" * 64), tmp_path / "scratch")
    assert not ran.exists()
