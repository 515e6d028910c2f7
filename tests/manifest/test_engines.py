"""The compiled engine against the Python one, and both against hashlib: call by call, argument by argument."""

import hashlib
import os
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path
from random import Random
from threading import Thread
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineward import native
from lineward.domain.entry import check_follows, decode_all
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Profile
from lineward.native import fallback

SIZES = [0, 1, 55, 56, 63, 64, 65, 4095, 4096, 131071, 131072, 131073, 262144, 400_001]


def test_the_compiled_engine_was_built() -> None:
    """A broken build must not hide behind the fallback: where it is not wanted, LINEWARD_NATIVE=skip says so."""
    if os.environ.get("LINEWARD_NATIVE") == "skip" or os.environ.get("LINEWARD_ENGINE") == "python":
        pytest.skip("the compiled engine is not wanted here")
    assert native.engine is not fallback


@pytest.mark.parametrize(
    ("name", "wish", "own"), [("scalar", "", False), ("scalar", "scalar", True), ("sha-ni", "", True)]
)
def test_large_files_have_the_faster_of_two(monkeypatch: pytest.MonkeyPatch, name: str, wish: str, own: bool) -> None:  # noqa: FBT001
    chosen = ModuleType("chosen")
    chosen.NAME, chosen.hash_spans = name, len  # type: ignore[attr-defined]
    monkeypatch.setenv("LINEWARD_ENGINE", wish)
    assert native._spans(chosen) is (len if own else fallback.hash_spans)


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEWARD_ENGINE", "bogus")
    with pytest.raises(RuntimeError, match="'bogus'; it may be python or scalar"):
        native._choose()
    monkeypatch.setenv("LINEWARD_ENGINE", "python")
    assert native._choose() is fallback


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for size in SIZES:
        (tmp_path / f"{size:09}").write_bytes(os.urandom(size))
    return tmp_path


def hashed(engine: ModuleType, folder: Path, names: list[bytes], limit: int, mode: int = 0) -> tuple[list[int], bytes]:
    stats, digests, cursor = bytearray(40 * len(names)), bytearray(32 * len(names)), bytearray(24)
    fd = os.open(folder, os.O_RDONLY)
    try:
        engine.hash_files([(fd, names[:3]), (fd, names[3:])], cursor, stats, digests, limit, mode)
    finally:
        os.close(fd)
    done = sum(r[4] for r in fallback.STAT.iter_unpack(stats) if r[0] == fallback.DONE and not mode & 1)
    assert fallback.CURSOR.unpack(cursor)[1:] == (len(names), done)
    return [record[0] for record in fallback.STAT.iter_unpack(stats)], bytes(digests)


@pytest.mark.parametrize("mode", [0, 2])
def test_files_have_the_digests_of_hashlib(engine: ModuleType, folder: Path, mode: int) -> None:
    names = [f"{size:09}".encode() for size in SIZES]
    statuses, digests = hashed(engine, folder, names, 1 << 20, mode)
    assert statuses == [fallback.DONE] * len(SIZES)
    expected = [hashlib.sha256((folder / f"{size:09}").read_bytes()).digest() for size in SIZES]
    assert digests == b"".join(expected)


def test_statuses_say_what_stood_in_the_way(engine: ModuleType, folder: Path) -> None:
    (folder / "link").symlink_to("000000001")
    (folder / "dir").mkdir()
    os.mkfifo(folder / "pipe")
    names = [b"000000064", b"missing", b"link", b"dir", b"pipe", b"000000065"]
    statuses, digests = hashed(engine, folder, names, 64)
    expected = [fallback.DONE, fallback.FAILED, *[fallback.NOT_REGULAR] * 3, fallback.DEFERRED]
    assert statuses == expected
    assert digests[32:] == bytes(5 * 32)
    statuses, digests = hashed(engine, folder, names, 64, 1)
    assert statuses == expected
    assert digests == bytes(6 * 32)


def test_files_wait_for_descriptors_that_others_give_back(tmp_path: Path) -> None:
    """On a cold disk files are opened ahead: what no descriptor is left for has its turn later."""
    if native.engine is fallback:
        pytest.skip("only the compiled engine opens files ahead")
    for number in range(300):
        (tmp_path / f"{number:03}").write_bytes(b"x" * number)
    code = """if True:
        import os, resource, sys
        from lineward import native
        names = [b"%03d" % number for number in range(300)]
        stats, digests = bytearray(40 * 300), bytearray(32 * 300)
        fd = os.open(sys.argv[1], os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 6, fd + 6))
        native.hash_files([(fd, names)], bytearray(24), stats, digests, 1 << 20, 2)
        os.write(1, stats[::40] + digests)
    """
    found = subprocess.run([sys.executable, "-c", code, tmp_path], check=True, stdout=subprocess.PIPE).stdout
    expected = b"".join(hashlib.sha256(b"x" * number).digest() for number in range(300))
    assert found == bytes([fallback.DONE]) * 300 + expected


