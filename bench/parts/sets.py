"""The sets of files, and how they leave memory."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

KIB, MIB = 1024, 1024**2
SETS = {"a": (1, 8192 * MIB), "b": (16, 256 * MIB), "c": (100_000, 4 * KIB), "d": (20_000, 100 * KIB)}
DROP = Path("/proc/sys/vm/drop_caches")


def scaled(name: str, scale: float) -> tuple[int, int]:
    """Number and size of files: large files become smaller, of small ones there are fewer."""
    count, size = SETS[name]
    return (max(1, int(count * scale)), size) if count > 100 else (count, max(MIB, int(size * scale)))


def make(work: Path, names: str, scale: float) -> dict[str, Path]:
    """Folders of the sets by name; ends the program where they do not fit."""
    missing = [name for name in names if not (work / name / ".done").exists()]
    needed = sum(count * size for count, size in (scaled(name, scale) for name in missing))
    if needed * 1.05 > (free := shutil.disk_usage(work).free):
        sys.exit(
            f"the sets need {needed / 1e9:.0f} GB, {work} has {free / 1e9:.0f}: choose --work or a smaller --scale"
        )
    for name in names:
        count, size = scaled(name, scale)
        print(f"set {name}: {count} files of {size} bytes", file=sys.stderr)
        make_set(work / name, count, size)
    return {name: work / name / "data" for name in names}


def make_set(folder: Path, count: int, size: int) -> None:
    """Files of random bytes, 1,000 a directory; no two are equal."""
    done = folder / ".done"
    if done.exists():
        return
    pool = os.urandom(min(size, 4 * MIB) + count)
    for number in range(count):
        path = folder / "data" / f"{number // 1000:04}" / f"{number:07}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            written = 0
            while written < size:
                piece = pool[number : number + min(size - written, 4 * MIB)]
                file.write(written.to_bytes(8, "big") + piece[8:] if len(piece) > 4096 else piece)
                written += len(piece)
    done.touch()


def may_drop() -> bool:
    return os.access(DROP, os.W_OK)


def forget(folder: Path, *, everything: bool) -> None:
    """Take the data out of the page cache and, with `everything`, names and inodes of the whole machine too.

    Without it every file is opened for that, so its name and inode are in memory for sure.
    """
    os.sync()
    if everything:
        DROP.write_text("3")
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
