"""`lineward manifest` as people and scripts meet it: exit codes, JSON, messages, and nothing left behind on failure."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineward.cli.main import dispatch
from lineward.domain.errors import LinewardError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("a/1", "a/2", "b/1", "c"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


@pytest.fixture
def manifest(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    code, made = run(capsys, "create", str(data), "--out", str(tmp_path / "m.lwm"))
    assert code == 0
    assert made["files"] == 4
    return tmp_path / "m.lwm"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    try:
        code = dispatch(["manifest", *arguments, "-o", "json"], "lineward")
    except SystemExit as leaving:
        return int(leaving.code or 0), {}
    return code, json.loads(capsys.readouterr().out)


def test_create_says_root_files_and_bytes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = run(capsys, "create", str(data))
    assert code == 0
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", value["root"])
    assert (value["files"], value["bytes"], value["profile"], value["chunkBytes"]) == (4, 10, "portable", 8 << 20)


def test_every_result_has_root_files_and_bytes(
    data: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, part, one = run(capsys, "show", str(manifest))[1]["root"], str(tmp_path / "part"), str(tmp_path / "one")

    def said(*arguments: str) -> tuple[Any, Any, Any]:
        value = run(capsys, *arguments)[1]
        return value["root"], value["files"], value["bytes"]

    assert said("diff", str(manifest), str(manifest)) == (root, 4, 10)
    assert said("prove", str(manifest), "a", "--out", part) == (root, 2, 6)
    assert said("prove", str(manifest), "c", "--out", one) == (root, 1, 1)
    assert said("check-proof", one, "--root", root, "--path", "c") == (root, 1, 1)
    assert said("check-proof", one, "--root", root, "--path", "b") == (root, 0, 0)
    assert said("check-proof", part, "--root", root, "--path", "a", "--data", str(data / "a")) == (root, 2, 6)
    assert said("create", str(data), "--shard", "0/1", "--out", str(tmp_path / "s")) == (None, 4, 10)


def test_verify_equal_different_and_undecided(data: Path, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = run(capsys, "show", str(manifest))[1]["root"]
    assert run(capsys, "verify", str(data), "--root", root)[0] == 0
    assert run(capsys, "verify", str(data), "--manifest", str(manifest))[0] == 0
    (data / "c").write_text("x")
    (data / "d").write_text("x")
    code, value = run(capsys, "verify", str(data), "--root", root)
    assert (code, value["outcome"], value["changes"], value["assurance"]) == (1, "differs", [], "full")
    code, value = run(capsys, "verify", str(data), "--root", root, "--manifest", str(manifest))
    assert (code, value["counts"]) == (1, {"modified": 1, "added": 1})
    assert value["changes"] == [{"kind": "modified", "path": "c"}, {"kind": "added", "path": "d"}]
    code, value = run(capsys, "verify", str(data / "missing"), "--root", root)
    assert (code, value["outcome"], value["reason"]) == (2, "unknown", "Unreadable")
    code, value = run(capsys, "verify", str(data), "--manifest", str(manifest), "--sample", "1")
    assert (code, value["assurance"]) == (1, "sampled")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["verify", "."],
        ["verify", ".", "--root", "sha256:AB"],
        ["create", ".", "--chunk-size", "5000"],
        ["create", ".", "--chunk-size", "many"],
        ["create", ".", "--profile", "other"],
        ["create", ".", "--workers", "0"],
        ["create", ".", "--shard", "0/2"],
        ["create", ".", "--shard", "2/2", "--out", "../x"],
        ["create", ".", "--out", "inside.lwm"],
        ["create", ".", "--journal", "a", "--cache", "b"],
        ["verify", ".", "--manifest", "../m", "--sample", "1", "--cache", "../b"],
        ["verify", ".", "--manifest", "../m", "--sample", "1", "--journal", "../b"],
        ["nonsense"],
    ],
)
def test_wrong_usage_ends_with_64(
    arguments: list[str], capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    assert run(capsys, *arguments)[0] == 64
    assert capsys.readouterr().err
    assert sorted(path.name for path in data.iterdir()) == ["a", "b", "c"]


def test_a_failed_create_leaves_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "link").symlink_to("c")
    with pytest.raises(LinewardError, match="SpecialFile: link"):
        run(capsys, "create", str(data), "--out", str(tmp_path / "new.lwm"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_only_regular_files_are_replaced(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link, real, pipe = tmp_path / "link.lwm", tmp_path / "real.lwm", tmp_path / "pipe"
    link.symlink_to("real.lwm")
    assert run(capsys, "create", str(data), "--out", str(link))[0] == 0
    content = real.read_bytes()
    assert link.is_symlink()
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run(capsys, "create", str(data), "--out", str(pipe))[0] == 0
    assert os.read(reading, 1 << 16) == content
    os.close(reading)
    assert pipe.is_fifo()
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device is not allowed here")
    assert run(capsys, "create", str(data), "--out", str(null))[0] == 0
    assert null.is_char_device()


def test_standard_output_inside_the_folder_is_refused(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lineward.cli.main", "manifest", "create", str(data), "--out", "-"]
    with (data / "m.lwm").open("wb") as inside, (tmp_path / "m.lwm").open("wb") as outside:
        assert subprocess.run(command, stdout=inside, stderr=subprocess.DEVNULL, check=False).returncode == 64
        (data / "m.lwm").unlink()
        assert subprocess.run(command, stdout=outside, stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert (tmp_path / "m.lwm").stat().st_size


def test_diff_lists_what_changed(
    data: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "a/1").rename(data / "a/0")
    other = tmp_path / "other.lwm"
    run(capsys, "create", str(data), "--out", str(other))
    code, value = run(capsys, "diff", str(manifest), str(other))
    assert (code, value["counts"]) == (1, {"added": 1, "removed": 1})
    assert run(capsys, "diff", str(manifest), str(manifest))[0] == 0


@pytest.fixture
def check(data: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """Prove `about` from the manifest and check the proof with these arguments; returns the exit code."""

    def checked(about: str, *arguments: str, path: str = "", proof: Path = tmp_path / "proof", **options: str) -> int:
        root = options.get("root") or run(capsys, "show", str(manifest))[1]["root"]
        assert dispatch(["manifest", "prove", str(manifest), about, "--out", str(proof)], "lineward") == 0
        return run(capsys, "check-proof", str(proof), "--root", root, "--path", path or about, *arguments)[0]

    return checked


def test_proofs_of_a_file_and_a_folder(
    data: Path, manifest: Path, check: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("a", "--data", str(data / "a")) == 0
    assert check("a/", "--data", str(data / "a")) == 0
    assert check("a", "--data", str(data / "b")) == 1
    assert check("a") == 64
    assert check("c") == 0
    assert check("c", "--data", str(data / "c")) == 0
    assert check("c", "--data", str(data / "a/1")) == 1
    assert check("c", "--data", str(data / "a")) == 1
    for about in ("a", "c"):
        assert check(about, "--data", str(data / about), root="sha256:" + "0" * 64) == 1
    assert run(capsys, "verify", str(data / "a"), "--directory", "a", "--manifest", str(manifest))[0] == 0


def test_a_proof_is_about_the_path_that_was_asked_for(data: Path, check: Callable[..., int]) -> None:
    """Who makes the proof must not choose which part of the set it is about."""
    assert check("b", "--data", str(data / "b"), path="a") == 1
    assert check("c", path="a/1") == 1
    assert check("c", path="c") == 0


def test_a_proof_is_not_checked_without_a_path(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = run(capsys, "show", str(manifest))[1]["root"]
    assert run(capsys, "check-proof", str(manifest), "--root", root)[0] == 64


def test_data_that_is_absent_is_called_so(data: Path, check: Callable[..., int]) -> None:
    with pytest.raises(LinewardError, match="nope cannot be read: No such file"):
        check("c", "--data", str(data / "nope"))


def test_one_file_is_read_under_the_parameters_of_its_set(
    data: Path, tmp_path: Path, check: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "c").write_bytes(bytes(50_000))
    (data / "empty").mkdir()
    (data / "link").symlink_to("c")
    arguments = ("--profile", "posix", "--chunk-size", "4096", "--out", str(tmp_path / "m.lwm"))
    assert run(capsys, "create", str(data), *arguments)[0] == 0
    for name in ("c", "empty", "link", "a/1"):
        assert check(name, "--data", str(data / name)) == 0
    (data / "c").chmod(0o755)
    (data / "empty/x").touch()
    (data / "link").unlink()
    (data / "link").symlink_to("b")
    (data / "a/1").unlink()
    os.mkfifo(data / "a/1")
    for name in ("c", "empty", "link", "a/1"):
        assert check(name, "--data", str(data / name)) == 1


def test_a_root_alone_does_not_say_its_profile(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --profile a link is no difference: the set may have been signed with it."""
    (data / "link").symlink_to("c")
    root = run(capsys, "create", str(data), "--profile", "posix")[1]["root"]
    assert run(capsys, "verify", str(data), "--root", root, "--profile", "posix")[0] == 0
    assert run(capsys, "verify", str(data), "--root", root, "--profile", "portable")[0] == 1
    code, value = run(capsys, "verify", str(data), "--root", root)
    assert (code, value["outcome"], value["reason"]) == (2, "unknown", "SpecialFile")
    assert "--profile" in value["note"]
    (data / "link").unlink()
    code, value = run(capsys, "verify", str(data), "--root", root)
    assert code == 1
    assert "--profile portable and --chunk-size 8MiB assumed" in value["note"]