@pytest.mark.parametrize(("limit", "threads"), [(256, 1), (512, 1), (700, 4), (1024, 8), (4096, 8)])
def test_fewer_threads_wait_for_a_disk_where_descriptors_are_few(limit: int, threads: int) -> None:
    code = f"""if True:
        import resource
        from lineward.adapters.files_engine import Engine
        from lineward.domain.manifest import Parameters
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, {limit}))
        with Engine(Parameters(), 1) as engine:
            engine._waiting = True
            print(engine._pool()[1], resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    """
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.split() == [str(threads), str(limit)]


def test_listings_are_sorted_by_bytes_with_kinds(engine: ModuleType, tmp_path: Path) -> None:
    for name in (b"b", b"a\xff", b"a", b"\xff", b"a-", b"B"):
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "a0").mkdir()
    (tmp_path / "l").symlink_to("a")
    os.mkfifo(tmp_path / "p")
    fd = os.open(tmp_path, os.O_RDONLY)
    first = engine.list_directory(fd, b"", 1000)
    assert first == (b"B\0a\0a-\0a0\0a\xff\0b\0l\0p\0\xff\0", b"fffdffls" + b"f", False)
    assert engine.list_directory(fd, b"", 1000) == first
    assert engine.list_directory(fd, b"a-", 8) == (b"a0\0a\xff\0b\0", b"dff", True)
    assert engine.list_directory(fd, b"p", 0) == (b"\xff\0", b"f", False)
    assert engine.list_directory(fd, b"\xff", 10) == (b"", b"", False)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file"):
        engine.list_directory(fd, b"", 10)


@given(st.integers(0, 600), st.binary(max_size=2).filter(lambda after: b"\0" not in after), st.randoms())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_part_of_a_listing_is_the_first_names_that_fit(
    engine: ModuleType, room: int, after: bytes, random: Random
) -> None:
    """Names of any length in any order: a short one that comes late fits where a long one before it did not."""
    with tempfile.TemporaryDirectory() as folder:
        names = sorted({b"%x" % random.randrange(4096) * random.choice([1, 1, 1, 60]) for _ in range(200)})
        for name in random.sample(names, len(names)):
            Path(folder, os.fsdecode(name)).touch()
        fd = os.open(folder, os.O_RDONLY)
        try:
            found, kinds, more = engine.list_directory(fd, after, room)
        finally:
            os.close(fd)
    expected: list[bytes] = []
    size = 0
    for name in (name for name in names if name > after):
        size += len(name) + 1
        if expected and size > room:
            break
        expected.append(name)
    assert found == b"".join(name + b"\0" for name in expected)
    assert kinds == b"f" * len(expected)
    assert more is (expected[-1:] < names[-1:] and names[-1] > after)


def test_progress_does_not_wait_for_a_whole_claim(engine: ModuleType, tmp_path: Path) -> None:
    names = [b"%02d" % number for number in range(16)]
    for name in names:
        with (tmp_path / name.decode()).open("wb") as file:
            file.truncate(32 << 20)
    cursor, seen = bytearray(24), set()
    stats, digests = bytearray(40 * len(names)), bytearray(32 * len(names))
    fd = os.open(tmp_path, os.O_RDONLY)
    thread = Thread(target=engine.hash_files, args=([(fd, names)], cursor, stats, digests, 1 << 30, 0))
    thread.start()
    while thread.is_alive():
        seen.add(fallback.CURSOR.unpack(cursor)[1:])
        thread.join(0.001)
    os.close(fd)
    assert fallback.CURSOR.unpack(cursor)[1:] == (16, 512 << 20)
    assert len(seen - {(0, 0), (16, 512 << 20)}) > 1
    assert all(size >= files * (32 << 20) for files, size in seen)


