"""The ledger's HTTP interface (docs/formats/ledger-v1.md): pods report lineage, the operator records verdicts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lineward.domain.errors import LinewardError
from lineward_ledger import metrics
from lineward_ledger.auth import AuthError, ReviewUnavailableError, TokenReviewer
from lineward_ledger.entries import (
    KINDS,
    MAX_BODY_BYTES,
    Author,
    Draft,
    lineage_draft,
    parse_json,
    writer_draft,
)
from lineward_ledger.service import BusyError, FullError, Ledger, TooManyError
from lineward_ledger.store import Page, Query

MAX_LIMIT = 1000
MAX_WAIT_SECONDS = 30.0
MAX_FOLLOWERS = 100
MAX_BODIES = 32
"""Bodies in memory at a time, for the writer and for all pods each, so that pods never keep the writer waiting."""
BODY_SECONDS = 5.0
PROXIED_TOKEN = "X-Lineward-Token"  # noqa: S105 - a header's name
"""The API server's service proxy drops Authorization (apimachinery's UpgradeAwareHandler strips credentials)."""
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logging.getLogger("lineward.ledger")


class ForbiddenError(Exception):
    """The caller is known and may not do this."""


class Api:
    """Handlers of one ledger. `writer` is the username whose entries count as attested."""

    def __init__(self, ledger: Ledger, reviewer: TokenReviewer, writer: str) -> None:
        self._ledger = ledger
        self._reviewer = reviewer
        self._writer = writer
        self._own_namespace = writer.split(":")[2]
        self._slots = {attested: asyncio.Semaphore(MAX_BODIES) for attested in (True, False)}
        self._followers = asyncio.Semaphore(MAX_FOLLOWERS)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[_errors], client_max_size=MAX_BODY_BYTES)
        app.on_shutdown.append(self._release)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/api/v1/lineage", self._lineage)
        app.router.add_post("/api/v1/entries", self._append)
        app.router.add_get("/api/v1/entries", self._entries)
        app.router.add_get("/api/v1/head", self._head)
        return app

    async def _release(self, _app: web.Application) -> None:
        await self._ledger.release()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"ok, {self._ledger.head.size} entries\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _lineage(self, request: web.Request) -> web.Response:
        author = await self._author(request)
        attested = author.username == self._writer
        if not attested and not author.pod_uid:
            raise ForbiddenError("lineage is taken from pods: the token is bound to none")
        if not attested:
            size = request.content_length
            self._ledger.admit(author.namespace, MAX_BODY_BYTES if size is None else size)
        async with self._slots[attested]:
            return await self._stored(lineage_draft(await _body(request), author, attested=attested))

    async def _append(self, request: web.Request) -> web.Response:
        author = await self._author(request)
        if author.username != self._writer:
            raise ForbiddenError(f"only {self._writer} may append entries; pods post to /api/v1/lineage")
        async with self._slots[True]:
            return await self._stored(writer_draft(await _body(request), author))

    async def _stored(self, draft: Draft) -> web.Response:
        receipt = await self._ledger.append(draft)
        if receipt.conflict:
            return _problem(409, f"id {draft.id} is entry {receipt.seq}, which says something else")
        answer = {"seq": receipt.seq, "leaf": str(receipt.leaf)}
        return web.json_response(answer, status=201 if receipt.new else 200)

    async def _head(self, request: web.Request) -> web.Response:
        await self._author(request)
        head = self._ledger.head
        return web.json_response({"size": head.size, "root": str(head.root)})

    async def _entries(self, request: web.Request) -> web.Response:
        author = await self._author(request)
        query, wait, lines = _query(request, self._visible(author))
        if wait:
            if self._followers.locked():
                raise BusyError("too many callers are following", 5)
            async with self._followers:
                page = await self._ledger.follow(query, wait)
        else:
            page = await self._ledger.read(query)
        return _lines(page) if lines else _json(page)

    def _visible(self, author: Author) -> str | None:
        """Lineward's own service accounts read everything, all others what concerns their namespace."""
        return None if author.namespace == self._own_namespace else author.namespace

    async def _author(self, request: web.Request) -> Author:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else request.headers.get(PROXIED_TOKEN, "")
        return await self._reviewer.author(token)


async def _body(request: web.Request) -> Any:
    """Read and decode a body; raises HTTPRequestTimeout for one that comes too slowly, InvalidInputError."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(reason="the body comes too slowly") from None
    return parse_json(data)


def _query(request: web.Request, namespace: str | None) -> tuple[Query, float, bool]:
    """Parse the query string; raises ValueError for unknown or malformed parameters."""
    given = dict(request.query)
    if len(given) != len(request.query) or set(given) - {"after", "limit", "kind", "run", "wait", "format"}:
        raise ValueError("parameters are after, limit, kind, run, wait and format, each at most once")
    kind, form = given.get("kind", ""), given.get("format", "json")
    if kind and kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}")
    if form not in {"json", "lines"}:
        raise ValueError("format is json or lines")
    query = Query(
        after=_number(given, "after", 0, 2**62),
        limit=_number(given, "limit", 100, MAX_LIMIT, least=1),
        kind=kind,
        run=given.get("run", "").lower(),
        namespace=namespace,
    )
    return query, float(_number(given, "wait", 0, int(MAX_WAIT_SECONDS))), form == "lines"


def _number(given: dict[str, str], name: str, default: int, most: int, least: int = 0) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise ValueError(f"{name} is a number from {least} to {most}")
    return int(text)


def _json(page: Page) -> web.Response:
    entries = [{**json.loads(entry.bytes), "leaf": str(entry.leaf)} for entry in page.entries]
    return web.json_response({"entries": entries, "after": page.after, "more": page.more})


def _lines(page: Page) -> web.Response:
    """Return each entry's exact bytes on a line, so that a reader can hash them; the cursor is in the headers."""
    headers = {
        "Content-Type": "application/x-ndjson",
        "X-Lineward-After": str(page.after),
        "X-Lineward-More": str(page.more).lower(),
    }
    return web.Response(body=b"".join(entry.bytes + b"\n" for entry in page.entries), headers=headers)


def _problem(status: int, message: str, **headers: Any) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into JSON that says what to do, and count requests."""
    response = await _answer(request, handler)
    if request.path not in PROBES:
        resource = request.match_info.route.resource
        endpoint = resource.canonical if resource else "unknown"
        metrics.REQUESTS.labels(endpoint, str(response.status)).inc()
    return response


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (AuthError, 401),
    (ForbiddenError, 403),
    (TooManyError, 429),
    (BusyError, 503),
    (ReviewUnavailableError, 503),
    (FullError, 507),
)
_EXPECTED = (LinewardError, ValueError, *dict(_STATUS))


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (
        AuthError,
        BusyError,
        ForbiddenError,
        FullError,
        LinewardError,
        ReviewUnavailableError,
        ValueError,
    ) as error:
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, AuthError) else {}
        if isinstance(error, BusyError | ReviewUnavailableError):
            headers["Retry-After"] = str(getattr(error, "retry_after", 5))
        return _problem(_status(error), str(error), **headers)
    except web.HTTPException as error:
        return _problem(error.status, error.reason)
    except Exception:  # noqa: BLE001 - aiohttp would log the request, and with it the token
        _log.exception("a request failed")
        return _problem(500, "the ledger could not answer; see its logs")


def _status(error: Exception) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
