"""Where the private Sigstore lives: folders on disk, addresses on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2e import cache

HOST = "127.0.0.1"
AUDIENCE = "sigstore"
"""The OIDC client id that Fulcio asks of every token."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """TCP ports on loopback; fixed, because certificates, policies and trust roots name the addresses."""

    issuer: int = 8088
    ctlog: int = 6962
    rekor: int = 3003
    rekor_grpc: int = 3013
    rekor_metrics: int = 2114
    tsa: int = 3004
    tsa_metrics: int = 2112
    fulcio: int = 5555
    fulcio_grpc: int = 5554
    fulcio_metrics: int = 2113

    @property
    def issuer_url(self) -> str:
        return f"http://{HOST}:{self.issuer}"

    @property
    def ctlog_url(self) -> str:
        return f"http://{HOST}:{self.ctlog}"

    @property
    def rekor_url(self) -> str:
        return f"http://{HOST}:{self.rekor}"

    @property
    def tsa_url(self) -> str:
        return f"http://{HOST}:{self.tsa}/api/v1/timestamp"

    @property
    def fulcio_url(self) -> str:
        return f"http://{HOST}:{self.fulcio}"

    def health(self) -> dict[str, str]:
        """The URL by which each service says that it is ready."""
        return {
            "issuer": f"{self.issuer_url}/keys",
            "ctlog": f"{self.ctlog_url}/healthz",
            "rekor": f"{self.rekor_url}/healthz",
            "tsa": f"http://{HOST}:{self.tsa}/ping",
            "fulcio": f"{self.fulcio_url}/healthz",
        }


ENDPOINTS = Endpoints()


@dataclass(frozen=True, slots=True)
class Layout:
    """The state folder. Deleting it (while nothing runs) makes the next start a new Sigstore with new keys."""

    folder: Path

    @classmethod
    def default(cls) -> Layout:
        return cls(cache.root() / "sigstore")

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def trust(self) -> Path:
        return self.folder / "trust"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def home(self) -> Path:
        """HOME of the programs, cosign's too: it keeps a TUF cache there."""
        return self.folder / "home"

    @property
    def rekor_data(self) -> Path:
        return self.folder / "rekor"

    @property
    def ctlog_data(self) -> Path:
        return self.folder / "ctlog"

    @property
    def fulcio_config(self) -> Path:
        return self.folder / "fulcio.json"

    @property
    def fulcio_socket(self) -> Path:
        return self.folder / "fulcio.sock"

    @property
    def cluster_issuer(self) -> Path:
        """The service-account issuer that was added last."""
        return self.folder / "cluster-issuer.json"

    @property
    def started(self) -> Path:
        """What runs was started with, to see whether that is still what is wanted."""
        return self.folder / "started.json"

    @property
    def users(self) -> Path:
        """Locked by those who sign, and by those who stop what runs while others might sign."""
        return self.folder / "users.lock"

    @property
    def running(self) -> Path:
        """Holds the supervisor's process id, and is locked by it while it lives."""
        return self.folder / "running"

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"
