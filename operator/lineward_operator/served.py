"""Which authorities the webhook's certificate can be verified by now, found out as the API server does: by a handshake.

Through the Service one replica answers for all. That is enough to register, since all read one Secret; it is not enough
to stop trusting an authority, since replicas take a new certificate over one after the other.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from lineward.domain.podstatus import ENDED
from lineward.domain.settings import Settings
from lineward_operator.kubeio import PODS, SERVICES, Json, Kube

HANDSHAKE_TIMEOUT = 5.0

Probe = Callable[[str, int, str, str], Awaitable[None]]
"""Host, port, the name to verify, authorities (PEM). Raises OSError (ssl.SSLError is one) or TimeoutError."""


class Served:
    """Asks the webhook for handshakes; all answers are empty, or say what went wrong."""

    def __init__(self, kube: Kube, settings: Settings, probe: Probe) -> None:
        self._kube = kube
        self._service = settings.webhook_service
        self._namespace = settings.namespace
        self._probe = probe

    @property
    def host(self) -> str:
        """The name by which the API server verifies the webhook."""
        return f"{self._service}.{self._namespace}.svc"

    async def unanswered(self, bundle: str) -> str:
        """Return why the Service does not answer to `bundle`. Raises KubeError."""
        service = await self._find()
        if service is None:
            return f"no Service {self._service}"
        port = int(_port(service)["port"])
        return await self._failure(service["spec"].get("clusterIP", ""), port, bundle)

    async def behind(self, bundle: str) -> str:
        """Return which pod of the Service does not answer to `bundle` alone, ready or not. Raises KubeError."""
        service = await self._find()
        if service is None:
            return f"no Service {self._service}"
        labels = service["spec"].get("selector") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        pods = [pod async for pod in self._kube.list(PODS, self._namespace, selector) if _serves(pod)]
        targets = [(pod, target) for pod in pods if (target := _target(pod, _port(service)))]
        for pod, target in targets:
            if problem := await self._failure(pod["status"]["podIP"], target, bundle):
                return f"{pod['metadata']['name']}: {problem}"
        return "" if targets else f"no pod of Service {self._service}"

    async def _find(self) -> Json | None:
        return await self._kube.find(SERVICES, self._service, self._namespace)

    async def _failure(self, address: str, port: int, bundle: str) -> str:
        try:
            await self._probe(address, port, self.host, bundle)
        except (OSError, TimeoutError) as error:
            return str(error) or type(error).__name__
        return ""


async def handshake(host: str, port: int, name: str, bundle: str) -> None:
    """Complete one TLS handshake, trusting only `bundle`. Raises OSError (ssl.SSLError is one) or TimeoutError."""
    context = ssl.create_default_context(cadata=bundle)
    async with asyncio.timeout(HANDSHAKE_TIMEOUT):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
        writer.close()
        await writer.wait_closed()


def _serves(pod: Json) -> bool:
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") not in ENDED


def _port(service: Json) -> Json:
    port: Json = (service["spec"].get("ports") or [{"port": 443}])[0]
    return port


def _target(pod: Json, port: Json) -> int | None:
    """The pod's port behind a Service's, which may be named; None where the pod has none of that name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    ports = [each for container in pod["spec"]["containers"] for each in container.get("ports") or ()]
    return next((int(each["containerPort"]) for each in ports if each.get("name") == target), None)
