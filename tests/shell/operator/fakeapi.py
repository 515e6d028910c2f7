"""A small API server: objects with uids, versions and generations, merge patch, apply, status, discovery, faults.

What it keeps from the real one is what the operator leans on: a patch that changes nothing writes nothing, `status` is
only written through its subresource, names are unique, and a patch with another uid is a conflict.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio import client

from lineward_operator.kubeio import Kube

Json = dict[str, Any]
KINDS = {
    "/api/v1": [("pods", "Pod", True), ("events", "Event", True), ("namespaces", "Namespace", False)],
    "/apis/batch/v1": [("jobs", "Job", True), ("jobs/status", "Job", True), ("cronjobs", "CronJob", True)],
    "/apis/apps/v1": [("replicasets", "ReplicaSet", True), ("deployments", "Deployment", True)],
    "/apis/jobset.x-k8s.io/v1alpha2": [("jobsets", "JobSet", True)],
}


class FakeApi:
    """Objects by their path; `writes` lists every write that changed something, `fault` may answer in its place."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[tuple[str, str]] = []
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], int | None] = lambda _method, _path: None
        self.problem = "fault"
        self.texts: dict[str, str] = {}
        """Answers in plain text, by path."""
        self.on_delete: Callable[[str], None] = lambda _path: None
        self._version = 100

    def put(self, path: str, obj: Json) -> Json:
        """Put an object there as if it had always been."""
        meta = obj.setdefault("metadata", {})
        parts = path.split("/")
        meta.setdefault("name", parts[-1])
        if "namespaces" in parts[:-2]:
            meta.setdefault("namespace", parts[parts.index("namespaces") + 1])
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("generation", 1)
        meta.setdefault("creationTimestamp", "2026-11-22T12:00:00Z")
        self._store(path, obj)
        return self.objects[path]

    def count(self, part: str) -> int:
        """How many objects there are whose path holds this."""
        return sum(part in path for path in self.objects)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    def _store(self, path: str, obj: Json) -> None:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self.objects[path] = obj

    async def _handle(self, request: web.Request) -> web.Response:
        path, method = request.path, request.method
        self.requests.append((method, path))
        if status := self.fault(method, path):
            return _problem(status, self.problem)
        body = await request.json() if request.can_read_body else {}
        if method == "GET":
            return self._get(path, request.query.get("labelSelector", ""))
        if method == "POST":
            return self._create(path, body)
        if method == "DELETE":
            return self._delete(path)
        return self._update(method, path, body, request.content_type)

    def _get(self, path: str, selector: str) -> web.Response:
        if path in self.texts:
            return web.Response(text=self.texts[path])
        if path in KINDS:
            listed = [{"name": name, "kind": kind, "namespaced": spaced} for name, kind, spaced in KINDS[path]]
            return web.json_response({"resources": listed})
        if path in self.objects:
            return web.json_response(self.objects[path])
        if path.count("/") > 3 and path.split("/")[-2] != "namespaces" and self._is_object(path):
            return _problem(404, f"{path} not found")
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part).items()
        items = [
            obj
            for key, obj in self.objects.items()
            if self._listed(path, key) and wanted <= obj["metadata"].get("labels", {}).items()
        ]
        return web.json_response({"items": items, "metadata": {}})

    def _is_object(self, path: str) -> bool:
        parts = path.strip("/").split("/")
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        if rest[0] == "namespaces" and len(rest) > 2:
            rest = rest[2:]
        return len(rest) > 1

    def _listed(self, path: str, key: str) -> bool:
        """Whether a list of `path` shows the object at `key`; namespaced kinds are listed across namespaces too."""
        collection = key.rpartition("/")[0]
        if collection == path:
            return True
        root, _, rest = collection.partition("/namespaces/")
        return bool(rest) and f"{root}/{rest.split('/', 1)[-1]}" == path

    def _create(self, path: str, body: Json) -> web.Response:
        key = f"{path}/{body['metadata']['name']}"
        if key in self.objects:
            return _problem(409, f"{key} already exists", "AlreadyExists")
        body.pop("status", None)
        self.writes.append(("POST", key))
        return web.json_response(self.put(key, body), status=201)

    def _delete(self, path: str) -> web.Response:
        if path not in self.objects:
            return _problem(404, "not found")
        del self.objects[path]
        self.writes.append(("DELETE", path))
        self.on_delete(path)
        return web.json_response({"status": "Success"})

    def _update(self, method: str, path: str, body: Json, content_type: str) -> web.Response:
        key, status = path.removesuffix("/status"), path.endswith("/status")
        old = self.objects.get(key)
        if old is None and "apply" in content_type:
            self.writes.append(("APPLY", key))
            return web.json_response(self.put(key, body), status=201)
        if old is None:
            return _problem(404, f"{key} not found")
        meta = body.get("metadata", {})
        if any(name in meta and meta[name] != old["metadata"][name] for name in ("uid", "resourceVersion")):
            return _problem(409, "precondition failed", "Conflict")
        new = copy.deepcopy(body) if method == "PUT" else _merge(old, body)
        new["metadata"] = {**old["metadata"], **{k: v for k, v in meta.items() if k in {"labels", "annotations"}}}
        if status:
            new = {**old, "status": new.get("status", {})}
        elif "status" in old:
            new["status"] = old["status"]
        if new == old:
            return web.json_response(old)
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        self.writes.append((method, path))
        self._store(key, new)
        return web.json_response(new)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free port of the loopback; yields its URL."""
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(api: FakeApi) -> AsyncIterator[Kube]:
    """A client of the fake API server."""
    async with serving(api.app()) as url:
        configuration = client.Configuration()
        configuration.host = url
        kube = Kube(client.ApiClient(configuration))
        try:
            yield kube
        finally:
            await kube.close()


def _merge(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _problem(status: int, message: str, reason: str = "") -> web.Response:
    return web.json_response({"kind": "Status", "message": message, "reason": reason}, status=status)
