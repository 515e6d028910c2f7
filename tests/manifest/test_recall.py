"""Journals, caches and samples: they save reading, never honesty."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from lineward.adapters import files_batch, files_recall
from lineward.adapters.files import Outcome, create_manifest, verify_tree
from lineward.adapters.files_engine import Engine
from lineward.adapters.files_recall import Journal
from lineward.adapters.files_sample import Sampling
from lineward.adapters.files_tree import Tree
from lineward.cli import manifest
from lineward.domain.assurance import Assurance
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile
from lineward.domain.reasons import Reason

SMALL = Parameters(Profile.PORTABLE, 4096)


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests cache what they have only just written."""
    monkeypatch.setattr(files_recall, "_TICK", -(1 << 60))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for i in range(100):
        path = folder / f"{i % 5}" / f"{i:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(i * 100))
    return folder


def recalled(folder: Path, journal: Path, parameters: Parameters = SMALL) -> tuple[object, int, int]:
    with Journal(journal, folder, parameters) as known, Engine(parameters, 2, recall=known) as engine:
        blobs = [part.blob for part in engine.hash(Tree(folder, parameters.profile))]
        known.complete()
    return b"".join(blobs), engine.recalled_files, engine.recalled_bytes


def test_a_second_run_reads_only_what_changed(folder: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    first, none, _ = recalled(folder, journal)
    assert none == 0
    second, all_files, _ = recalled(folder, journal)
    assert (second, all_files) == (first, 100)
    (folder / "0" / "050").write_bytes(b"changed")
    (folder / "1" / "new").write_bytes(b"new")
    (folder / "2" / "002").unlink()
    (folder / "3" / "003").rename(folder / "3" / "0030")
    third, some, _ = recalled(folder, journal)
    fresh, _, _ = recalled(folder, tmp_path / "fresh")
    assert third == fresh
    assert some == 97


def test_a_cached_verdict_says_so_and_never_lies_about_seen_changes(folder: Path, tmp_path: Path) -> None:
    summary = create_manifest(folder, SMALL)
    for expected in (Assurance.FULL, Assurance.CACHED):
        with Journal(tmp_path / "cache", folder, SMALL) as cache:
            found = verify_tree(folder, summary.root, SMALL, recall=cache)
            cache.complete()
        assert (found.outcome, found.assurance) == (Outcome.EQUAL, expected)
    stat = (folder / "4/099").stat()
    content = bytearray((folder / "4/099").read_bytes())
    content[5] ^= 1
    (folder / "4/099").write_bytes(content)
    os.utime(folder / "4/099", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with Journal(tmp_path / "cache", folder, SMALL) as cache:
        assert verify_tree(folder, summary.root, SMALL, recall=cache).outcome is Outcome.DIFFERS


@pytest.mark.parametrize("damage", ["cut", "flipped", "other folder", "other parameters"])
def test_a_damaged_or_foreign_cache_is_not_used(folder: Path, tmp_path: Path, damage: str) -> None:
    journal = tmp_path / "journal"
    good, _, _ = recalled(folder, journal)
    data = bytearray(journal.read_bytes())
    parameters = SMALL
    if damage == "cut":
        del data[-1:]
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
    elif damage == "other folder":
        folder = folder.rename(tmp_path / "elsewhere")
        (tmp_path / "copy").mkdir()
        os.rename(folder / "0", tmp_path / "copy" / "0")  # noqa: PTH104
        folder = tmp_path / "copy"
        good = recalled(folder, tmp_path / "fresh")[0]
    else:
        parameters = Parameters(Profile.PORTABLE, 8192)
        good = recalled(folder, tmp_path / "fresh", parameters)[0]
    journal.write_bytes(data)
    found, reused, _ = recalled(folder, journal, parameters)
    assert found == good
    assert reused == 0


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """A file of many chunks and small ones behind it: killed while hashing, then resumed to the same root."""
    folder = tmp_path / "set"
    folder.mkdir()
    with (folder / "large").open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    (folder / "small").write_bytes(b"x")
    time.sleep(2.1)  # what has just changed is not noted
    journal = tmp_path / "journal"
    command = [sys.executable, "-m", "lineward.cli.main", "manifest", "create", str(folder), "--chunk-size", "64KiB"]
    command += ["--journal", str(journal), "-o", "json", "--workers", "1"]
    environment = os.environ | {"LINEWARD_ENGINE": "python"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        partial = tmp_path / "journal.partial"
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size > 10_000) and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    parameters = Parameters(Profile.PORTABLE, 65536)
    expected = create_manifest(folder, parameters)
    with Journal(journal, folder, parameters) as known, Engine(parameters, 2, recall=known) as engine:
        from lineward.domain.manifest_writer import ManifestWriter  # noqa: PLC0415

        writer = ManifestWriter(parameters, None)
        for part in engine.hash(Tree(folder, parameters.profile)):
            writer.extend(part.blob, part.lengths, part.files, part.bytes)
    assert writer.finish() == expected
    assert engine.recalled_bytes > 0


def create(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lineward.cli.main", "manifest", "create", str(folder), "-o", "json", *arguments]


def answer(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return cast("dict[str, Any]", json.loads(done.stdout))


def test_large_files_that_were_finished_are_taken_over(folder: Path, tmp_path: Path) -> None:
    """Both ways of the command line: a cache, and a journal of a run that was killed behind the first large file."""
    expected = str(create_manifest(folder, SMALL).root)
    time.sleep(2.1)  # what has just changed is not noted
    cached = create(folder, "--chunk-size", "4096", "--cache", str(tmp_path / "cache"))
    answers = [answer(cached) for _ in range(2)]
    assert [(each["root"], each["assurance"]) for each in answers] == [(expected, "full"), (expected, "cached")]
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "a").write_bytes(os.urandom(9 << 20))
    for number in range(files_batch.BATCH_FILES):
        (folder / f"b{number}").touch()
    with (folder / "c").open("wb") as file:
        file.truncate(400 << 20)
    time.sleep(2.1)
    command = create(folder, "--journal", str(tmp_path / "journal"), "--workers", "1", "--chunk-size", "64KiB")
    partial = tmp_path / "journal.partial"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"LINEWARD_ENGINE": "python"}) as first:
        while first.poll() is None and not (partial.exists() and partial.stat().st_size > 200_000):
            time.sleep(0.002)
        first.kill()
    assert first.returncode == -signal.SIGKILL
    assert answer(command)["root"] == str(create_manifest(folder, Parameters(Profile.PORTABLE, 65536)).root)


def test_a_sample_is_never_a_verdict(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    with path.open("wb") as out:
        summary = create_manifest(folder, SMALL, out=out)

    def sample(count: int) -> tuple[Outcome, Reason]:
        with path.open("rb") as manifest:
            found = verify_tree(folder, summary.root, SMALL, manifest=manifest, sample=count)
        assert found.assurance is Assurance.SAMPLED
        return found.outcome, found.reason

    assert sample(5) == sample(1000) == (Outcome.UNKNOWN, Reason.SAMPLED)
    content = (folder / "4/099").read_bytes()
    (folder / "4/099").write_bytes(b"y" * len(content))
    assert sample(100) == (Outcome.DIFFERS, Reason.CONTENT_DIFFERS)
    (folder / "4/099").write_bytes(content + b"1")
    assert sample(1) == (Outcome.DIFFERS, Reason.CONTENT_DIFFERS)
    (folder / "4/099").write_bytes(content)
    (folder / "4/new").write_bytes(b"")
    assert sample(1) == (Outcome.DIFFERS, Reason.CONTENT_DIFFERS)
    found = verify_tree(folder, summary.root, SMALL, sample=3)
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, Reason.MANIFEST_INVALID)
    assert found.assurance is Assurance.SAMPLED
    found = verify_tree(folder, summary.root, SMALL, manifest=io.BytesIO(path.read_bytes()), sample=3)
    assert (found.outcome, found.assurance) == (Outcome.UNKNOWN, Assurance.SAMPLED)


def test_a_sample_of_a_part_is_drawn_from_that_part(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    with path.open("wb") as out:
        summary = create_manifest(folder, SMALL, out=out)
    content = (folder / "4/099").read_bytes()
    (folder / "4/099").write_bytes(b"y" * len(content))
    for directory, altered in ((b"3", False), (b"4", True)):
        with path.open("rb") as manifest:
            part = folder / directory.decode()
            found = verify_tree(part, summary.root, SMALL, manifest=manifest, directory=directory, sample=20)
        assert found.sampling == Sampling(20, 20)
        assert found.reason is (Reason.CONTENT_DIFFERS if altered else Reason.SAMPLED)


def test_what_others_may_write_is_not_believed(folder: Path, tmp_path: Path) -> None:
    cache, partial = tmp_path / "cache", tmp_path / "cache.partial"
    recalled(folder, cache)
    assert cache.stat().st_mode & 0o777 == 0o600
    for mode in (0o620, 0o602):
        cache.chmod(mode)
        with pytest.raises(LinewardError, match="believed only"):
            Journal(cache, folder, SMALL)
    cache.chmod(0o600)
    if os.getuid() == 0:
        os.chown(cache, 1, 1)
        with pytest.raises(LinewardError, match="believed only"):
            Journal(cache, folder, SMALL)
        os.chown(cache, 0, 0)
    for place in (cache, partial):
        partial.unlink(missing_ok=True)
        place.unlink(missing_ok=True)
        victim = tmp_path / "victim"
        victim.write_text("precious")
        place.symlink_to(victim)
        with pytest.raises(LinewardError, match="Unreadable"):
            Journal(cache, folder, SMALL)
        assert victim.read_text() == "precious"
        place.unlink()
        os.mkfifo(place)
        with pytest.raises(LinewardError, match="Unreadable"):
            Journal(cache, folder, SMALL)
        place.unlink()


def test_a_cache_serves_one_run_at_a_time(folder: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "cache", folder, SMALL) as first:
        with pytest.raises(LinewardError, match="in use by another run"):
            Journal(tmp_path / "cache", folder, SMALL)
        first.complete()
    assert recalled(folder, tmp_path / "cache")[1] == 0
    assert recalled(folder, tmp_path / "cache")[1] == 100


def test_detection_is_the_probability_of_drawing_without_repetition() -> None:
    assert Sampling(10, 100).detection(1) == pytest.approx(0.1)
    assert Sampling(459, 100_000).detection(1000) == pytest.approx(0.99, abs=0.001)
    assert Sampling(100, 100).detection(1) == 1.0
    assert Sampling(5, 10).detection(6) == 1.0


def test_an_answer_that_could_not_be_found_keeps_the_journal(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the folder could not be read to its end the next try goes on from there; an answer ends the journal."""
    monkeypatch.setattr(files_batch, "BATCH_FILES", 10)
    root = str(create_manifest(folder, SMALL).root)
    journal, partial = tmp_path / "journal", tmp_path / "journal.partial"
    arguments = ["verify", str(folder), "--root", root, "--chunk-size", "4096", "--journal", str(journal)]
    os.makedirs(folder / "5" / "/".join(["d"] * 600))  # noqa: PTH103 - Path.mkdir would recurse
    assert manifest.run(arguments, "lineward manifest") == 2
    assert "TreeTooDeep" in capsys.readouterr().out
    assert partial.exists()
    shutil.rmtree(folder / "5")
    shutil.copy(partial, tmp_path / "copy")
    _, known, _ = recalled(folder, tmp_path / "copy")
    assert known > 0
    assert manifest.run(arguments, "lineward manifest") == 0
    assert not journal.exists()
    assert not partial.exists()
