"""Reads the ledger, either straight by URL and token, or through the API server's service proxy with a kubeconfig.

The proxy needs no port-forward and no open port; it removes the Authorization header, so the ledger's token travels as
`X-Lineward-Token` (docs/formats/ledger-v1.md).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT_SECONDS = 40.0
"""Longer than the ledger holds an answer for those who wait (30 s)."""
WAIT_SECONDS = 25
PAGE = 1000
TOKEN_SECONDS = 3600
PROXIED_TOKEN = "X-Lineward-Token"  # noqa: S105 - a header's name


class LedgerError(LinewardError):
    """The ledger could not be reached, or did not give an answer; the message is for people."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.LEDGER_UNAVAILABLE, message)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its body, and its headers with lower-case names."""

    body: bytes
    headers: Mapping[str, str]


class Transport(Protocol):
    """A way to the ledger."""

    def get(self, path: str, query: Mapping[str, Any]) -> Answer:
        """Send a GET request; raises LedgerError unless it is answered with 200."""
        ...


class DirectTransport:
    """By URL, with a token that the caller brings. No redirect is followed, lest the token goes elsewhere."""

    def __init__(self, url: str, token: str) -> None:
        """Raise LedgerError for what is no http or https URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise LedgerError(f"{url!r} is not an http or https URL")
        self._url = url.rstrip("/")
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str, query: Mapping[str, Any]) -> Answer:
        """Send a GET request."""
        headers = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"{self._url}{path}?{urlencode(query)}", headers=headers)  # noqa: S310 - checked
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return Answer(response.read(), _lower(response.headers.items()))
        except urllib.error.HTTPError as error:
            with error:
                raise LedgerError(_said(error.code, error.read(65536))) from error
        except (OSError, ValueError) as error:
            raise LedgerError(f"the ledger at {self._url} cannot be reached: {error}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(slots=True)
class ProxiedTransport:
    """Through the API server, as the person of the kubeconfig; the token is one of `account`."""

    context: str | None = None
    namespace: str = "lineward-system"
    service: str = "lineward-ledger"
    account_namespace: str = ""
    account: str = "lineward-ledger"
    audience: str = "lineward-ledger"
    _client: ApiClient | None = None
    _token: str = field(default="", repr=False)

    def get(self, path: str, query: Mapping[str, Any]) -> Answer:
        """Send a GET request; the first one also asks for a token."""
        from kubernetes.client import ApiException  # noqa: PLC0415 - slow, and needed here only

        try:
            client = self._connected()
            parameters = client.param_serialize(
                method="GET",
                resource_path=f"/api/v1/namespaces/{self.namespace}/services/http:{self.service}:8080/proxy{path}",
                query_params=list(query.items()),
                header_params={PROXIED_TOKEN: self._token, "Accept": "*/*"},
                auth_settings=["BearerToken"],
            )
            response: Any = client.call_api(*parameters, _request_timeout=TIMEOUT_SECONDS)
            body = response.read()
        except ApiException as error:
            raise LedgerError(_said(error.status, str(error.body or error.reason).encode())) from error
        except Exception as error:
            raise LedgerError(f"the ledger cannot be reached through the API server: {error}") from error
        if response.status != 200:
            raise LedgerError(_said(response.status, body))
        return Answer(body, _lower(dict(response.getheaders() or {}).items()))

    def _connected(self) -> ApiClient:
        if self._client is None:
            from kubernetes import client, config  # noqa: PLC0415 - as above

            connect: Any = config.new_client_from_config
            self._client = connect(context=self.context)
            spec = client.V1TokenRequestSpec(audiences=[self.audience], expiration_seconds=TOKEN_SECONDS)
            answer = client.CoreV1Api(self._client).create_namespaced_service_account_token(
                self.account, self.account_namespace or self.namespace, client.AuthenticationV1TokenRequest(spec=spec)
            )
            self._token = str(answer.status.token) if answer.status else ""
        return self._client


class LedgerClient:
    """What can be asked of a ledger."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def head(self) -> dict[str, Any]:
        """Return `{"size", "root"}`; raises LedgerError."""
        return self._json("/api/v1/head", {})

    def entries(self, after: int = 0, limit: int | None = None, **filters: str) -> Iterator[dict[str, Any]]:
        """Yield entries behind `after`, at most `limit`; `filters` are kind and run. Raises LedgerError."""
        while limit is None or limit > 0:
            size = PAGE if limit is None else min(PAGE, limit)
            page = self._json("/api/v1/entries", {"after": after, "limit": size, **_given(filters)})
            yield from page["entries"]
            limit = None if limit is None else limit - len(page["entries"])
            after = page["after"]
            if not page["more"]:
                return

    def follow(self, after: int, **filters: str) -> Iterator[dict[str, Any]]:
        """Yield entries behind `after` as they come, for ever; raises LedgerError."""
        while True:
            query = {"after": after, "limit": PAGE, "wait": WAIT_SECONDS, **_given(filters)}
            page = self._json("/api/v1/entries", query)
            yield from page["entries"]
            after = page["after"]

    def lines(self) -> Iterator[bytes]:
        """Yield the exact bytes of every entry that the caller may read; raises LedgerError."""
        after, more = 0, True
        while more:
            answer = self._transport.get("/api/v1/entries", {"after": after, "limit": PAGE, "format": "lines"})
            yield from answer.body.splitlines()
            try:
                after, more = int(answer.headers["x-lineward-after"]), answer.headers["x-lineward-more"] == "true"
            except (KeyError, ValueError) as error:
                raise LedgerError("the answer does not say where the next page begins") from error

    def _json(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        try:
            value = json.loads(self._transport.get(path, query).body)
        except ValueError as error:
            raise LedgerError(f"the ledger's answer is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise LedgerError("the ledger's answer is not an object")
        return value


def _given(filters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value}


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _said(status: int | None, body: bytes) -> str:
    """Return what a failure means: the ledger's own words, or those of the API server's Status."""
    try:
        said = json.loads(body)
        text = said.get("error") or said.get("message")
    except (ValueError, AttributeError):
        text = body.decode(errors="replace")[:200]
    return f"HTTP {status}: {text}"
