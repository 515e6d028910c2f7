"""Hands entries to the ledger and lineage events to whoever wants them.

Nothing here remembers: what is not acknowledged is derived again from the TrainingRun's status, and the `id` of an
entry makes a repetition harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lineward_operator.metrics import Metrics

TIMEOUT = aiohttp.ClientTimeout(total=10)
REJECTIONS = frozenset({400, 413, 415, 422})
KNOWN_ALREADY = 409
"""An entry of this id from another author is there: ids name the content, so an earlier operator pod sent it."""


class UnavailableError(Exception):
    """The receiver did not take it; later it may."""


class RejectedError(UnavailableError):
    """The receiver looked at it and said no. It is tried again all the same: the fault may be the receiver's."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to send: `path` below the ledger's URL, and whether the OpenLineage receiver gets it too."""

    id: str
    path: str
    body: Mapping[str, Any]
    lineage: bool = False


class Ledger:
    """Sends messages. With no URL it has nothing to send to, which `configured` says."""

    def __init__(self, url: str, openlineage_url: str, token_file: Path, metrics: Metrics) -> None:
        self._url = url.rstrip("/")
        self._openlineage = openlineage_url
        self._token_file = token_file
        self._metrics = metrics
        self._session: aiohttp.ClientSession | None = None
        self._acknowledged: dict[tuple[str, str], None] = {}

    @property
    def configured(self) -> bool:
        """Whether there is a ledger to record in."""
        return bool(self._url)

    async def send(self, message: Message) -> None:
        """Send to every receiver that has not acknowledged it since this process started.

        Raises UnavailableError where a receiver did not take it.
        """
        for receiver, url in self._receivers(message):
            if (receiver, message.id) not in self._acknowledged:
                await self._post(receiver, url, message)
                self._remember(receiver, message.id)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _receivers(self, message: Message) -> list[tuple[str, str]]:
        found = [("ledger", self._url + message.path)] if self._url else []
        if message.lineage and self._openlineage:
            found.append(("openlineage", self._openlineage))
        return found

    async def _post(self, receiver: str, url: str, message: Message) -> None:
        headers = {"Authorization": f"Bearer {self._token()}"} if receiver == "ledger" else {}
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        try:
            async with self._session.post(url, json=message.body, headers=headers, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300 and answer.status != KNOWN_ALREADY:
                    kind = RejectedError if answer.status in REJECTIONS else UnavailableError
                    raise kind(f"{receiver} answered {answer.status} {(await answer.text())[:200]}")
        except UnavailableError:
            self._metrics.ledger.labels(receiver, "failed").inc()
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._metrics.ledger.labels(receiver, "failed").inc()
            raise UnavailableError(f"{receiver}: {str(error) or type(error).__name__}") from error
        self._metrics.ledger.labels(receiver, "accepted").inc()

    def _token(self) -> str:
        try:
            return self._token_file.read_text().strip()
        except OSError as error:
            raise UnavailableError(f"no token: {error}") from error

    def _remember(self, receiver: str, message: str) -> None:
        self._acknowledged[receiver, message] = None
        if len(self._acknowledged) > 100_000:
            del self._acknowledged[next(iter(self._acknowledged))]
