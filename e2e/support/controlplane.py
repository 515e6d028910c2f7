"""An API server and its etcd on the loopback, nothing else: for tests that play kubelet and controllers themselves.

It starts in seconds, disturbs no cluster, and is gone with the test.
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from e2e.tools.build import binary

Json = dict[str, Any]
ADMIN = "test-admin-token"
START_WITHIN = 60.0


@dataclass
class ControlPlane:
    """A running API server; `kubeconfig` is an administrator's."""

    folder: Path
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def call(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json", *, missing: bool = False
    ) -> Json:
        """One request as administrator; with `missing`, what is not there, or not yet, is an empty answer."""
        request = urllib.request.Request(  # noqa: S310 - the loopback
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {ADMIN}", "Content-Type": kind},
        )
        context = ssl.create_default_context(cafile=str(self.authority))
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:  # noqa: S310 - as above
                found: Json = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if missing and error.code in {404, 429}:
                    return {}
                raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from error
        return found

    def status(self, path: str, status: Json) -> Json:
        """Write an object's status as its controller would."""
        return self.call("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")

    def token(self, namespace: str, account: str, audiences: Sequence[str] = ()) -> str:
        """A service account's token."""
        body = {"spec": {"audiences": list(audiences), "expirationSeconds": 3600}}
        answer = self.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", body)
        return str(answer["status"]["token"])


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Start etcd and an API server below `folder`, and stop both at the end."""
    plane = ControlPlane(folder, free_port())
    client, peer = free_port(), free_port()
    _files(plane)
    etcd = [
        *(binary("etcd"), "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--logger=zap", "--log-level=error"),
        *(
            "--listen-client-urls",
            f"http://127.0.0.1:{client}",
            "--advertise-client-urls",
            f"http://127.0.0.1:{client}",
        ),
        *(
            "--listen-peer-urls",
            f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls",
            f"http://127.0.0.1:{peer}",
        ),
        *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
    ]
    apiserver = [
        *(binary("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1"),
        *(f"--secure-port={plane.port}", f"--cert-dir={folder / 'certs'}", "--authorization-mode=RBAC"),
        *(f"--service-account-key-file={folder / 'sa.key'}", f"--service-account-signing-key-file={folder / 'sa.key'}"),
        *("--service-account-issuer=https://issuer.test", f"--token-auth-file={folder / 'tokens.csv'}"),
        *("--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount"),
    ]
    try:
        for name, command in (("etcd", etcd), ("apiserver", apiserver)):
            plane.processes.append(spawn(command, folder / f"{name}.log"))
        _wait(plane)
        yield plane
    finally:
        for process in reversed(plane.processes):
            stop(process)


def spawn(command: Sequence[object], log: Path) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to the end of a file; it is killed when the test process dies."""
    argv = ["setpriv", "--pdeathsig=KILL", "--", *(str(word) for word in command)]
    with log.open("ab") as out:
        return subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT)


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    """End a process that `spawn` started, at last by force; returns its exit code."""
    process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        return process.wait(15)
    process.kill()
    return process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _files(plane: ControlPlane) -> None:
    plane.folder.mkdir(parents=True, exist_ok=True)
    (plane.folder / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
    subprocess.run(["openssl", "genrsa", "-out", str(plane.folder / "sa.key"), "2048"], check=True, capture_output=True)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": plane.url, "certificate-authority": str(plane.authority)}}],
        "users": [{"name": "u", "user": {"token": ADMIN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    plane.kubeconfig.write_text(yaml.safe_dump(config))


def _wait(plane: ControlPlane) -> None:
    until = time.monotonic() + START_WITHIN
    while True:
        try:
            plane.call("GET", "/api/v1/namespaces/default")
        except (OSError, RuntimeError) as error:
            if time.monotonic() > until or any(process.poll() is not None for process in plane.processes):
                log = (plane.folder / "apiserver.log").read_text()[-2000:]
                raise RuntimeError(f"no API server: {error}\n{log}") from error
            time.sleep(0.3)
        else:
            return
