"""What every cluster has beside the control plane: name service, a storage class, and issuer discovery."""

import json
from typing import Any

from e2e.cluster.layout import DNS_SERVICE, Layout

COREDNS_IMAGE = "lineward.local/coredns:1"
HOST_NAME = "host.lineward.internal"
STORAGE_CLASS = "lineward-local"
_LABELS = {"k8s-app": "kube-dns"}
_META = {"name": "coredns", "namespace": "kube-system"}


def manifests(layout: Layout) -> str:
    """All objects, as one JSON list for ``kubectl apply``."""
    items = [
        *_dns_access(),
        _dns_config(layout),
        _dns_deployment(),
        _dns_service(),
        _storage_class(),
        _issuer_discovery(),
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _dns_access() -> list[dict[str, Any]]:
    def rule(group: str, *resources: str) -> dict[str, Any]:
        return {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}

    role = {"name": "system:coredns"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": role,
            "rules": [
                rule("", "endpoints", "services", "pods", "namespaces"),
                rule("discovery.k8s.io", "endpointslices"),
            ],
        },
        _bind("system:coredns", "system:coredns", {"kind": "ServiceAccount", **_META}),
    ]


def _dns_config(layout: Layout) -> dict[str, Any]:
    corefile = f"""\
.:53 {{
    errors
    health {{
        lameduck 1s
    }}
    ready
    hosts {{
        {layout.api_address} {HOST_NAME}
        fallthrough
    }}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        pods insecure
    }}
    cache 30
}}
"""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _META, "data": {"Corefile": corefile}}


def _dns_deployment() -> dict[str, Any]:
    def probe(path: str, port: int) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "failureThreshold": 10}

    container = {
        "name": "coredns",
        "image": COREDNS_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "40Mi"}, "limits": {"memory": "170Mi"}},
        "readinessProbe": probe("/ready", 8181),
        "livenessProbe": probe("/health", 8080),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_META, "labels": _LABELS},
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        },
    }


def _dns_service() -> dict[str, Any]:
    ports = [
        {"name": name, "port": 53, "protocol": protocol} for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": _LABELS},
        "spec": {"selector": _LABELS, "clusterIP": str(DNS_SERVICE), "ports": ports},
    }


def _storage_class() -> dict[str, Any]:
    """For PersistentVolumes that are written by hand; a claim binds once its first pod is scheduled."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _issuer_discovery() -> dict[str, Any]:
    """Lets a Fulcio on this machine read the service accounts' issuer without a token."""
    everyone = {"kind": "Group", "name": "system:unauthenticated", "apiGroup": "rbac.authorization.k8s.io"}
    return _bind("lineward-issuer-discovery", "system:service-account-issuer-discovery", everyone)


def _bind(name: str, role: str, subject: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
