"""Brings events to a receiver, in order, whenever it is there; nobody ever waits for it.

No proxy of the environment and no redirect is followed: the token must reach the ledger and nothing else.
"""

from __future__ import annotations

import http.client
import logging
import random
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from lineward_sidecar.spool import Spool

TIMEOUT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
FINAL_SECONDS = 2.0
_LATER = frozenset({401, 403, 404, 408, 425, 429})
"""4xx answers that another time may bring better: a token not yet known, a receiver still being set up, a limit."""

_log = logging.getLogger("lineward.sidecar")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Sender:
    """One receiver with its spool and a thread. `token` is read at each use, since the kubelet renews it."""

    def __init__(self, url: str, spool: Spool, token: Path | None) -> None:
        self._url = url
        self._spool = spool
        self._token = token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        self._deadline: float | None = None
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def hurry(self, until: float) -> None:
        """Try at once to send what is left, and give up at `until` (monotonic time)."""
        self._deadline = until
        self._hurry.set()

    def join(self) -> None:
        """Wait for the end of the hurry; returns at once if nothing is left to send."""
        if self._deadline is not None and len(self._spool):
            self._thread.join(max(0.0, self._deadline - time.monotonic()))

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            found = self._spool.first(1.0)
            if self._over():
                return
            if found is None:
                continue
            name, event = found
            if self._send(event):
                self._spool.done(name)
                pause = FIRST_PAUSE_SECONDS
            elif self._deadline is not None:
                return
            else:
                self._hurry.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, hides nothing
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _over(self) -> bool:
        return self._deadline is not None and (time.monotonic() >= self._deadline or not len(self._spool))

    def _send(self, event: bytes) -> bool:
        """Return whether the event is dealt with: taken, or such that it never will be."""
        left = TIMEOUT_SECONDS
        if self._deadline is not None:
            left = max(0.1, self._deadline - time.monotonic())
        try:
            headers = {"Content-Type": "application/json"}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token.read_text().strip()}"
            request = urllib.request.Request(self._url, event, headers)  # noqa: S310 - run.py admits http and https only
            with self._opener.open(request, timeout=left):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            never = 400 <= error.code < 500 and error.code not in _LATER
            if never:
                _log.error("%s will not take an event: HTTP %d", self._url, error.code)
            else:
                _log.info("%s takes no events now: HTTP %d", self._url, error.code)
            return never
        except (OSError, http.client.HTTPException, ValueError) as error:
            _log.info("%s cannot be reached: %s", self._url, error)
            return False
