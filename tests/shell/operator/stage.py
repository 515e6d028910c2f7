"""An operator's world against a fake API server and a fake ledger, with time in the test's hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from tests.shell.operator import pods
from tests.shell.operator.fakeapi import FakeApi

from lineward.domain.errors import RefusedError
from lineward.domain.evidence import Evidence, TrustRoot
from lineward.domain.reasons import Reason
from lineward_operator import sweep, watch
from lineward_operator.kubeio import PODS, Resource
from lineward_operator.world import World

Json = dict[str, Any]
NOW = datetime(2026, 11, 22, 12, 2, tzinfo=UTC)
RUNS = "/apis/lineward.dev/v1alpha1/namespaces/ml/trainingruns"
EVENTS = "/api/v1/namespaces/ml/events"
REGISTRATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/lineward"
JOBS = "/apis/batch/v1/namespaces/ml/jobs"


class FakeLedger:
    """Keeps what it is sent; while `down` it answers 503."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Json]] = []
        self.tokens: set[str] = set()
        self.down = False
        self.reject = ""
        self.on_post: Callable[[], None] = lambda: None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        self.on_post()
        if self.down:
            return web.Response(status=503)
        body = await request.json()
        if self.reject and self.reject in str(body):
            return web.Response(status=400, text="no")
        self.tokens.add(request.headers.get("Authorization", ""))
        self.received.append((request.path, body))
        return web.json_response({"seq": len(self.received)}, status=201)

    def entries(self, kind: str) -> list[Json]:
        return [body for path, body in self.received if path.endswith("entries") and body["kind"] == kind]

    def lineage(self) -> list[tuple[str, str]]:
        """Run id and type of the lineage events."""
        return [(b["run"]["runId"], b["eventType"]) for path, b in self.received if path.endswith("lineage")]


class FakeVerifier:
    """Believes the bundles it was told about."""

    def __init__(self) -> None:
        self.known: dict[bytes, Evidence] = {}
        self.calls = 0

    def verify(self, bundle: bytes, trust_root: TrustRoot) -> Evidence:
        assert trust_root.name
        self.calls += 1
        if bundle not in self.known:
            raise RefusedError(Reason.EVIDENCE_INVALID, "the signature is wrong")
        return self.known[bundle]


@dataclass
class Cluster:
    """The world under test and its surroundings; `restart` forgets all that the operator knew."""

    api: FakeApi
    ledger: FakeLedger
    verifier: FakeVerifier
    world: World
    _again: Callable[[], World]

    def wait(self, time: timedelta) -> None:
        """Put the operator's clock forward."""
        now = self.world.now() + time
        self.world.now = lambda: now

    def restart(self) -> None:
        self.world = self._again()

    async def settle(self) -> None:
        """Work until nothing is ready, running what waits for its time at once, a bounded number of times."""
        again: list[Any] = []
        for _ in range(6):
            await self._drain()
            again = list(self.world.queue._timers)
            for key in again:
                self.world.queue._timers.pop(key).cancel()
                self.world.queue.add(key)
        await self._drain()

    async def _drain(self) -> None:
        queue = self.world.queue
        while not queue._ready.empty():
            key = queue._ready.get_nowait()
            queue._waiting.discard(key)
            queue._busy.add(key)
            await queue._once(lambda each: watch.work(self.world, each), key)
            queue._busy.discard(key)
            if key in queue._again:
                queue._again.discard(key)
                queue.add(key)

    async def see(self, *objects: Json, gone: bool = False) -> None:
        """Pods as a watch delivers them."""
        for obj in objects:
            path = f"/api/v1/namespaces/{obj['metadata']['namespace']}/pods/{obj['metadata']['name']}"
            if gone:
                self.api.objects.pop(path, None)
            else:
                self.api.put(path, obj)
            watch.note(self.world, PODS, obj, gone=gone)
        await self.settle()

    async def have(self, resource: Resource, obj: Json, *, gone: bool = False) -> Json:
        """An own object as a watch delivers it, stored in the API server."""
        meta = obj["metadata"]
        path = resource.path(meta.get("namespace", ""), meta["name"])
        if gone:
            self.api.objects.pop(path, None)
        else:
            obj = self.api.put(path, obj)
        watch.note(self.world, resource, obj, gone=gone)
        await self.settle()
        stored: Json = self.api.objects.get(path, obj)
        return stored

    async def sweep(self, *resources: Resource) -> None:
        """List these kinds once more, until what is missing was missing twice."""
        for resource in resources:
            sweep.soon(self.world, resource)
        await self.settle()

    async def prime(self) -> None:
        await watch.prime(self.world)
        await self.settle()

    def runs(self) -> dict[str, Json]:
        """TrainingRuns by name."""
        return {path.rsplit("/", 1)[1]: obj for path, obj in self.api.objects.items() if path.startswith(RUNS)}

    def run(self) -> Json:
        """The only TrainingRun."""
        (found,) = self.runs().values()
        return found

    def condition(self, kind: str, obj: Json | None = None) -> Json:
        found = (obj or self.run())["status"]["conditions"]
        condition: Json = next(entry for entry in found if entry["type"] == kind)
        return condition

    def end_job(self, kind: str = "Complete") -> None:
        job = self.api.objects[f"{JOBS}/train"]
        self.api.put(f"{JOBS}/train", {**job, "status": {"conditions": [{"type": kind, "status": "True"}]}})


SETTINGS: Json = {
    "intercepted_namespaces": ("ml",),
    "sidecar_image": pods.IMAGE,
    "cluster_name": "test",
}


def policy(name: str = "training", trust_root: str = "default") -> Json:
    """A ProvenancePolicy for namespace ml."""
    return {
        "metadata": {"name": name},
        "spec": {
            "match": {"namespaces": {"names": ["ml"]}},
            "mode": "enforce",
            "trustRootRef": {"name": trust_root},
            "authorities": [{"name": "team", "keyless": {"issuer": "https://idp", "subject": "a@b.c"}}],
        },
    }
