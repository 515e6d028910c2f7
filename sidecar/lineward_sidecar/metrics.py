"""What Prometheus reads from the sidecar. The server is small on purpose: one path, few connections, short patience."""

from __future__ import annotations

import contextlib
import http.server
import logging
import socket
import socketserver
import threading
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

from lineward.domain.plan import Plan
from lineward.domain.verdict import PodVerdict, Verdict

disable_created_metrics()  # type: ignore[no-untyped-call]
MAX_CONNECTIONS = 8
TIMEOUT_SECONDS = 5.0

_log = logging.getLogger("lineward.sidecar")


class Metrics:
    """The sidecar's metrics; labels are names of the pod's own volumes and datasets."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        volume, labels = ["volume"], ["volume", "dataset", "version"]

        def gauge(name: str, text: str, names: list[str]) -> Gauge:
            return Gauge(f"lineward_{name}", text, names, registry=self.registry)

        self.verified = gauge("volume_verified", "1 if the bytes equalled the signed root before training", labels)
        self.bytes = gauge("volume_bytes", "Bytes that were hashed", volume)
        self.files = gauge("volume_files", "Files that were hashed", volume)
        self.seconds = gauge("volume_hash_seconds", "Time that hashing took", volume)
        self.changed = gauge("data_changed", "1 if names, sizes or times changed since training started", volume)
        self.spooled = gauge("ledger_spooled_events", "Lineage events that a receiver has not taken yet", ["receiver"])
        self.censuses = Counter(
            "lineward_censuses", "Walks over a volume", ["volume", "result"], registry=self.registry
        )

    def describe(self, plan: Plan, verdict: PodVerdict | None) -> None:
        """Show what verify found; a volume without a verdict counts as not verified."""
        found = {each.volume: each for each in verdict.volumes} if verdict else {}
        for volume in plan.volumes:
            self.changed.labels(volume.volume).set(0)
            one = found.get(volume.volume)
            good = one is not None and one.verdict is Verdict.VERIFIED
            self.verified.labels(volume.volume, volume.dataset, volume.version).set(good)
            if one:
                self.bytes.labels(volume.volume).set(one.bytes)
                self.files.labels(volume.volume).set(one.files)
                self.seconds.labels(volume.volume).set(one.seconds)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, port: int, metrics: Metrics) -> None:
        self.address_family = family
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.metrics = metrics
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        """Bind for both IP versions where there are both; unlike HTTPServer, without asking DNS for the own name."""
        if self.address_family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a scraper that hangs up is no event."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = TIMEOUT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = generate_latest(self.server.metrics.registry)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing about requests."""


def serve(port: int, metrics: Metrics) -> int | None:
    """Serve `/metrics` from a thread; returns the port, or None where it cannot be had, which harms nothing else."""
    problem: OSError | None = None
    for family in (socket.AF_INET6, socket.AF_INET):
        try:
            server = _Server(family, port, metrics)
        except OSError as error:
            problem = error
            continue
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_port)
    _log.warning("no metrics: port %d cannot be had: %s", port, problem)
    return None
