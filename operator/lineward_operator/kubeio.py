"""The few things the operator asks of the Kubernetes API, as JSON objects.

The typed models of the client are left out on purpose: they drop unknown fields, and what is read here is judged by the
pure domain from plain mappings anyway.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

Json = dict[str, Any]

REQUEST_TIMEOUT = 30.0
PAGE = 500
"""Objects per list request, the chunk size that kubectl uses."""
FIELD_MANAGER = "lineward-operator"
JSON = "application/json"
METADATA_ONLY = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubeError(Exception):
    """The API server said no; `status` is the HTTP status, 0 when it could not be reached."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def missing(self) -> bool:
        """The object, or its whole kind, does not exist."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """It exists already, or was changed since it was read."""
        return self.status == 409

    @property
    def forbidden(self) -> bool:
        """RBAC does not allow it."""
        return self.status == 403

    @property
    def ending(self) -> bool:
        """Nothing can be created there any more: the namespace is being deleted, or is gone, or the kind is."""
        return self.missing or (self.forbidden and "being terminated" in self.message)


@dataclass(frozen=True, slots=True)
class Resource:
    """An API resource; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version` as objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of the collection, of one object, or of its subresource, every part escaped."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


GROUP = "lineward.dev"
VERSION = "v1alpha1"
DATASET_VERSIONS = Resource(GROUP, VERSION, "datasetversions")
TRAINING_RUNS = Resource(GROUP, VERSION, "trainingruns")
PROVENANCE_EXCEPTIONS = Resource(GROUP, VERSION, "provenanceexceptions")
PROVENANCE_POLICIES = Resource(GROUP, VERSION, "provenancepolicies", namespaced=False)
TRUST_ROOTS = Resource(GROUP, VERSION, "trustroots", namespaced=False)
DATASET_RECALLS = Resource(GROUP, VERSION, "datasetrecalls", namespaced=False)
OWN_KINDS = (
    TRUST_ROOTS,
    PROVENANCE_POLICIES,
    DATASET_RECALLS,
    PROVENANCE_EXCEPTIONS,
    DATASET_VERSIONS,
    TRAINING_RUNS,
)

PODS = Resource("", "v1", "pods")
EVENTS = Resource("", "v1", "events")
SECRETS = Resource("", "v1", "secrets")
SERVICES = Resource("", "v1", "services")
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
DEPLOYMENTS = Resource("apps", "v1", "deployments")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
MUTATING = Resource("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", namespaced=False)
VALIDATING = Resource("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", namespaced=False)


class Kube:
    """JSON in, JSON out. Every method raises KubeError for any answer that is not a success."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    async def connect(cls, kubeconfig: str = "") -> Kube:
        """Use the file named, else the pod's service account (whose token is read again as it rotates)."""
        settings = client.Configuration()
        if kubeconfig:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        return cls(client.ApiClient(settings))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Json:
        """Read one object."""
        return await self._call("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, name: str, namespace: str = "") -> Json | None:
        """Read one object, None where it does not exist."""
        try:
            return await self.get(resource, name, namespace)
        except KubeError as error:
            if error.missing:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str = "", selector: str = "", *, metadata_only: bool = False
    ) -> AsyncIterator[Json]:
        """Yield all objects, page by page; `selector` is a label selector."""
        token, headers = "", {"Accept": METADATA_ONLY} if metadata_only else {}
        while True:
            query = {"limit": str(PAGE), "continue": token, "labelSelector": selector}
            given = {name: value for name, value in query.items() if value}
            page = await self._call("GET", resource.path(namespace), given, headers=headers)
            for item in page.get("items") or ():
                yield item
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    async def discover(self, api_version: str) -> Json:
        """Return the APIResourceList of a group and version."""
        root = "/apis/" if "/" in api_version else "/api/"
        return await self._call("GET", root + "/".join(quote(part, safe="") for part in api_version.split("/")))

    async def create(self, resource: Resource, body: Json, namespace: str = "") -> Json:
        """Create an object."""
        return await self._call("POST", resource.path(namespace), {"fieldManager": FIELD_MANAGER}, body)

    async def replace(self, resource: Resource, body: Json, namespace: str = "") -> Json:
        """Replace an object; its `resourceVersion`, where there, must still be the current one."""
        path = resource.path(namespace, body["metadata"]["name"])
        return await self._call("PUT", path, {"fieldManager": FIELD_MANAGER}, body)

    async def apply(self, resource: Resource, body: Json, namespace: str = "") -> Json:
        """Server-side apply; takes fields over from other managers."""
        path = resource.path(namespace, body["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("PATCH", path, query, body, {"Content-Type": "application/apply-patch+yaml"})

    async def patch(
        self, resource: Resource, name: str, body: Json, namespace: str = "", subresource: str = ""
    ) -> Json:
        """JSON merge patch (RFC 7396)."""
        path = resource.path(namespace, name, subresource)
        headers = {"Content-Type": "application/merge-patch+json"}
        return await self._call("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, headers)

    async def delete(self, resource: Resource, name: str, namespace: str = "") -> bool:
        """Delete an object; False where it was gone already."""
        try:
            await self._call("DELETE", resource.path(namespace, name))
        except KubeError as error:
            if error.missing:
                return False
            raise
        return True

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Json:
        headers = {"Accept": JSON, "Content-Type": JSON, **headers}
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._api.call_api(*request, _request_timeout=REQUEST_TIMEOUT)
            data: bytes = await response.read()  # type: ignore[no-untyped-call]
        except (OSError, aiohttp.ClientError, client.ApiException, TimeoutError) as error:
            raise KubeError(0, str(error) or type(error).__name__) from error
        if response.status >= 400:
            raise _error(response.status, data)
        return _decoded(response.status, data)


def _decoded(status: int, data: bytes) -> Json:
    """The object in an answer; what stands behind an aggregated API may answer anything."""
    try:
        decoded = json.loads(data)
    except ValueError as error:
        raise KubeError(status, f"the answer is no JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise KubeError(status, "the answer is no object")
    return decoded


def _error(status: int, data: bytes) -> KubeError:
    try:
        body = json.loads(data)
        return KubeError(status, str(body["message"]), str(body.get("reason", "")))
    except (ValueError, KeyError, TypeError):
        return KubeError(status, data[:200].decode(errors="replace"))
