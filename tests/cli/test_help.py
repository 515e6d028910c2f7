"""The help of every command: each argument is explained, and the same option is called the same everywhere."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from lineward.cli import main
from lineward.cli.exits import UsageError
from lineward.cli.terminal import Parser

SHARED = ("--context", "--namespace", "--output", "--policy", "--progress", "--trust-root", "--workers")


def parsers(words: list[str], shown: dict[str, Parser]) -> Iterator[Parser]:
    """The parser of a command, and those of all its sub-commands."""
    with pytest.raises(SystemExit):
        main.dispatch([*words, "--help"], "lineward")
    parser = shown[" ".join(["lineward", *words])]
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in action.choices:
                yield from parsers([*words, name], shown)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Parser]:
    shown: dict[str, Parser] = {}
    monkeypatch.setattr(Parser, "print_help", lambda self, *_: shown.update({self.prog: self}))
    return [parser for name in main.COMMANDS for parser in parsers([name], shown)]


def test_every_argument_is_explained(commands: list[Parser]) -> None:
    assert len(commands) > 20
    silent = {
        f"{parser.prog} {action.metavar or action.dest}"
        for parser in commands
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    }
    assert not silent


def test_a_default_is_told(commands: list[Parser]) -> None:
    untold = {
        f"{parser.prog} {action.option_strings[-1]}"
        for parser in commands
        for action in parser._actions
        if action.option_strings and action.default not in (None, False, "", [], argparse.SUPPRESS)
        if "--output" not in action.option_strings and "default" not in (action.help or "")
    }
    assert not untold


@pytest.mark.parametrize("option", SHARED)
def test_an_option_is_called_the_same_everywhere(option: str, commands: list[Parser]) -> None:
    found = [action for parser in commands for action in parser._actions if option in action.option_strings]
    assert len(found) > 1
    assert len({(*action.option_strings, action.metavar, str(action.choices)) for action in found}) == 1


@pytest.mark.parametrize("prog", ["lineward", "kubectl lineward"])
def test_every_command_is_listed(prog: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.dispatch(["--help"], prog) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: {prog} COMMAND")
    assert all(f"\n  {name} " in said for name in main.COMMANDS)


@pytest.mark.parametrize(("said", "width"), [("", 50), ("abc", 50), ("-3", 50), ("0", 50), ("60", 60)])
def test_help_has_the_width_of_the_terminal(said: str, width: int) -> None:
    main_end, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    words = [sys.executable, "-m", "lineward.cli.main", "manifest", "-h"]
    subprocess.run(words, stdout=other, env=os.environ | {"COLUMNS": said}, check=True)
    os.close(other)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while piece := os.read(main_end, 4096):
            shown += piece
    os.close(main_end)
    assert width - 15 < max(map(len, shown.decode().splitlines())) < width


def test_help_needs_no_terminal_and_no_output() -> None:
    words = [sys.executable, "-c", "from lineward.cli.conformance import main; main()", "verify-bundle", "-h"]
    env = os.environ | {"COLUMNS": ""}
    closed = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], capture_output=True, env=env, check=False)
    assert (closed.returncode, b"Traceback" in closed.stderr) == (0, False)
    words = [sys.executable, "-m", "lineward.cli.main", "manifest", "-h"]
    piped = subprocess.run(words, capture_output=True, text=True, check=True, env=env)
    assert 60 < max(map(len, piped.stdout.splitlines())) < 80


def test_two_dashes_before_a_command_change_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        main.dispatch(["manifest", "--", "create"], "lineward")
    assert "required: DIR" in caught.value.message
