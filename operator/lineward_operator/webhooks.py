"""Keeps the webhook's certificates and both webhook configurations true, so that pods are gated and never bricked.

Order is everything: nothing is registered before the webhook Service answers TLS with a certificate that the API server
would accept, an authority is published before a leaf of it is served where the operator makes both, and stays published
until no pod serves a leaf of it. The configurations stay when the operator ends or restarts: whoever removed them would
open the gate.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lineward.adapters import documents
from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason
from lineward.domain.settings import Settings
from lineward_operator import certificates
from lineward_operator.kubeio import MUTATING, NAMESPACES, SECRETS, VALIDATING, Json, Kube, Resource
from lineward_operator.served import Probe, Served, handshake

AUTHORITY_SECRET = "lineward-webhook-ca"  # noqa: S105 - the name of a Secret
CONFIGURATIONS = (("mutating.yaml", MUTATING), ("validating.yaml", VALIDATING))
"""Mutating comes first and goes last: with that one alone, pods are injected and none is refused for want of it."""
DEFAULTS = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10, "reinvocationPolicy": "Never"}
"""What the API server adds to a webhook (Kubernetes, pkg/apis/admissionregistration/v1/defaults.go)."""

_log = logging.getLogger(__name__)


class WebhookKeeper:
    """`reconcile` makes the cluster as it should be and returns one line that says how it is."""

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        folder: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        probe: Probe = handshake,
    ) -> None:
        self._kube = kube
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._served = Served(kube, settings, probe)
        self.registered = False
        """Whether both configurations were there and true at the last look."""
        self.expires: datetime | None = None
        """When the served certificate ends."""

    async def reconcile(self) -> str:
        """One idempotent pass.

        Raises KubeError where the API server refuses, OSError where templates cannot be read, and
        InvalidInputError for a template that is not a webhook configuration.
        """
        live = [await self._kube.find(resource, self._settings.webhook_configuration) for _, resource in CONFIGURATIONS]
        published = _published(live)
        bundle = await self._certificates(frozenset.intersection(*published) if published else None)
        if not self._settings.intercepted_namespaces:
            self.registered = False
            removed = [await self._remove(resource) for _, resource in reversed(CONFIGURATIONS)]
            return "removed" if any(removed) else "no namespaces to intercept"
        if not bundle:
            return f"waiting for ca.crt in Secret {self._settings.webhook_secret}"
        lasting, behind = await self._lasting(bundle, published)
        bundle += lasting
        if None in live and (problem := await self._served.unanswered(bundle)):
            return f"waiting for the webhook: {problem}"
        owner = await self._owner()
        desired = [self._desired(name, bundle, owner) for name, _ in CONFIGURATIONS]
        changed = [await self._keep(*each) for each in zip(CONFIGURATIONS, live, desired, strict=True)]
        self.registered = True
        return ("registered" if any(changed) else "unchanged") + behind

    async def _lasting(self, bundle: str, published: list[frozenset[str]]) -> tuple[str, str]:
        """Return published authorities (PEM) that are not in `bundle` any more but still needed, and who needs them.

        After a change of `tls.mode`, or of an authority that others keep, pods serve the old certificate until they are
        replaced or the kubelet has renewed what they mount.
        """
        old = frozenset().union(*published) - set(certificates.split(bundle))
        if not old or not (problem := await self._served.behind(bundle)):
            return "", ""
        return "".join(sorted(old)), f"; the authorities before are still trusted: {problem}"

    async def _certificates(self, published: frozenset[str] | None) -> str:
        """Make one step of renewal in mode `self`, and return the authorities to trust (PEM)."""
        leaf = await self._kube.find(SECRETS, self._settings.webhook_secret, self._settings.namespace)
        if self._settings.tls_mode != "self":
            data = _decoded(leaf)
            self.expires = _expiry(data.get("tls.crt", ""))
            return "".join(certificates.split(data.get("ca.crt", "")))
        authority = await self._kube.find(SECRETS, AUTHORITY_SECRET, self._settings.namespace)
        chain = certificates.renew(
            certificates.read(_decoded(authority), _decoded(leaf)), self._names(), published, self._clock()
        )
        await self._store(AUTHORITY_SECRET, "Opaque", authority, certificates.authority_data(chain))
        if chain.leaf:
            await self._store(self._settings.webhook_secret, "kubernetes.io/tls", leaf, certificates.leaf_data(chain))
            self.expires = certificates.expiry(chain.leaf.certificate)
        return chain.bundle

    async def _store(self, name: str, kind: str, live: Json | None, data: Mapping[str, str]) -> None:
        if live is not None and _decoded(live) == data:
            return
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        if live is not None:
            await self._kube.replace(SECRETS, {**live, "data": encoded}, self._settings.namespace)
        else:
            labels = {"app.kubernetes.io/managed-by": "lineward-operator", "app.kubernetes.io/part-of": "lineward"}
            metadata = {"name": name, "namespace": self._settings.namespace, "labels": labels}
            body = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "data": encoded}
            await self._kube.create(SECRETS, body, self._settings.namespace)
        _log.info("certificates stored", extra={"secret": name})

    async def _owner(self) -> Json:
        """Lineward's namespace: whoever deletes it takes the gate along, or it would block with nothing behind it."""
        name = self._settings.namespace
        found = await self._kube.get(NAMESPACES, name)
        return {"apiVersion": "v1", "kind": "Namespace", "name": name, "uid": found["metadata"]["uid"]}

    def _desired(self, file: str, bundle: str, owner: Json) -> Json:
        body = documents.read_one(self._folder / file)
        if not isinstance(body.get("webhooks"), list):
            raise InvalidInputError(Reason.REQUEST_INVALID, f"{file} is not a webhook configuration")
        body["metadata"]["name"] = self._settings.webhook_configuration
        body["metadata"]["ownerReferences"] = [owner]
        for webhook in body["webhooks"]:
            webhook["clientConfig"]["caBundle"] = base64.b64encode(bundle.encode()).decode()
        return body

    async def _keep(self, which: tuple[str, Resource], live: Json | None, desired: Json) -> bool:
        if live is None:
            await self._kube.apply(which[1], desired)
        elif differs(desired, live):
            # Not applied: apply leaves what others added, and is refused where that contradicts what it sets.
            await self._kube.replace(which[1], {**desired, "metadata": {**live["metadata"], **desired["metadata"]}})
        else:
            return False
        _log.info("webhook configuration written", extra={"configuration": which[0]})
        return True

    async def _remove(self, resource: Resource) -> bool:
        return await self._kube.delete(resource, self._settings.webhook_configuration)

    def _names(self) -> tuple[str, ...]:
        host = self._served.host
        return (host, f"{host}.cluster.local", host.removesuffix(".svc"))


