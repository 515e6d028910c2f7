"""kubectl as a value: which binary, which cluster; output as text or as decoded JSON."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Object = dict[str, Any]


class KubectlError(RuntimeError):
    """kubectl ended with an error; the message is what it printed."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl against one cluster. `context` is empty for the kubeconfig's current one."""

    program: Path
    kubeconfig: Path
    context: str = ""
    namespace: str = ""

    def command(self, *args: str) -> list[str]:
        """The full command line, for showing and for running."""
        where = ["--kubeconfig", str(self.kubeconfig)]
        where += ["--context", self.context] if self.context else []
        where += ["--namespace", self.namespace] if self.namespace else []
        return [str(self.program), *where, *args]

    def run(self, *args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run and return whatever happened; for calls that are expected to fail."""
        return subprocess.run(self.command(*args), input=stdin, capture_output=True, check=False, timeout=300)

    def __call__(self, *args: str, stdin: bytes | None = None) -> str:
        """Run and return stdout. Raises KubectlError when kubectl says no."""
        done = self.run(*args, stdin=stdin)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace")

    def within(self, namespace: str) -> Kubectl:
        """The same cluster, another namespace."""
        return Kubectl(self.program, self.kubeconfig, self.context, namespace)

    def get(self, *args: str) -> Any:
        """Decoded JSON of `kubectl get`, or None when there is no such object."""
        text = self("get", *args, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def items(self, *args: str) -> list[Object]:
        """The items of a list."""
        found = self.get(*args)
        return list(found["items"]) if found else []

    def apply(self, *objects: Mapping[str, Any]) -> str:
        """Server-side apply of objects. Raises KubectlError with the API server's words."""
        documents = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(documents).encode())

    def delete(self, *args: str) -> None:
        """Delete and wait; what is not there is fine."""
        self("delete", *args, "--ignore-not-found", "--wait=true")


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 120, every: float = 0.5) -> T:
    """Call `probe` until it returns something truthy.

    Raises TimeoutError naming `what`, with the last falsy answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s (last: {answer!r})")
        time.sleep(every)
