"""The serving certificate: read when it appears, taken over when it changes, without a restart.

The Secret is mounted as a folder whose files the kubelet swaps at once. New handshakes use the new pair; a pair that
does not belong together is reported and the old one stays.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from pathlib import Path

from cryptography import x509

from lineward_webhook import metrics

POLL_SECONDS = 2.0
_log = logging.getLogger("lineward.webhook.tls")


class Certificates:
    """An SSL context that follows `tls.crt` and `tls.key` of a folder."""

    def __init__(self, folder: Path) -> None:
        self._certificate, self._key = folder / "tls.crt", folder / "tls.key"
        self._seen = b""
        self.loaded = asyncio.Event()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    async def run(self) -> None:
        """Look at the files until cancelled."""
        while True:
            self.reload()
            await asyncio.sleep(POLL_SECONDS)

    def reload(self) -> None:
        """Load the pair if it is there and differs from the one that was last looked at."""
        try:
            content = self._certificate.read_bytes()
            seen = hashlib.sha256(content + b"\0" + self._key.read_bytes()).digest()
        except OSError:
            return
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._check()
            self.context.load_cert_chain(self._certificate, self._key)
            expires = x509.load_pem_x509_certificate(content).not_valid_after_utc
        except (ssl.SSLError, OSError, ValueError) as error:
            _log.warning("certificate not taken over", extra={"error": str(error)})
            return
        metrics.CERTIFICATE.set(expires.timestamp())
        self.loaded.set()
        _log.info("certificate loaded", extra={"expires": expires.isoformat()})

    def _check(self) -> None:
        """Try the pair in a context that serves nobody: a failed load would leave the real one with half of it."""
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
