"""Health and metrics over HTTP, and the heartbeat that makes health mean something.

kopf's own liveness shows only that its HTTP task runs. Here the operator renews a Lease of its own and watches it: the
health check fails when, for a while, no watch delivered anything, neither the heartbeat nor any other event.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lineward_operator.kubeio import LEASES, TRAINING_RUNS, KubeError
from lineward_operator.world import World

LEASE = "lineward-operator"
BEAT = 30.0
"""Seconds between two heartbeats."""
SILENCE = timedelta(minutes=5)
"""A watch that was lost is replaced within 70 s (kopf's inactivity_timeout); five minutes is no accident."""

_log = logging.getLogger(__name__)


async def serve(world: World, port: int) -> web.AppRunner:
    """Start the HTTP server; the caller cleans the runner up."""
    app = web.Application()
    app.router.add_get("/healthz", lambda _: _healthz(world))
    app.router.add_get("/readyz", lambda _: _readyz(world))
    app.router.add_get("/metrics", lambda _: _metrics(world))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


async def beat(world: World, identity: str) -> None:
    """Renew the Lease until cancelled; failures only show in the log, and in the health check in time."""
    while True:
        try:
            await _renew(world, identity)
        except KubeError as error:
            _log.warning("heartbeat: %s", error)
        await asyncio.sleep(BEAT)


async def _renew(world: World, identity: str) -> None:
    moment = world.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": identity, "renewTime": moment, "leaseDurationSeconds": int(SILENCE.total_seconds())}
    namespace = world.settings.namespace
    metadata = {"name": LEASE, "namespace": namespace}
    body = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
    try:
        await world.kube.patch(LEASES, LEASE, {"spec": spec}, namespace)
    except KubeError as error:
        if not error.missing:
            raise
        await world.kube.create(LEASES, body, namespace)


async def _healthz(world: World) -> web.Response:
    silent = world.now() - world.last_event
    if silent > SILENCE:
        return web.Response(status=503, text=f"no watch event for {silent.total_seconds():.0f} s\n")
    return web.Response(text="ok\n")


async def _readyz(world: World) -> web.Response:
    return web.Response(text="ok\n") if world.primed else web.Response(status=503, text="listing objects\n")


async def _metrics(world: World) -> web.Response:
    world.metrics.queue.set(world.queue.pending())
    world.metrics.phases((run.get("status") or {}).get("phase", "") for run in world.every(TRAINING_RUNS))
    return web.Response(body=generate_latest(world.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
