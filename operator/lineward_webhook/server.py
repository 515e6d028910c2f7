"""HTTP: two admission paths over TLS, and health and metrics in the clear on a port of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import exposition

from lineward.domain.errors import InvalidInputError
from lineward.domain.settings import Settings
from lineward_webhook import metrics, review
from lineward_webhook.review import Answer, Request, Surroundings

MAX_BODY = 8 * 1024 * 1024
"""Bytes. The API server takes objects of 3 MiB (its request limit), and an update's review holds two of them."""
MAX_CONNECTIONS = 1024
_log = logging.getLogger("lineward.webhook")
Judge = Callable[[Request, Surroundings, Settings], Answer]
Handler = Callable[[web.Request], Awaitable[web.Response]]


def admission(cluster: Surroundings, settings: Settings) -> web.Application:
    """The application that the API server calls."""
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/mutate", _handler("mutate", review.mutate, cluster, settings))
    app.router.add_post("/validate", _handler("validate", review.validate, cluster, settings))
    return app


def _handler(path: str, judge: Judge, cluster: Surroundings, settings: Settings) -> Handler:
    async def handle(http: web.Request) -> web.Response:
        try:
            # The body is all that is waited for; judging takes milliseconds and never waits.
            async with asyncio.timeout(settings.webhook_timeout_seconds):
                body = await http.read()
            started = time.perf_counter()
            request = review.parse(body)
        except TimeoutError:
            return web.Response(status=408, text="the request did not arrive in time")
        except InvalidInputError as error:
            return web.Response(status=400, text=str(error))
        answer = _judged(path, judge, request, cluster, settings)
        review.record(request, answer, path)
        metrics.SECONDS.labels(path).observe(time.perf_counter() - started)
        return web.json_response(review.write(request, answer, settings.docs_url))

    return handle


def _judged(path: str, judge: Judge, request: Request, cluster: Surroundings, settings: Settings) -> Answer:
    """The judgement; any exception is a refusal, or where refusing is the other pass's business, no patch."""
    try:
        return judge(request, cluster, settings)
    except Exception as error:  # noqa: BLE001 - a refusal, whatever it is
        if not isinstance(error, InvalidInputError):
            _log.exception("cannot judge", extra={"uid": request.uid[: review.MAX_UID]})
        return Answer() if path == "mutate" else review.refusal(error)


def health(ready: Callable[[], str], publish: Callable[[], None]) -> web.Application:
    """Liveness, readiness and metrics; `ready` says what is missing, or nothing."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        missing = ready()
        return web.Response(status=503 if missing else 200, text=missing or "ok")

    async def exposed(_: web.Request) -> web.Response:
        publish()
        body = exposition.generate_latest(metrics.REGISTRY)
        return web.Response(body=body, headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposed)
    return app
