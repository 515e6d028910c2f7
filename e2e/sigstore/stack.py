"""Starts the private Sigstore, looks at it, and stops it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from e2e import cache, prerequisites, tools
from e2e.sigstore import cluster_issuer, keys, supervisor, trust
from e2e.sigstore import issuer as oidc
from e2e.sigstore.layout import ENDPOINTS, HOST, Layout
from e2e.sigstore.services import PROGRAMS, fulcio_config, services

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_LOG_LINES = 20
_REPOSITORY = Path(__file__).resolve().parents[2]


class StackError(RuntimeError):
    """The private Sigstore could not be started or stopped; the message says why."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The private Sigstore of one state folder. All methods may be called whether it runs or not."""

    layout: Layout

    @classmethod
    def default(cls) -> Stack:
        return cls(Layout.default())

    @property
    def running(self) -> bool:
        """Whether its supervisor lives."""
        return supervisor.running_pid(self.layout.running) is not None

    def up(self) -> bool:
        """Start it and wait until all services are ready; returns False when it ran already.

        A cluster that Fulcio does not know yet, or a changed program, makes it start again; the keys stay.

        Raises:
            StackError: a port is taken, or a service did not get ready.
            BuildError, MissingPrerequisiteError: a program is missing and can't be built.
        """
        prerequisites.ensure({"setpriv": "util-linux"})
        binaries = {name: folder / name for name, folder in tools.build(PROGRAMS).items()}
        with self._locked():
            config = fulcio_config(ENDPOINTS, cluster_issuer.known(self.layout.cluster_issuer))
            commands = [service.command for service in services(self.layout, ENDPOINTS, binaries)]
            wanted = json.dumps([config, commands])
            if self._runs_as(wanted):
                return False
            self._stop()
            self._prepare(config)
            self._start()
            self.layout.started.write_text(wanted)
        return True

    def accept(self, kubeconfig: Path) -> str:
        """Let the next `up` accept this cluster's service accounts; returns their issuer's URL.

        Raises:
            ClusterIssuerError: see `cluster_issuer.discover` and `cluster_issuer.allow_discovery`.
        """
        cluster_issuer.allow_discovery(kubeconfig)
        issuer = cluster_issuer.discover(kubeconfig)
        cluster_issuer.remember(self.layout.cluster_issuer, issuer)
        return issuer.url

    def down(self) -> bool:
        """Stop it; returns False when it did not run. The state stays.

        Raises:
            StackError: it does not end.
        """
        with self._locked():
            return self._stop()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """For who signs beside others: nobody `disturbing` it stops it meanwhile."""
        with cache.locked(self.layout.users, shared=True):
            yield

    @contextmanager
    def disturbing(self) -> Iterator[None]:
        """For tests that stop it: waits until all who hold it `undisturbed` are done."""
        with cache.locked(self.layout.users):
            yield

    def status(self) -> dict[str, bool]:
        """Service name to whether it is ready."""
        alive = self.running
        return {name: alive and _answers(url) for name, url in ENDPOINTS.health().items()}

    def trust_files(self) -> dict[str, str]:
        """File name to content of what clients need; the same whether it runs or not."""
        return trust.files(keys.ensure(self.layout.keys), ENDPOINTS)

    def token(self, email: str, *, audience: str, lifetime: int) -> str:
        """A token of the test issuer, see `Issuer.token`."""
        keys.ensure(self.layout.keys)
        signer = oidc.Issuer(keys.issuer_key(self.layout.keys), ENDPOINTS.issuer_url)
        return signer.token(email, audience=audience, lifetime=lifetime)

    def _runs_as(self, wanted: str) -> bool:
        started = self.layout.started
        return all(self.status().values()) and started.exists() and started.read_text() == wanted

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.layout.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with cache.locked(self.layout.folder / "lock", "another process is starting or stopping it, waiting"):
            yield

    def _prepare(self, config: str) -> None:
        layout = self.layout
        for folder in (layout.logs, layout.home, layout.rekor_data, layout.ctlog_data):
            folder.mkdir(parents=True, exist_ok=True)
        trust.write(layout.trust, self.trust_files())
        layout.fulcio_config.write_text(config)
        layout.fulcio_socket.unlink(missing_ok=True)

    def _start(self) -> None:
        _refuse_taken_ports()
        with self.layout.log("supervisor").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "e2e.sigstore.supervisor", str(self.layout.folder)],
                cwd=_REPOSITORY,
                env=os.environ | {"PYTHONPATH": str(_REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._await_ready(child)
        except BaseException:
            child.terminate()
            child.wait(_STOP_SECONDS)
            raise

    def _await_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        waiting = dict(ENDPOINTS.health())
        while waiting := {name: url for name, url in waiting.items() if not _answers(url)}:
            if child.poll() is not None:
                raise StackError(f"it ended while starting\n{self._last_words('supervisor', *waiting)}")
            if time.monotonic() > deadline:
                raise StackError(f"not ready after {_START_SECONDS:.0f} s\n{self._last_words('supervisor', *waiting)}")
            time.sleep(_POLL_SECONDS)

    def _last_words(self, *services: str) -> str:
        lines = []
        for path in (self.layout.log(service) for service in services):
            if path.exists():
                lines += [
                    f"{path.stem}: {line}" for line in path.read_text(errors="replace").splitlines()[-_LOG_LINES:]
                ]
        return "\n".join(lines)

    def _stop(self) -> bool:
        pid = supervisor.running_pid(self.layout.running)
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self.running:
            if time.monotonic() > deadline:
                raise StackError(f"process {pid} does not end; see {self.layout.log('supervisor')}")
            time.sleep(_POLL_SECONDS)
        return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback addresses of our own
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _refuse_taken_ports() -> None:
    for name, port in asdict(ENDPOINTS).items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise StackError(f"port {port} ({name}) is taken; ss -ltnp 'sport = :{port}' shows by whom") from error
