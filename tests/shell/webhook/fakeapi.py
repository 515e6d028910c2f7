"""A Kubernetes API server of a hundred lines: lists in pages of one version, watches that replay, and ways to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

Json = dict[str, Any]


@dataclass
class FakeApi:
    """Objects by collection path. Every change has the next version, and watches replay the changes since theirs."""

    objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    log: list[tuple[int, str, Json]] = field(default_factory=list)
    version: int = 1
    oldest: int = 0
    """Versions before this one are gone (410)."""
    mute: bool = False
    """Watches stay open and say nothing."""
    broken: int = 0
    """How many of the next requests fail with 500."""
    expire_pages: bool = False
    """The next continued list finds its version gone."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def put(self, path: str, name: str, namespace: str = "", **content: object) -> None:
        kept = self.objects.setdefault(path, {})
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        key = f"{namespace}/{name}"
        content.setdefault("metadata", {})
        obj = {**content, "metadata": {**content["metadata"], **meta}}  # type: ignore[dict-item]
        await self._note("MODIFIED" if key in kept else "ADDED", path, obj)
        kept[key] = obj

    async def delete(self, path: str, name: str, namespace: str = "") -> None:
        await self._note("DELETED", path, self.objects[path].pop(f"{namespace}/{name}"))

    async def _note(self, kind: str, path: str, obj: Json) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        async with self._changed:
            self.log.append((self.version, path, {"type": kind, "object": json.loads(json.dumps(obj))}))
            self._changed.notify_all()

    def compact(self) -> None:
        """Forget the past, as etcd does."""
        self.oldest = self.version

    def lists(self, path: str) -> int:
        """How often the collection was listed from the start."""
        return sum(p == path and "watch" not in q and "continue" not in q for p, q in self.asked)

    def watches(self, path: str) -> int:
        return sum(p == path and "watch" in q for p, q in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append((request.path, query))
        if self.broken > 0:
            self.broken -= 1
            return web.Response(status=500, text="boom")
        if "watch" in query:
            return await self._watch(request, int(query["resourceVersion"]))
        return self._list(request.path, query)

    def _list(self, path: str, query: dict[str, str]) -> web.Response:
        limit, start, version = int(query["limit"]), 0, self.version
        if "continue" in query:
            start, version = (int(part) for part in query["continue"].split("@"))
            if self.expire_pages:
                self.expire_pages = False
                return web.json_response({"code": 410}, status=410)
        items = list(self.objects.get(path, {}).values())
        meta: Json = {"resourceVersion": str(version)}
        if start + limit < len(items):
            meta["continue"] = f"{start + limit}@{version}"
        return web.json_response({"metadata": meta, "items": items[start : start + limit]})

    async def _watch(self, request: web.Request, since: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if since < self.oldest:
            error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
            await response.write(json.dumps(error).encode() + b"\n")
            return response
        if self.mute:
            await asyncio.sleep(3600)
        while True:
            for version, path, event in list(self.log):
                if version > since and path == request.path:
                    line = json.dumps(event).encode() + b"\n"
                    await response.write(line[:7])
                    await response.write(line[7:])
            since = self.version
            bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(since)}}}
            await response.write(json.dumps(bookmark).encode() + b"\n")
            async with self._changed:
                await self._changed.wait_for(lambda seen=since: self.version > seen)  # type: ignore[misc]

    @asynccontextmanager
    async def served(self) -> AsyncIterator[client.ApiClient]:
        """Serve on loopback; yields a client."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0.1)
        configuration = client.Configuration(host=str(server.make_url("")).rstrip("/"))
        try:
            async with client.ApiClient(configuration) as api:
                yield api
        finally:
            await server.close()


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait until something holds; fails the test where it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - tests look at plain values
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*coroutines: Any) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Run in the background for the length of a block."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
