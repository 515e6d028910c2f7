"""What grows and what must not: huge directories are listed in parts, and who watches is told how long it will take."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineward import native
from lineward.adapters import files_tree
from lineward.adapters.files import create_manifest, verify_tree
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_listing import Listing
from lineward.adapters.files_progress import Progress
from lineward.adapters.files_total import Total
from lineward.adapters.files_tree import Run, Tree
from lineward.domain.digest import Digest
from lineward.domain.entry import Entry
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile
from lineward.native import fallback


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for i in range(400):
        path = folder / f"{i % 4}" / ("deep" if i % 3 else "") / f"{i * 37 % 1000:04}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * i)
    return folder


@pytest.mark.usefixtures("engine")
def test_a_root_does_not_depend_on_how_much_is_listed_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = create_manifest(folder)
    for most in (0, 100, 2000):
        monkeypatch.setattr(files_tree, "_NAMES_LEAST", 16)
        monkeypatch.setattr(files_tree, "_NAMES_BYTES", most)
        assert create_manifest(folder) == expected


def release_all(walk: Iterator[Run | Entry]) -> None:
    for item in walk:
        assert isinstance(item, Run)
        item.directory.release()


@pytest.mark.usefixtures("engine")
def test_names_added_between_two_parts_are_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_tree, "_NAMES_LEAST", 16)
    monkeypatch.setattr(files_tree, "_NAMES_BYTES", 0)
    tree = Tree(folder, Profile.PORTABLE)
    walk = tree.walk()
    first = next(walk)
    assert isinstance(first, Run)
    (folder / "0" / "zzz").touch()
    first.directory.release()
    with pytest.raises(LinewardError, match="changed while it was read"):
        release_all(walk)
    tree.close()


@pytest.mark.usefixtures("engine")
def test_a_listing_holds_no_more_than_its_room(folder: Path) -> None:
    fd = os.open(folder / "0", os.O_RDONLY)
    try:
        listing, names = Listing(fd, 50), []
        while listing.left():
            assert listing.held <= 50
            assert sum(len(name) + 1 for name in listing.names) <= 50
            names += listing.names
            listing.at = len(listing.names)
    finally:
        os.close(fd)
    assert names == sorted(os.fsencode(path.name) for path in (folder / "0").iterdir())


def peak(folder: Path, profile: Profile = Profile.PORTABLE) -> int:
    """Peak memory in bytes of hashing a folder in chunks of 4 KiB; not ru_maxrss, which begins with the parent's."""
    code = """if True:
        import os, re, sys
        from pathlib import Path
        from lineward.adapters.files import create_manifest
        from lineward.domain.manifest import Parameters, Profile
        from lineward.adapters.files_recall import Journal
        parameters = Parameters(Profile(sys.argv[2]), 4096)
        folder, out = Path(sys.argv[1]), open(os.devnull, "wb")
        with Journal(folder.with_suffix(".journal"), folder, parameters) as journal:
            create_manifest(folder, parameters, workers=2, recall=journal, out=out)
        print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
    """
    return int(subprocess.run([sys.executable, "-c", code, folder, profile], check=True, stdout=subprocess.PIPE).stdout)


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    sizes = {"small": 1 << 20, "large": 1 << 30}
    for name, size in sizes.items():
        (tmp_path / name).mkdir()
        with (tmp_path / name / "file").open("wb") as file:
            file.truncate(size)
    small, large = (peak(tmp_path / name) for name in sizes)
    assert large < 64 << 20
    assert large - small < 32 * ((sizes["large"] - sizes["small"]) // 4096)


@pytest.mark.parametrize("kind", ["files", "links", "directories"])
def test_memory_does_not_grow_with_the_length_of_paths(tmp_path: Path, kind: str) -> None:
    """2,048 entries, one batch for short paths, below 126 directories of 255 bytes: 64 MiB of entries."""
    (tmp_path / "set").mkdir()
    fd = os.open(tmp_path / "set", os.O_RDONLY)
    for _ in range(126):
        os.mkdir("x" * 255, dir_fd=fd)
        below = os.open("x" * 255, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    for number in range(2048):
        if kind == "files":
            os.close(os.open(f"{number:05}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        elif kind == "links":
            os.symlink("t" * 4095, f"{number:05}", dir_fd=fd)
        else:
            os.mkdir(f"{number:05}", dir_fd=fd)
    os.close(fd)
    assert peak(tmp_path / "set", Profile.PORTABLE if kind == "files" else Profile.POSIX) < 64 << 20


@pytest.mark.skipif(native.engine is fallback, reason="hashlib has no buffers to bound")
def test_memory_stays_bounded_with_many_threads_and_somebody_who_watches(tmp_path: Path) -> None:
    for number in range(100_000):
        os.close(os.open(tmp_path / f"{number:024}", os.O_CREAT | os.O_WRONLY))
    code = """if True:
        import re, sys
        from pathlib import Path
        from lineward.adapters.files import create_manifest
        create_manifest(Path(sys.argv[1]), workers=64, progress=lambda _: None)
        print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
    """
    most = int(subprocess.run([sys.executable, "-c", code, tmp_path], check=True, stdout=subprocess.PIPE).stdout)
    assert most < 62_500


def test_the_total_is_counted_beside_the_hashing(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    total = Total(Tree(folder, Profile.PORTABLE), told.append)
    total._thread.join()
    total.close()
    assert told == [(400, sum(range(400)))]
    (folder / "empty").mkdir()
    total = Total(Tree(folder, Profile.PORTABLE), told.append)
    total.close()
    assert len(told) == 1


def test_progress_tells_the_time_left_without_a_manifest(folder: Path) -> None:
    seen: list[Progress] = []
    with Engine(Parameters(), 1, seen.append) as engine:
        parts = engine.hash(Tree(folder, Profile.PORTABLE))
        next(parts)
        assert engine._total
        engine._total._thread.join()
        for _ in parts:
            pass
    assert (seen[-1].total_files, seen[-1].total_bytes) == (400, sum(range(400)))
    assert seen[-1].seconds_left == 0.0
    create_manifest(folder, progress=seen.append)
    verify_tree(folder, Digest(bytes(32)), progress=seen.append)
    assert seen[-1].files == 400


def test_threads_that_wait_for_a_disk_may_open_as_many_files_as_the_system_allows() -> None:
    code = """if True:
        import resource, sys
        from pathlib import Path
        from lineward.adapters.files_engine import Engine
        from lineward.domain.manifest import Parameters
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
        with Engine(Parameters(), 1) as engine:
            engine._waiting = True
            engine._pool()
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
