"""Keeps a table equal to what the API server holds: lists in pages, then watches, and never trusts silence.

Written here because the client's informer neither reconnects with backoff nor notices a connection that died without a
word. A watch that says nothing for `SILENCE`, bookmarks included, is taken for dead and opened again where it stood; a
version that the server no longer has (410) means listing again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from lineward_webhook.table import Key, Table, key_of

PAGE = 500
"""Objects per page of a list, as kubectl asks."""
SILENCE = 70.0
"""Seconds; the API server sends a bookmark about every minute to a watch that asks for them."""
WATCH_SECONDS = 300
MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one watch event; etcd holds at most 1.5 MiB per object, before escaping."""
BACKOFF = (0.2, 30.0)
GOOD_ROUND = 5.0
"""Seconds after which a round of list and watch counts as one that worked."""
_LIST_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)

T = TypeVar("T")
Json = dict[str, Any]
_log = logging.getLogger("lineward.webhook.reflector")


class GoneError(Exception):
    """The server no longer has the version that the watch stood at (HTTP 410)."""


class Reflector(Generic[T]):
    """Follows one kind. `synced` once a whole list has been taken over; it stays so, for old news beats none."""

    def __init__(self, api: ApiClient, kind: str, path: str, table: Table[T], params: Mapping[str, str] = {}) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self.heard = 0.0
        """Monotonic time at which the server was last heard of."""
        self._api, self._path, self._table, self._params = api, path, table, dict(params)
        self._version = ""
        self._failures = 0

    def age(self) -> float:
        """Seconds since the server was last heard of."""
        return time.monotonic() - self.heard

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            began = time.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except GoneError:
                self._version = ""
            except TimeoutError:
                _log.info("silence", extra={"kind": self.kind})
            except Exception as error:  # noqa: BLE001 - whatever it is, a watch that ended would go unnoticed
                _log.warning("cannot follow", extra={"kind": self.kind, "error": str(error)[:300]})
            await self._rest(time.monotonic() - began)

    async def _rest(self, lasted: float) -> None:
        """Wait after a round that was short, twice as long after each in a row, by chance a little more or less."""
        self._failures = self._failures + 1 if lasted < GOOD_ROUND else 0
        if self._failures:
            delay = min(BACKOFF[1], BACKOFF[0] * 2 ** (self._failures - 1))
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - spreads, hides nothing

    async def _list(self) -> None:
        rows: dict[Key, T] = {}
        query = {**self._params, "limit": str(PAGE)}
        while True:
            response = await self._get(query, _LIST_TIMEOUT)
            async with response:
                page = json.loads(await response.read())
            for item in page.get("items") or ():
                row = self._table.parse(item)
                if row is not None:
                    rows[key_of(item)] = row
            self._hear()
            meta = page["metadata"]
            if not meta.get("continue"):
                break
            query["continue"] = meta["continue"]
        self._table.replace(rows)
        self._version = str(meta["resourceVersion"])
        self.synced.set()

    async def _watch(self) -> None:
        """Apply events until the server closes the watch."""
        seconds = int(WATCH_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - as above
        query = {
            **self._params,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE)
        response = await self._get(query, timeout)
        async with response:
            self._hear()
            async for line in _lines(response):
                self._hear()
                self._apply(json.loads(line))

    def _apply(self, event: Json) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise GoneError
            raise ValueError(f"watch error: {str(obj.get('message'))[:200]}")
        if kind in {"ADDED", "MODIFIED"}:
            self._table.put(key_of(obj), self._table.parse(obj))
        elif kind == "DELETED":
            self._table.put(key_of(obj), None)
        elif kind != "BOOKMARK":
            raise ValueError(f"unknown watch event {kind!r}")
        self._version = str(obj["metadata"]["resourceVersion"])

    async def _get(self, query: Mapping[str, str], timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:  # noqa: ASYNC109 - aiohttp's own
        method, url, headers, *_ = await self._api.param_serialize(
            "GET", f"{self._path}?{urlencode(query)}", auth_settings=["BearerToken"]
        )
        answer = await self._api.rest_client.request(method, url, headers=headers, _request_timeout=timeout)  # type: ignore[no-untyped-call]
        response: aiohttp.ClientResponse = answer.response
        if response.status != 200:
            text = (await response.text())[:300]
            response.release()
            if response.status == 410:
                raise GoneError
            raise ValueError(f"HTTP {response.status}: {text}")
        return response

    def _hear(self) -> None:
        self.heard = time.monotonic()


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of a streamed answer, however long."""
    buffer = bytearray()
    async for chunk in response.content.iter_any():
        searched = len(buffer)
        buffer += chunk
        while (end := buffer.find(b"\n", searched)) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            searched = 0
            if line.strip():
                yield line
        if len(buffer) > MAX_EVENT:
            raise ValueError("watch event too large")
