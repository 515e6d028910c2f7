"""Entry point of the webhook: `lineward-webhook --config FILE`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web
from kubernetes.aio import client, config

from lineward.adapters import documents, logs
from lineward.domain import settings as settings_module
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.reasons import Reason
from lineward.domain.settings import Settings
from lineward_webhook import server
from lineward_webhook.cache import Cache
from lineward_webhook.evidence import EvidenceStore
from lineward_webhook.tls import Certificates

EX_USAGE = 64
DRAIN_SECONDS = 5.0
"""Between not being ready and closing: kube-proxy needs a moment to send new connections elsewhere."""
CLOSE_SECONDS = 10.0
CATCH_UP_SECONDS = 60.0
"""How long readiness waits for evidence that was there at the start."""
_log = logging.getLogger("lineward.webhook")


class Webhook:
    """All parts of one process, and whether they make up something that may answer."""

    def __init__(self, api: client.ApiClient, settings: Settings, tls_dir: Path) -> None:
        self._settings = settings
        self.evidence = EvidenceStore()
        self.cache = Cache(api, settings, self.evidence)
        self.certificates = Certificates(tls_dir)
        self._stopping = False
        self._caught_up = False
        self._synced_at = 0.0

    def missing(self) -> str:
        """What keeps it from being ready; empty when it is."""
        if self._stopping:
            return "shutting down"
        if not self.certificates.loaded.is_set():
            return "no serving certificate yet"
        if stale := self.cache.stale():
            return stale
        self._synced_at = self._synced_at or time.monotonic()
        late = time.monotonic() - self._synced_at > CATCH_UP_SECONDS
        self._caught_up = self._caught_up or self.evidence.idle or late
        return "" if self._caught_up else "evidence is being verified"

    async def run(self, host: str, port: int, health_port: int) -> None:
        """Serve until SIGTERM or SIGINT, then drain; any part that ends early ends the process."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with asyncio.TaskGroup() as parts:
            tasks = [parts.create_task(reflector.run()) for reflector in self.cache.reflectors]
            tasks.append(parts.create_task(self.evidence.run()))
            tasks.append(parts.create_task(self.cache.keep_tidy()))
            tasks.append(parts.create_task(self.certificates.run()))
            tasks.append(parts.create_task(self._serve(host, port, health_port)))
            await stop.wait()
            self._stopping = True
            _log.info("draining")
            await asyncio.sleep(DRAIN_SECONDS)
            for task in reversed(tasks):
                task.cancel()

    async def _serve(self, host: str, port: int, health_port: int) -> None:
        health = web.AppRunner(server.health(self.missing, self.cache.publish), access_log=None)
        admission = web.AppRunner(
            server.admission(self.cache, self._settings), access_log=None, shutdown_timeout=CLOSE_SECONDS
        )
        try:
            await health.setup()
            await web.TCPSite(health, host, health_port).start()
            await self.certificates.loaded.wait()
            await admission.setup()
            context = self.certificates.context
            await web.TCPSite(admission, host, port, ssl_context=context, backlog=server.MAX_CONNECTIONS).start()
            _log.info("serving", extra={"port": port, "healthPort": health_port})
            await asyncio.Event().wait()
        finally:
            await admission.cleanup()
            await health.cleanup()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the webhook; exits with 64 for wrong arguments or configuration."""
    logs.configure()
    arguments = _parser().parse_args(argv)
    try:
        settings = _settings(arguments.config)
    except LinewardError as error:
        _log.error("cannot read the configuration", extra={"file": str(arguments.config), "error": str(error)})
        sys.exit(EX_USAGE)
    asyncio.run(_run(arguments, settings))


async def _run(arguments: argparse.Namespace, settings: Settings) -> None:
    configuration = client.Configuration()
    if arguments.kubeconfig:
        await config.load_kube_config(str(arguments.kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    async with client.ApiClient(configuration) as api:
        await Webhook(api, settings, arguments.tls_dir).run(arguments.host, arguments.port, arguments.health_port)


def _settings(path: Path) -> Settings:
    settings = settings_module.parse(documents.read_one(path))
    if not settings.sidecar_image:
        raise InvalidInputError(Reason.REQUEST_INVALID, "sidecarImage is missing: there is nothing to inject")
    return settings


class Parser(argparse.ArgumentParser):
    """Exits with EX_USAGE (sysexits.h) for wrong arguments."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Say what is wrong and how it is used."""
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lineward-webhook",
        description="Decide on training pods: inject the verifier, refuse data that nobody vouches for.",
        epilog="Serves /mutate and /validate over TLS once the certificate exists; /healthz, /readyz and /metrics on "
        "the health port. SIGTERM drains.",
    )
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="settings, as the chart renders them"
    )
    parser.add_argument("--host", default=None, help="address to listen on (default: all)")
    parser.add_argument("--port", type=int, default=8443, help="admission port (default: %(default)s)")
    parser.add_argument("--health-port", type=int, default=8080, help="health and metrics (default: %(default)s)")
    parser.add_argument(
        "--tls-dir",
        type=Path,
        default=Path("/etc/lineward/tls"),
        metavar="DIR",
        help="folder with tls.crt and tls.key, which may appear and change later (default: %(default)s)",
    )
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="reach the API server by this file (default: in the cluster)"
    )
    return parser


if __name__ == "__main__":
    main()
