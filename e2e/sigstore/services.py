"""The services as command lines, and the one configuration file that Fulcio wants.

Metrics listeners of Fulcio and of the timestamp server can't be bound to loopback: both take a port only, and the
timestamp server not even that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.sigstore.cluster_issuer import ClusterIssuer
from e2e.sigstore.layout import AUDIENCE, HOST, Endpoints, Layout
from e2e.sigstore.trust import REKOR_ORIGIN

PROGRAMS = ("ctlog", "rekor-tiles", "timestamp-server", "fulcio")
_CTLOG_ORIGIN = "ctlog-local"


@dataclass(frozen=True, slots=True)
class Service:
    """One program to run; ``name`` is also that of its log."""

    name: str
    command: tuple[str, ...]


def services(layout: Layout, endpoints: Endpoints, binaries: Mapping[str, Path]) -> tuple[Service, ...]:
    """All programs, in the order in which they start; ``binaries`` has a path for each of ``PROGRAMS``."""
    return (
        Service("ctlog", (str(binaries["ctlog"]), *_ctlog(layout, endpoints))),
        Service("rekor", (str(binaries["rekor-tiles"]), *_rekor(layout, endpoints))),
        Service("tsa", (str(binaries["timestamp-server"]), *_tsa(layout, endpoints))),
        Service("fulcio", (str(binaries["fulcio"]), *_fulcio(layout, endpoints))),
    )


def fulcio_config(endpoints: Endpoints, clusters: Iterable[ClusterIssuer]) -> str:
    """Fulcio's configuration: the test issuer, and those of clusters.

    Fulcio tries JSON before YAML, and the two spell the fields differently (its ``pkg/config``).
    """
    issuers = {endpoints.issuer_url: {"IssuerURL": endpoints.issuer_url, "ClientID": AUDIENCE, "Type": "email"}}
    for cluster in clusters:
        issuers[cluster.url] = {
            "IssuerURL": cluster.url,
            "ClientID": AUDIENCE,
            "Type": "kubernetes",
            "CACert": cluster.ca,
        }
    return json.dumps({"OIDCIssuers": issuers}, indent=2) + "\n"


def _ctlog(layout: Layout, endpoints: Endpoints) -> tuple[str, ...]:
    keys = layout.keys
    address = f"{HOST}:{endpoints.ctlog}"
    return (address, _CTLOG_ORIGIN, str(layout.ctlog_data), str(keys / "ctlog.key"), str(keys / "fulcio.pem"))


def _rekor(layout: Layout, endpoints: Endpoints) -> tuple[str, ...]:
    return (
        "serve",
        f"--http-address={HOST}",
        f"--http-port={endpoints.rekor}",
        f"--grpc-address={HOST}",
        f"--grpc-port={endpoints.rekor_grpc}",
        f"--http-metrics-port={endpoints.rekor_metrics}",
        f"--hostname={REKOR_ORIGIN}",
        f"--storage-dir={layout.rekor_data}",
        f"--signer-filepath={layout.keys / 'rekor.key'}",
        "--checkpoint-interval=100ms",
        "--batch-max-age=50ms",
        "--tlog-timeout=2s",
    )


def _tsa(layout: Layout, endpoints: Endpoints) -> tuple[str, ...]:
    return (
        "serve",
        f"--host={HOST}",
        f"--port={endpoints.tsa}",
        "--timestamp-signer=file",
        f"--file-signer-key-path={layout.keys / 'tsa.key'}",
        f"--certificate-chain-path={layout.keys / 'tsa.pem'}",
        "--disable-ntp-monitoring",
        "--cleanup-timeout=1s",
        "--log-type=prod",
    )


def _fulcio(layout: Layout, endpoints: Endpoints) -> tuple[str, ...]:
    return (
        "serve",
        f"--host={HOST}",
        f"--port={endpoints.fulcio}",
        f"--grpc-host={HOST}",
        f"--grpc-port={endpoints.fulcio_grpc}",
        f"--metrics-port={endpoints.fulcio_metrics}",
        f"--legacy-unix-domain-socket={layout.fulcio_socket}",
        "--log_type=prod",
        "--ca=fileca",
        f"--fileca-cert={layout.keys / 'fulcio.pem'}",
        f"--fileca-key={layout.keys / 'fulcio.key'}",
        "--fileca-key-passwd=none",  # Fulcio insists on one; the key is plain, and readable by its owner alone
        "--fileca-watch=false",
        f"--ct-log-url={endpoints.ctlog_url}",
        f"--config-path={layout.fulcio_config}",
    )
