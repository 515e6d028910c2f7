"""Runs the services as children of one process, so that their life hangs on one lock.

Whoever holds the lock on ``Layout.running`` is the supervisor. The kernel says who that is, drops the lock when the
supervisor dies, however it dies, and kills its children then (``PR_SET_PDEATHSIG``). So no process id in a file goes
stale, and a crash leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import F_GETLK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, fcntl, lockf
from pathlib import Path

from e2e import tools
from e2e.sigstore import issuer, keys
from e2e.sigstore.layout import ENDPOINTS, Layout
from e2e.sigstore.services import PROGRAMS, Service, services

_FLOCK = "hhqqi4x"
"""struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, process id."""
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0

Children = dict[str, "subprocess.Popen[bytes]"]


def running_pid(path: Path) -> int | None:
    """The supervisor's process id, or None when there is none; asks without touching the lock."""
    if not path.exists():
        return None
    with path.open("r+b") as handle:
        answer = fcntl(handle, F_GETLK, struct.pack(_FLOCK, F_WRLCK, os.SEEK_SET, 0, 0, 0))
    kind, _, _, _, pid = struct.unpack(_FLOCK, answer)
    return None if kind == F_UNLCK else int(pid)


def supervise(layout: Layout) -> int:
    """Run everything until a signal asks to stop (returns 0) or a service ends by itself (returns 1)."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: asked.set())
    with _claim(layout.running), _issuer(layout), _children(layout) as children:
        while not asked.wait(_POLL_SECONDS):
            for name, child in children.items():
                if child.poll() is not None:
                    print(f"{name} ended with {child.returncode}; stopping the others", flush=True)
                    return 1
    return 0


@contextmanager
def _claim(path: Path) -> Iterator[None]:
    with path.open("wb") as handle:
        lockf(handle, LOCK_EX | LOCK_NB)
        yield


@contextmanager
def _issuer(layout: Layout) -> Iterator[None]:
    server = issuer.server(issuer.Issuer(keys.issuer_key(layout.keys), ENDPOINTS.issuer_url), ENDPOINTS)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _children(layout: Layout) -> Iterator[Children]:
    children: Children = {}
    try:
        for service in services(layout, ENDPOINTS, {name: tools.binary(name) for name in PROGRAMS}):
            children[service.name] = _start(layout, service)
        yield children
    finally:
        _stop(list(children.values()))


def _start(layout: Layout, service: Service) -> subprocess.Popen[bytes]:
    environment = {"HOME": str(layout.home), "PATH": os.environ["PATH"]}
    with layout.log(service.name).open("ab") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "--", *service.command],
            cwd=layout.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in reversed(children):
        child.terminate()
    for child in children:
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


if __name__ == "__main__":
    sys.exit(supervise(Layout(Path(sys.argv[1]))))
