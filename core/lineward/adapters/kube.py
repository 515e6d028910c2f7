"""Reads Lineward's objects from the cluster of a kubectl context, and applies those that `attest` wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from lineward.adapters import trustroots
from lineward.adapters.sources import Inputs
from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason

GROUP, VERSION = "lineward.dev", "v1alpha1"
FIELD_MANAGER = "lineward-attest"
_APPLY = "application/apply-patch+yaml"
_TIMEOUT = 30


class Cluster:
    """A connection to one cluster; every error is a LinewardError(ClusterUnreachable)."""

    def __init__(self, context: str | None = None) -> None:
        """Use a context of the kubeconfig, the current one by default, or the service account of a pod."""
        _configure(context)
        self._objects = client.CustomObjectsApi()
        self._core = client.CoreV1Api()

    def gather(self, inputs: Inputs, namespace: str) -> None:
        """Add the policies that cover a namespace, the trust roots that they name, and all recalls.

        Raises InvalidInputError(TrustRootInvalid) where one of these cannot be used.
        """
        labels = self._call(lambda: self._core.read_namespace(namespace, _request_timeout=_TIMEOUT)).metadata.labels
        found = Inputs()
        for plural in ("provenancepolicies", "trustroots", "datasetrecalls"):
            for item in self._list(plural):
                found.add_object(item)
        inputs.policies += [policy for policy in found.policies if policy.covers(namespace, labels or {})]
        named = {policy.trust_root for policy in inputs.policies}
        for root in [root for root in found.trust_roots if root.name in named]:
            trustroots.require_usable(root)
            inputs.trust_roots.append(root)
        inputs.recalls += found.recalls

    def dataset_version(self, namespace: str, name: str) -> Mapping[str, Any]:
        """One DatasetVersion as it is stored."""
        found: Mapping[str, Any] = self._call(
            lambda: self._objects.get_namespaced_custom_object(
                GROUP, VERSION, namespace, "datasetversions", name, _request_timeout=_TIMEOUT
            )
        )
        return found

    def require_may_apply(self, namespace: str) -> None:
        """Ask the API server whether `apply` will be allowed (SelfSubjectAccessReview), before there is work to lose.

        Raises LinewardError(ClusterUnreachable) naming what is not.
        """
        api = client.AuthorizationV1Api()
        for group, resource in (("", "configmaps"), (GROUP, "datasetversions")):
            for verb in ("create", "patch"):
                attributes = {"namespace": namespace, "group": group, "resource": resource, "verb": verb}
                review = {"spec": {"resourceAttributes": attributes}}
                said = self._call(
                    lambda review=review: api.create_self_subject_access_review(review, _request_timeout=_TIMEOUT)
                )
                if not said.status.allowed:
                    problem = f"this user may not {verb} {resource} in namespace {namespace} (role edit may)"
                    raise LinewardError(Reason.CLUSTER_UNREACHABLE, problem)

    def apply(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Apply objects on the server's side, in order."""
        for obj in objects:
            self._call(lambda obj=obj: self._apply(obj))

    def _apply(self, obj: Mapping[str, Any]) -> None:
        """Apply a ConfigMap or DatasetVersion; no discovery, whose cache the client keeps in a shared folder."""
        meta, body = obj["metadata"], dict(obj)
        how: dict[str, Any] = {"field_manager": FIELD_MANAGER, "_content_type": _APPLY, "_request_timeout": _TIMEOUT}
        if obj["kind"] == "ConfigMap":
            self._core.patch_namespaced_config_map(meta["name"], meta["namespace"], body, **how)
        else:
            self._apply_version(meta, body, how)

    def _apply_version(self, meta: Mapping[str, str], body: dict[str, Any], how: Mapping[str, Any]) -> None:
        """Take over the attestations from another field manager: the API server itself lets none of them go."""
        where = (GROUP, VERSION, meta["namespace"], "datasetversions", meta["name"])
        try:
            self._objects.patch_namespaced_custom_object(*where, body, **how)
        except ApiException as error:
            if _conflicts(error) != {".spec.attestations"}:
                raise
            self._objects.patch_namespaced_custom_object(*where, body, force=True, **how)

    def _list(self, plural: str) -> list[Mapping[str, Any]]:
        listed = self._call(
            lambda: self._objects.list_cluster_custom_object(GROUP, VERSION, plural, _request_timeout=_TIMEOUT)
        )
        return [{"kind": listed["kind"].removesuffix("List"), **item} for item in listed["items"]]

    def _call(self, request: Any) -> Any:
        try:
            return request()
        except ApiException as error:
            raise LinewardError(Reason.CLUSTER_UNREACHABLE, f"the cluster refused: {_said(error)}"[:300]) from error
        except (HTTPError, OSError) as error:
            problem = f"the cluster cannot be reached: {error}"[:300]
            raise LinewardError(Reason.CLUSTER_UNREACHABLE, problem) from error


def _configure(context: str | None) -> None:
    in_pod = not context and "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG")
    try:
        if in_pod:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(os.environ.get("KUBECONFIG"), context)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise LinewardError(Reason.CLUSTER_UNREACHABLE, f"no cluster to ask: {error}"[:300]) from error


def _conflicts(error: ApiException) -> set[str]:
    """Fields that another manager owns, of an apply that was refused for these (Status, `details.causes`)."""
    try:
        causes = json.loads(error.body or "")["details"]["causes"] if error.status == 409 else []
        return {str(cause["field"]) for cause in causes}
    except (ValueError, TypeError, KeyError):
        return set()


def _said(error: ApiException) -> str:
    """Status and message of the API server; for what is read cluster-wide, what a reader of one namespace lacks."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        body = str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        body = " ".join(body.split())
    hint = " (needs a ClusterRoleBinding to role view)" if "at the cluster scope" in body else ""
    return f"{error.status} {error.reason}{hint}: {body}"