def test_a_manifest_that_is_not_the_signed_one_decides_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever put another manifest beside the data would else choose the parameters, and so the answer."""
    root = run(capsys, "create", str(data))[1]["root"]
    other = str(tmp_path / "other.lwm")
    run(capsys, "create", str(data), "--profile", "posix", "--chunk-size", "4096", "--out", other)
    assert run(capsys, "verify", str(data), "--root", root, "--manifest", other)[0] == 0
    (data / "link").symlink_to("c")
    code, value = run(capsys, "verify", str(data), "--root", root, "--manifest", other)
    assert (code, value["outcome"], value["reason"]) == (2, "unknown", "SpecialFile")
    assert "--profile" in value["note"]


def test_shards_and_journal(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run(capsys, "create", str(data), "--journal", str(tmp_path / "j"))[1]
    assert not (tmp_path / "j").exists()
    parts = [str(tmp_path / f"{i}") for i in range(3)]
    for i, part in enumerate(parts):
        assert run(capsys, "create", str(data), "--shard", f"{i}/3", "--out", part)[0] == 0
    merged = run(capsys, "merge", *parts, "--out", str(tmp_path / "m"))[1]
    assert (merged["root"], merged["manifest"]) == (whole["root"], whole["manifest"])


def test_progress_as_json_lines(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dispatch(["manifest", "create", str(data), "--progress", "json"], "lineward")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines
    assert lines[-1]["event"] == "progress"
    assert (lines[-1]["files"], lines[-1]["bytes"]) == (4, 10)


def test_progress_knows_the_end_from_the_manifest(
    data: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    dispatch(["manifest", "verify", str(data), "--manifest", str(manifest), "--progress", "json"], "lineward")
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["totalFiles"], last["totalBytes"], last["secondsLeft"]) == (4, 10, 0.0)


def test_entries_are_listed_for_people_and_programs(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dispatch(["manifest", "show", str(manifest), "--entries"], "lineward")
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["a/1", "a/2", "b/1", "c"]
    dispatch(["manifest", "show", str(manifest), "--entries", "-o", "json"], "lineward")
    assert [entry["path"] for entry in json.loads(capsys.readouterr().out)] == ["a/1", "a/2", "b/1", "c"]