@given(st.lists(st.tuples(st.integers(0, 500_000), st.integers(0, 300_000)), max_size=8))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spans_have_the_digests_of_hashlib(engine: ModuleType, folder: Path, spans: list[tuple[int, int]]) -> None:
    content = os.urandom(800_000)
    (folder / "file").write_bytes(content)
    fd = os.open(folder / "file", os.O_RDONLY)
    try:
        cursor = bytearray(24)
        for mode in (0, 2, 4):
            found = engine.hash_spans([(fd, offset, length) for offset, length in spans], cursor, mode)
            assert found == b"".join(hashlib.sha256(content[at : at + size]).digest() for at, size in spans)
        assert fallback.CURSOR.unpack(cursor) == (0, 0, 3 * sum(size for _, size in spans))
        with pytest.raises(EOFError):
            engine.hash_spans([(fd, 0, 10), (fd, 799_999, 2)], cursor, 0)
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file"):
        engine.hash_spans([(fd, 0, 10)], cursor, 0)


@given(st.lists(st.binary(max_size=300), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_leaf_hashes_are_prefixed_sha256(engine: ModuleType, parts: list[bytes]) -> None:
    lengths = array("I", map(len, parts)).tobytes()
    found = engine.leaf_hashes(b"".join(parts), lengths)
    assert found == b"".join(hashlib.sha256(b"\0" + part).digest() for part in parts)


@pytest.mark.parametrize("level", range(8))
def test_perfect_roots_agree(engine: ModuleType, level: int) -> None:
    leaves = os.urandom(32 << level)
    assert engine.perfect_root(leaves) == fallback.perfect_root(leaves)


@given(st.binary(max_size=40), st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_entries_are_encoded_alike(engine: ModuleType, prefix: bytes, names: list[bytes], modes: bool) -> None:  # noqa: FBT001
    stats = b"".join(fallback.STAT.pack(0, i % 2, 0, 0, i << 33, 1, 2, 3) for i in range(len(names)))
    digests = os.urandom(32 * len(names))
    assert engine.encode_files(prefix, names, stats, digests, modes) == fallback.encode_files(
        prefix, names, stats, digests, modes
    )


paths = st.lists(
    st.sampled_from([b"a", b"b", b"a-", b".", b"..", b"", b"x" * 255, b"x" * 256, b"\0"]), min_size=1, max_size=3
)
entries = st.builds(
    lambda kind, path, size, content, cut: (
        kind + len(path := b"/".join(path)).to_bytes(2, "big") + size.to_bytes(8, "big") + path + content
    )[: cut or None],
    st.sampled_from([b"F", b"X", b"L", b"D", b"Z"]),
    paths,
    st.sampled_from([0, 1, 32, 4095, 4096, (1 << 63) - 1, 1 << 63]),
    st.sampled_from([b"", b"t", b"t" * 32, b"t" * 4095]),
    st.sampled_from([0, 0, 0, 0, -1, 5]),
)


@given(
    st.lists(entries, min_size=1, max_size=3),
    st.sampled_from([b"", b"a", b"a/b", b"b"]),
    st.sampled_from(list(Profile)),
)
def test_the_quick_check_of_entries_agrees_with_the_rules(
    parts: list[bytes], previous: bytes, profile: Profile
) -> None:
    if native.engine is fallback:
        pytest.skip("only the compiled engine has one")
    body = b"".join(parts)
    lengths, files, size, last = [], 0, 0, previous
    try:
        for entry in decode_all(body):
            check_follows(last, entry, profile)
            last = entry.path
            lengths.append(len(entry.encode()))
            files, size = files + entry.is_file, size + (entry.size if entry.is_file else 0)
    except InvalidInputError:
        expected = None
    else:
        expected = (array("I", lengths).tobytes(), files, size, last)
    assert native.engine.check_entries(body, previous, profile is Profile.POSIX) == expected


def test_wrong_arguments_are_refused_and_not_read_beyond() -> None:
    if native.engine is fallback:
        pytest.skip("only the compiled engine reads memory by itself")
    engine = native.engine
    with pytest.raises(ValueError, match="too short"):
        engine.hash_files([(0, [b"a"])], bytearray(24), bytearray(39), bytearray(32), 1, 0)
    with pytest.raises(ValueError, match="add up"):
        engine.leaf_hashes(b"abc", array("I", [4]).tobytes())
    with pytest.raises(ValueError, match="power of two"):
        engine.perfect_root(bytes(96))
    with pytest.raises(ValueError, match="too short"):
        engine.encode_files(b"", [b"a"], bytes(39), bytes(32), 0)
    with pytest.raises(ValueError, match="too long"):
        engine.encode_files(b"a" * 65535, [b"a"], bytes(40), bytes(32), 0)
