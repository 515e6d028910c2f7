"""`lineward-operator run` and `lineward-operator uninstall`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import kopf

from lineward import __version__
from lineward.adapters import documents
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import settings as settings_
from lineward.domain.errors import LinewardError
from lineward.domain.settings import Settings
from lineward_operator import health, logs, sweep, watch
from lineward_operator.kubeio import Kube, KubeError
from lineward_operator.ledger import Ledger
from lineward_operator.metrics import Metrics
from lineward_operator.owners import Owners
from lineward_operator.uninstall import uninstall
from lineward_operator.webhooks import WebhookKeeper
from lineward_operator.world import World

EXIT_FAILED = 1
EXIT_USAGE = 64
WORKERS = 8
KEEP_WEBHOOKS = 10.0
"""Seconds between two looks at certificates and webhook configurations."""
GATE_OPEN = 1.0
"""The same while the webhook is still waited for, since nothing is gated until it is registered."""

_log = logging.getLogger("lineward.operator")


def main() -> None:
    """Parse arguments and run until a signal."""
    args = _parser().parse_args()
    try:
        settings = load_settings(Path(args.config))
    except (OSError, LinewardError) as error:
        print(f"lineward-operator: {args.config}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_USAGE)
    os.environ["KUBECONFIG"] = args.kubeconfig
    # Without it kopf asks for the user's name, which a container's uid need not have.
    os.environ.setdefault("POD_ID", socket.gethostname())
    logs.configure(verbose=args.verbose)
    sys.exit(asyncio.run(args.command(args, settings)))


def load_settings(path: Path) -> Settings:
    """Read `config.yaml`; an empty one means the defaults. Raises OSError or InvalidInputError."""
    return settings_.parse(documents.read_one(path) if path.stat().st_size else {})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineward-operator", description="Keeps Lineward's status, runs, certificates and webhooks true."
    )
    parser.add_argument("--version", action="version", version=f"lineward-operator {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run until SIGTERM")
    run.set_defaults(command=_run)
    run.add_argument("--port", type=int, default=8080, help="health and metrics (default: %(default)s)")
    run.add_argument("--webhooks", default="/etc/lineward/webhooks", help="folder with mutating.yaml, validating.yaml")
    run.add_argument("--ledger-token", default="/lineward/token/token", help="file with the token for the ledger")
    remove = commands.add_parser("uninstall", help="stop the operator and delete both webhook configurations")
    remove.set_defaults(command=_uninstall)
    for command in (run, remove):
        command.add_argument("--config", default="/etc/lineward/config.yaml", help="settings (default: %(default)s)")
        command.add_argument("--kubeconfig", default="", help="outside of a cluster: how to reach one")
        command.add_argument("--verbose", action="store_true", help="log more")
    return parser


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        kube = await Kube.connect(args.kubeconfig)
        stack.push_async_callback(kube.close)
        world = make_world(kube, settings, Path(args.ledger_token))
        stack.push_async_callback(world.ledger.close)
        server = await health.serve(world, args.port)
        stack.push_async_callback(server.cleanup)
        keeper = WebhookKeeper(kube, settings, Path(args.webhooks))
        return await _supervise(world, keeper, stop)


def make_world(kube: Kube, settings: Settings, token: Path) -> World:
    """Put the operator's parts together."""
    metrics = Metrics()
    ledger = Ledger(settings.ledger_url, settings.openlineage_url, token, metrics)
    return World(settings, kube, ledger, metrics, Owners(kube), SigstoreVerifier())


async def _supervise(world: World, keeper: WebhookKeeper, stop: asyncio.Event) -> int:
    """Run all tasks until a signal, or until one of them ends, which none should."""
    waiting = asyncio.create_task(stop.wait())
    tasks = [
        waiting,
        asyncio.create_task(keep_webhooks(keeper, world.metrics), name="webhooks"),
        asyncio.create_task(health.beat(world, socket.gethostname()), name="heartbeat"),
        asyncio.create_task(_watch(world, stop), name="watch"),
    ]
    ended, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in ended if task is not waiting and not stop.is_set()]
    for task in failed:
        _log.error("%s ended", task.get_name(), exc_info=task.exception())
    stop.set()
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    _log.info("stopped")
    return EXIT_FAILED if failed else 0


async def _watch(world: World, stop: asyncio.Event) -> None:
    """List everything, then work on the queue while kopf watches."""
    while not world.primed:
        try:
            await watch.prime(world)
        except KubeError as error:
            _log.warning("cannot list yet: %s", error)
            await asyncio.sleep(2)
    _log.info("listed", extra={"pods": len(world.pods), "kinds": len(world.objects)})
    for resource in watch.HANDLERS:
        sweep.soon(world, resource, sweep.FIRST)
    async with asyncio.TaskGroup() as group:
        group.create_task(world.queue.run(lambda key: watch.work(world, key), WORKERS))
        group.create_task(_kopf(world, stop))


async def _kopf(world: World, stop: asyncio.Event) -> None:
    """Watch until told to stop; kopf takes signals for itself, so its end is everybody's."""
    await kopf.operator(
        registry=watch.registry(world),
        settings=watch.settings(),
        standalone=True,
        clusterwide=True,
        stop_flag=stop,
    )
    stop.set()


async def keep_webhooks(keeper: WebhookKeeper, metrics: Metrics) -> None:
    """Keep certificates and webhook configurations, whatever goes wrong; say what changes."""
    before = ""
    while True:
        try:
            state = await keeper.reconcile()
        except (KubeError, OSError, LinewardError, KeyError, TypeError) as error:
            state = f"failed: {error}"
        if state != before:
            _log.log(logging.WARNING if state.startswith("failed") else logging.INFO, "webhooks: %s", state)
            before = state
        metrics.registered.set(keeper.registered)
        metrics.certificate.set(keeper.expires.timestamp() if keeper.expires else 0)
        await asyncio.sleep(GATE_OPEN if state.startswith("waiting") else KEEP_WEBHOOKS)


async def _uninstall(args: argparse.Namespace, settings: Settings) -> int:
    kube = await Kube.connect(args.kubeconfig)
    try:
        done = await uninstall(kube, settings, lambda text: print(text, flush=True))  # noqa: T201
    except KubeError as error:
        print(f"lineward-operator: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    finally:
        await kube.close()
    return 0 if done else EXIT_FAILED


if __name__ == "__main__":
    main()
