"""Who is calling: the API server's TokenReview says so, for tokens of the ledger's own audience only.

A pod's projected token proves the pod, not the container that sent it; what pods report is therefore `observed`.
Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lineward_ledger.entries import Author

MAX_TOKEN_BYTES = 16 * 1024
"""Service-account tokens are about 1.2 KiB."""
MAX_CACHED = 10_000
ACCEPTED_SECONDS = 60.0
REFUSED_SECONDS = 10.0
MAX_CONCURRENT_REVIEWS = 16
REVIEW_SECONDS = 5.0
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")
_EXTRA = "authentication.kubernetes.io/"


class AuthError(Exception):
    """The token is missing, malformed or not accepted by the API server."""


class ReviewUnavailableError(Exception):
    """The API server could not be asked; the caller should try again."""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where TokenReviews go, and with which files (read at each use, since the kubelet renews them)."""

    url: str
    token_file: Path
    ca_file: Path | None


class TokenReviewer:
    """Asks the API server about tokens and remembers its answers for a short time."""

    def __init__(self, server: ApiServer, audience: str) -> None:
        self._server = server
        self._audience = audience
        self._known: OrderedDict[bytes, tuple[float, Author | None]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Author | None]] = {}
        self._limit = asyncio.Semaphore(MAX_CONCURRENT_REVIEWS)
        self._session: aiohttp.ClientSession | None = None

    async def author(self, token: str) -> Author:
        """Return whose token this is.

        Raises AuthError, or ReviewUnavailableError when the API server did not answer.
        """
        if len(token) > MAX_TOKEN_BYTES or not _JWT.fullmatch(token):
            raise AuthError("a service-account token is needed")
        key = hashlib.sha256(token.encode()).digest()
        until, author = self._known.get(key, (0.0, None))
        if time.monotonic() >= until:
            task = self._asking.get(key)
            if task is None:
                task = self._asking[key] = asyncio.create_task(self._ask(key, token))
                task.add_done_callback(lambda _: self._asking.pop(key, None))
            author = await asyncio.shield(task)
        if author is None:
            raise AuthError(f"the API server does not accept the token for audience {self._audience}")
        return author

    async def _ask(self, key: bytes, token: str) -> Author | None:
        async with self._limit:
            author = read_review(await self._review(token), self._audience)
        self._known[key] = (time.monotonic() + (ACCEPTED_SECONDS if author else REFUSED_SECONDS), author)
        self._known.move_to_end(key)
        while len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)
        return author

    async def _review(self, token: str) -> Any:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        url = f"{self._server.url}/apis/authentication.k8s.io/v1/tokenreviews"
        try:
            headers = {"Authorization": f"Bearer {self._server.token_file.read_text().strip()}"}
            async with self._open().post(url, json=body, headers=headers, ssl=self._tls()) as response:
                if response.status != 201:
                    raise ReviewUnavailableError(f"TokenReview ended with HTTP {response.status}")
                return await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ReviewUnavailableError(f"TokenReview failed: {error}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=REVIEW_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self._session

    def _tls(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cafile=self._server.ca_file) if self._server.ca_file else True

    async def close(self) -> None:
        """Close connections to the API server."""
        if self._session:
            await self._session.close()


def read_review(review: Any, audience: str) -> Author | None:
    """Return the service account that a TokenReview's status names; None unless all of it fits.

    The answer must repeat our audience: an API server that does not know audiences would accept any token.
    """
    status = review.get("status") if isinstance(review, dict) else None
    if not isinstance(status, dict) or status.get("authenticated") is not True:
        return None
    user = status.get("user")
    if audience not in (status.get("audiences") or ()) or not isinstance(user, dict):
        return None
    account = _ACCOUNT.fullmatch(str(user.get("username", "")))
    if account is None:
        return None
    extra = user.get("extra") or {}
    return Author(
        username=account[0],
        namespace=account[1],
        service_account=account[2],
        pod=_first(extra, "pod-name"),
        pod_uid=_first(extra, "pod-uid"),
    )


def _first(extra: dict[str, Any], name: str) -> str:
    values = extra.get(_EXTRA + name) or [""]
    return str(values[0])
