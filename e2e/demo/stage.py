"""How the demo talks: short explanations, then the command a person would type and what it really printed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from e2e.support.kubectl import Kubectl

WIDTH = 110


@dataclass
class Stage:
    """Prints to stdout; colours only on a terminal. `kubectl` is added once there is a cluster."""

    started: float = field(default_factory=time.monotonic)
    colour: bool = field(default_factory=sys.stdout.isatty)

    def title(self, text: str) -> None:
        print(f"\n{self._paint('1;36', f'== {text}')}", flush=True)

    def say(self, text: str) -> None:
        print(textwrap.fill(" ".join(text.split()), WIDTH), flush=True)

    def show(self, kubectl: Kubectl, *args: str, keep: str = "") -> str:
        """Run kubectl, print the command and its output (only lines with `keep`, if given), return the output."""
        shown = ["kubectl", *(["-n", kubectl.namespace] if kubectl.namespace else []), *args]
        print(self._paint("2", f"$ {' '.join(_quoted(part) for part in shown)}"), flush=True)
        done = kubectl.run(*args)
        text = (done.stdout + done.stderr).decode(errors="replace")
        kept = [line for line in text.splitlines() if keep in line] if keep else text.splitlines()
        self.printed("\n".join(kept))
        return text

    def ran(self, command: str, done: subprocess.CompletedProcess[str]) -> None:
        """Print a command that was run elsewhere and what it printed."""
        print(self._paint("2", f"$ {command}"), flush=True)
        self.printed((done.stdout + done.stderr).strip())

    def printed(self, text: str) -> None:
        print(textwrap.indent(text.rstrip(), "    "), flush=True)

    def expect(self, holds: object, what: str) -> None:
        """The demo shows the truth: where it is not what the text says, it stops."""
        if not holds:
            raise AssertionError(f"the demo expected: {what}")
        print(f"  {self._paint('32', '✓')} {what}", flush=True)

    @contextmanager
    def task(self, what: str) -> Iterator[None]:
        """A longer task of the set-up: announced, and timed."""
        begun = time.monotonic()
        print(f"-- {what} ...", flush=True)
        yield
        print(f"-- {what}: {time.monotonic() - begun:.0f} s", flush=True)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def _quoted(part: str) -> str:
    return f"'{part}'" if set(part) & set(' {}[]"|*?') else part
