"""Reads Lineward's objects from the cluster of a kubeconfig, as plain JSON, for commands that report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

TIMEOUT_SECONDS = 30.0
PAGE = 500
"""Objects per request, as kubectl asks for."""


class ClusterError(LinewardError):
    """The API server could not be reached or refused; the message is for people."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CLUSTER_UNREACHABLE, message)


class Objects:
    """Objects of the group `lineward.dev` through a kubeconfig context, the current one where none is named."""

    def __init__(self, context: str | None = None) -> None:
        """Read the kubeconfig. Raises ClusterError where there is none, or no such context."""
        from kubernetes import config  # noqa: PLC0415 - slow, and needed by few commands

        connect: Any = config.new_client_from_config
        try:
            self._api = connect(context=context)
        except config.ConfigException as error:
            raise ClusterError(f"no usable kubeconfig: {error}") from error

    def list(self, plural: str, namespace: str = "") -> Iterator[dict[str, Any]]:
        """Yield all objects of a kind, of one namespace or of all, page by page. Raises ClusterError."""
        middle = f"namespaces/{quote(namespace, safe='')}/" if namespace else ""
        path, token = f"/apis/lineward.dev/v1alpha1/{middle}{plural}", ""
        while True:
            page = self._get(path, [("limit", PAGE), *([("continue", token)] if token else [])])
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def _get(self, path: str, query: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        try:
            request = self._api.param_serialize(
                "GET", path, query_params=query, header_params={"Accept": "*/*"}, auth_settings=["BearerToken"]
            )
            answer = self._api.call_api(*request, _request_timeout=TIMEOUT_SECONDS)
            body: dict[str, Any] = json.loads(answer.read())
        except Exception as error:
            raise ClusterError(f"the API server cannot be reached: {error}") from error
        if answer.status == 404:
            raise ClusterError("Lineward's kinds are not installed in this cluster")
        if answer.status != 200:
            raise ClusterError(str(body.get("message") or f"HTTP {answer.status}"))
        return body
