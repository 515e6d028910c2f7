"""How commands end that cannot do their work: exit code 2 with a reason, never the 1 that means `differs`."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from lineward import native
from lineward.cli import failure, main
from lineward.native import fallback

COMMAND = [sys.executable, "-m", "lineward.cli.main"]
ROOT = "sha256:" + "0" * 64


def end(
    *arguments: str | Path, to: str = "", env: Mapping[str, str] | None = None, redirection: str = ""
) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command whose output goes `to` a file, with a `redirection`."""
    words = [*COMMAND, *map(str, arguments)]
    if redirection:
        words = ["sh", "-c", f'exec "$@" {redirection}', "sh", *words]
    with open(to, "wb") if to else open(os.devnull) as out:  # noqa: PTH123 - a device
        done = subprocess.run(
            words,
            stdout=out if to else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | (env or {}),
            check=False,
        )
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one page."""
    place = tmp_path / "full"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_what_is_missing_beside_a_cache_is_no_difference(tmp_path: Path) -> None:
    code, _, problem = end("manifest", "verify", tmp_path / "nope", "--root", ROOT, "--cache", tmp_path / "c")
    assert code == 2
    assert f"Unreadable: {tmp_path}/nope: No such file" in problem


@pytest.mark.parametrize(
    "arguments", [["--version"], ["manifest", "create", "."], ["manifest", "create", ".", "-o", "json"]]
)
def test_an_output_that_takes_nothing(data: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    code, _, problem = end(*arguments, to="/dev/full")
    assert (code, problem) == (2, "lineward: Unwritable: No space left on device\n")
    code, _, problem = end(*arguments, redirection=">&-")
    assert (code, problem) == (2, "lineward: Unwritable: standard output is closed\n")
    assert end(*arguments, redirection="2>&-")[0] == 0


def test_a_full_disk_beside_the_data(data: Path, tmp_path: Path, full: Path) -> None:
    for number in range(200):
        (data / f"{number}").write_text("x")
    manifest = tmp_path / "m.lwm"
    assert end("manifest", "create", data, "--out", manifest)[0] == 0
    time.sleep(2.1)  # what has just changed is not noted
    for option in ("--journal", "--cache"):
        code, _, problem = end("manifest", "create", data, option, full / "f")
        assert (code, problem) == (
            2,
            f"lineward: Unwritable: {full}/f.partial cannot be written: No space left on device\n",
        )
        code, out, _ = end("manifest", "verify", data, "--manifest", manifest, option, full / "f", "-o", "json")
        assert (code, json.loads(out)["reason"]) == (2, "Unwritable")
    code, _, problem = end("manifest", "create", data, "--out", full / "m.lwm")
    assert (code, problem) == (2, "lineward: Unwritable: No space left on device\n")


def test_names_that_the_terminal_cannot_show(data: Path, tmp_path: Path) -> None:
    (data / "\u00fc").write_text("x")
    assert end("manifest", "create", data, "--out", tmp_path / "m.lwm")[0] == 0
    (data / "\u00fc").write_text("y")
    code, out, _ = end("manifest", "verify", data, "--manifest", tmp_path / "m.lwm", env={"PYTHONIOENCODING": "ascii"})
    assert code == 1
    assert "\\xfc" in out
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    code, out, _ = end("manifest", "verify", odd, "--root", ROOT, env={"PYTHONIOENCODING": "utf-8:strict"})
    assert code == 2
    assert "\\udcff cannot be opened" in out


def test_an_output_that_is_a_folder(data: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    code, _, problem = end("manifest", "create", data, "--out", tmp_path / "there")
    assert (code, problem) == (2, f"lineward: Unwritable: {tmp_path}/there cannot be written: Is a directory\n")


@pytest.mark.parametrize("fmt", ["json", "yaml"])
def test_programs_get_the_reason_too(tmp_path: Path, fmt: str) -> None:
    yaml = pytest.importorskip("yaml")
    for command in (
        ["manifest", "create"],
        ["manifest", "show"],
        ["manifest", "verify", "--root", ROOT, "--cache", "/x/y"],
    ):
        code, out, _ = end(*command, tmp_path / "nope", "-o", fmt)
        value = yaml.safe_load(out)
        assert (code, sorted(value), value["outcome"]) == (2, ["message", "outcome", "reason"], "unknown")


def test_an_unexpected_error_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(main, "dispatch", broken)
    monkeypatch.setattr(main, "_open_streams", lambda: None)
    monkeypatch.setattr(sys, "argv", ["lineward", "verify"])
    assert main.main() == 2
    assert capsys.readouterr().err == "lineward: InternalError: ZeroDivisionError: odd (lineward --debug shows where)\n"
    monkeypatch.setattr(sys, "argv", ["lineward", "--debug", "verify"])
    assert main.main() == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["manifest", "create", "."], ["attest", "."], ["verify", "."]])
def test_each_command_ends_with_2_where_hashing_cannot_be_trusted(arguments: list[str]) -> None:
    """As where the self-test fails at import, or the compiled part is of other sources."""
    broken = "import sys; sys.modules['lineward.native'] = None; from lineward.cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", broken, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "InternalError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_compiled_part_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = ModuleType("_engine")
    stale.__file__ = "_engine.abi3.so"
    monkeypatch.setattr(importlib, "import_module", lambda _: stale)
    with pytest.raises(RuntimeError, match="install again"):
        native._choose()
    monkeypatch.setattr(stale, "ABI", fallback.ABI, raising=False)
    assert native._choose() is stale


def test_an_option_without_its_value_asks_for_no_format() -> None:
    assert failure._format(["show", "-o"]) == "table"
    assert failure._format(["show", "--output=json"]) == "json"


def test_a_usage_error_that_cannot_be_written_is_one_still() -> None:
    code, _, problem = end("manifest", "foo", "-o", "json", to="/dev/full")
    assert (code, "Traceback" in problem) == (64, False)