def differs(desired: Json, live: Json) -> bool:
    """Tell whether `live` is anything but `desired` with the API server's defaults.

    Every field of a webhook can narrow what it sees, so one more is as much a difference as one less. Of the metadata
    only what `desired` sets counts.
    """
    return _settled(live) != _settled(desired) or any(
        _part(live["metadata"].get(key), value) != value for key, value in desired["metadata"].items()
    )


def _part(live: Any, desired: Any) -> Any:
    """Of a mapping what `desired` speaks of, all of anything else."""
    if not isinstance(desired, Mapping):
        return live
    return {key: value for key, value in (live or {}).items() if key in desired}


def _settled(configuration: Json) -> list[Any]:
    return [_full(_webhook(webhook)) for webhook in configuration.get("webhooks") or ()]


def _webhook(webhook: Json) -> Json:
    client = webhook.get("clientConfig") or {}
    if service := client.get("service"):
        client = {**client, "service": {"port": 443, **service}}
    rules = [{"scope": "*", **rule} for rule in webhook.get("rules") or ()]
    return {**DEFAULTS, **webhook, "clientConfig": client, "rules": rules}


def _full(value: Any) -> Any:
    """Without empty members, which mean the same as none."""
    if isinstance(value, Mapping):
        members = {key: _full(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in ({}, [], None)}
    return [_full(item) for item in value] if isinstance(value, list) else value


def _published(live: list[Json | None]) -> list[frozenset[str]]:
    """The authorities (PEM) of every webhook that is registered."""
    return [
        frozenset(certificates.split(_text(webhook.get("clientConfig", {}).get("caBundle", ""))))
        for configuration in live
        if configuration is not None
        for webhook in configuration.get("webhooks") or ()
    ]


def _decoded(secret: Json | None) -> dict[str, str]:
    return {key: _text(value) for key, value in ((secret or {}).get("data") or {}).items()}


def _text(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _expiry(certificate: str) -> datetime | None:
    try:
        return certificates.expiry(certificate)
    except ValueError:
        return None
