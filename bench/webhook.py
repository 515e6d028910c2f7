"""What a decision costs beside the HTTP that carries it.

Starts, on loopback, a bare aiohttp server with TLS that reads and answers JSON, and the webhook's own application over
a cluster that stands still; sends both the same AdmissionReviews by turns and prints the server's CPU time per request
and the ratio. Times vary with the machine; the ratio is what to watch.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import multiprocessing
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.shell.webhook.reviews import review
from tests.shell.webhook.test_server import write_pair
from tests.unit.gate.pods import SETTINGS, a_pod, a_world, mutated

from lineward.domain.podspec import Pod
from lineward.domain.world import World
from lineward_webhook import server

CONNECTIONS = 8
ROUNDS = 5
ECHO, WEBHOOK = "bare TLS echo", "webhook"


class Still:
    """A cluster that stands still."""

    def __init__(self) -> None:
        self._world = a_world()

    def stale(self) -> str:
        return ""

    def around(self, _namespace: str, _pod: Pod) -> World:
        return self._world


def bare() -> web.Application:
    async def echo(request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        return web.json_response({"response": {"uid": asked["request"]["uid"], "allowed": True}})

    app = web.Application(client_max_size=server.MAX_BODY)
    app.router.add_post("/{any:.*}", echo)
    return app


def admission() -> web.Application:
    return server.admission(Still(), SETTINGS)


def serve(make: Callable[[], web.Application], folder: str, pipe: Any) -> None:
    """Serve in a process of its own; answers every word on the pipe with the CPU seconds used so far."""

    async def run() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
        runner = web.AppRunner(make(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        pipe.send(runner.addresses[0][1])
        while await asyncio.to_thread(pipe.recv):
            pipe.send(time.process_time())
        await runner.cleanup()

    asyncio.run(run())


@asynccontextmanager
async def started(make: Callable[[], web.Application], folder: str) -> AsyncIterator[tuple[int, Any]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(make, folder, theirs), daemon=True)
    process.start()
    try:
        yield await asyncio.to_thread(ours.recv), ours
    finally:
        ours.send("")
        process.join(10)
        process.kill()


async def load(port: int, path: str, body: bytes, count: int) -> list[float]:
    """Send the body `count` times over a few connections; returns seconds per request."""
    latencies: list[float] = []
    left = iter(range(count))
    connector = aiohttp.TCPConnector(ssl=False, limit=CONNECTIONS)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector) as session:

        async def one() -> None:
            for _ in left:
                began = time.perf_counter()
                async with session.post(path, data=body, headers={"Content-Type": "application/json"}) as response:
                    assert response.status == 200, await response.text()
                    await response.read()
                latencies.append(time.perf_counter() - began)

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return latencies


async def measure(port: int, pipe: Any, path: str, body: bytes, count: int) -> tuple[float, list[float]]:
    """CPU microseconds of the server per request, and latencies."""
    pipe.send("cpu")
    before = pipe.recv()
    latencies = await load(port, path, body, count)
    pipe.send("cpu")
    return (pipe.recv() - before) / count * 1e6, latencies


def cases() -> dict[str, tuple[str, bytes]]:
    """Reviews of about the size that a real pod's has, and the worst that the caps let through."""
    pod = a_pod()
    pod["metadata"]["managedFields"] = [{"manager": "kube-controller-manager", "fieldsV1": {"f:x": "y" * 6000}}]
    injected = mutated(pod)
    worst = copy.deepcopy(pod)
    worst["spec"]["containers"][0]["volumeMounts"] += [
        {"name": "shm", "mountPath": f"/scratch/{'d/' * 30}{i}"} for i in range(480)
    ]
    worst["spec"]["volumes"] += [{"name": f"v{i}", "persistentVolumeClaim": {"claimName": f"c{i}"}} for i in range(60)]
    return {
        "mutate": ("/mutate", json.dumps(review(pod)).encode()),
        "validate": ("/validate", json.dumps(review(injected)).encode()),
        "validate an update": ("/validate", json.dumps(review(injected, injected, "UPDATE")).encode()),
        "deny the worst": ("/validate", json.dumps(review(worst)).encode()),
    }


async def run(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_pair(Path(folder), "bench")
        async with started(bare, folder) as echo, started(admission, folder) as webhook:
            print(f"{'request':20} {'body':>8} {'echo':>9} {'webhook':>9} {'ratio':>6}   p50      p99 of the webhook")
            for name, (path, body) in cases().items():
                cpu: dict[str, list[float]] = {ECHO: [], WEBHOOK: []}
                latencies: list[float] = []
                for _ in range(ROUNDS):
                    for who, (port, pipe) in ((ECHO, echo), (WEBHOOK, webhook)):
                        used, seen = await measure(port, pipe, path, body, count)
                        cpu[who].append(used)
                        latencies += seen if who == WEBHOOK else []
                base, ours = min(cpu[ECHO]), min(cpu[WEBHOOK])
                p50, p99 = (
                    1000 * q for q in (statistics.median(latencies), statistics.quantiles(latencies, n=100)[98])
                )
                print(
                    f"{name:20} {len(body):>6} B {base:>6.0f} us {ours:>6.0f} us {ours / base:>6.2f}"
                    f"   {p50:.1f} ms   {p99:.1f} ms"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="requests per round (default: %(default)s)")
    os.nice(5)
    asyncio.run(run(parser.parse_args().count))


if __name__ == "__main__":
    main()
