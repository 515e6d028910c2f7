"""`lineward-ledger`: serves the ledger until SIGTERM, then writes what waits and closes the store."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from lineward.adapters import logs
from lineward_ledger.api import Api
from lineward_ledger.auth import ApiServer, TokenReviewer
from lineward_ledger.service import Ledger
from lineward_ledger.store import StoreError

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SHUTDOWN_SECONDS = 5.0
_log = logging.getLogger("lineward.ledger")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; returns 0 after a graceful stop, 1 if the store cannot be opened."""
    arguments = _parser().parse_args(argv)
    logs.configure()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it would log malformed requests, tokens included
    try:
        asyncio.run(_serve(arguments))
    except (StoreError, sqlite3.Error, OSError) as error:
        _log.critical("the ledger cannot run: %s", error)
        return 1
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = ApiServer(arguments.api_server.rstrip("/"), arguments.api_token_file, arguments.api_ca_file)
    reviewer = TokenReviewer(server, arguments.audience)
    ledger = Ledger(arguments.data)
    api = Api(ledger, reviewer, arguments.writer)
    runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, arguments.address, arguments.port).start()
        await ledger.start()
        port = runner.addresses[0][1]
        _log.info("serving", extra={"port": port, "size": ledger.head.size, "root": str(ledger.head.root)})
        await stopped.wait()
    finally:
        await runner.cleanup()
        await ledger.stop()
        await reviewer.close()
    _log.info("stopped", extra={"size": ledger.head.size, "root": str(ledger.head.root)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineward-ledger",
        description="Append-only record of verdicts, runs and lineage, as a Merkle log.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the store; made if missing")
    parser.add_argument("--address", default=None, metavar="HOST", help="address to listen on; all if not given")
    parser.add_argument("--port", type=int, default=8080, help="port of API, health and metrics; 0 takes a free one")
    parser.add_argument("--audience", default="lineward-ledger", help="audience that callers' tokens must have")
    parser.add_argument(
        "--writer",
        type=_account,
        required=True,
        metavar="system:serviceaccount:NAMESPACE:NAME",
        help="whose entries count as attested; service accounts of its namespace may read everything",
    )
    parser.add_argument("--api-server", default=_in_cluster_url(), metavar="URL", help="where TokenReviews go")
    parser.add_argument(
        "--api-token-file", type=Path, default=_SERVICE_ACCOUNT / "token", metavar="FILE", help="token for TokenReviews"
    )
    ca = _SERVICE_ACCOUNT / "ca.crt"
    parser.add_argument(
        "--api-ca-file", type=Path, default=ca if ca.exists() else None, metavar="FILE", help="CA of the API server"
    )
    return parser


def _account(text: str) -> str:
    if not re.fullmatch(r"system:serviceaccount:[a-z0-9-]{1,63}:[a-z0-9.-]{1,253}", text):
        raise argparse.ArgumentTypeError("expected system:serviceaccount:NAMESPACE:NAME")
    return text


def _in_cluster_url() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    port = os.environ.get("KUBERNETES_SERVICE_PORT_HTTPS", os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


if __name__ == "__main__":
    raise SystemExit(main())
