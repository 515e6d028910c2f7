"""What the chart installs: hardened pods, narrow rights, guards, and webhooks that nobody registers too early."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.chart.rendering import Object, is_hook, kind, objects, one, pod, workloads

KINDS = {
    "datasetversions",
    "trainingruns",
    "provenanceexceptions",
    "provenancepolicies",
    "trustroots",
    "datasetrecalls",
}
READ = {"get", "list", "watch"}


def rules(name: str, kind_: str = "ClusterRole") -> list[Object]:
    found: list[Object] = one(kind_, name)["rules"]
    return found


def configuration(file: str, namespaces: list[str]) -> Object:
    data = one("ConfigMap", "lineward-webhooks", {"namespaces": namespaces})["data"]
    loaded: Object = yaml.safe_load(data[file])
    return loaded


def test_every_pod_is_restricted_and_watched() -> None:
    for workload in workloads():
        spec = pod(workload)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not container["name"].startswith("lineward-")
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]
            if not is_hook(workload):
                assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
                assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_what_pods_use_is_installed_with_them() -> None:
    installed = {(found["kind"], found["metadata"]["name"]) for found in objects()}
    hooks = {(found["kind"], found["metadata"]["name"]) for found in objects() if is_hook(found)}
    for workload in workloads():
        there = hooks if is_hook(workload) else installed - hooks
        spec = pod(workload)
        assert ("ServiceAccount", spec["serviceAccountName"]) in there
        for volume in spec["volumes"]:
            for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                if "configMap" in source:
                    assert ("ConfigMap", source["configMap"]["name"]) in there
        mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        assert mounted == {volume["name"] for volume in spec["volumes"]} | claims


def test_services_reach_their_pods() -> None:
    labels = {
        workload["metadata"]["name"]: workload["spec"]["template"]["metadata"]["labels"] for workload in workloads()
    }
    ports = {
        workload["metadata"]["name"]: {port["name"] for port in pod(workload)["containers"][0].get("ports", [])}
        for workload in workloads()
    }
    services = kind("Service")
    assert {service["metadata"]["name"] for service in services} == set(labels) - {"lineward-uninstall"}
    for service in services:
        name = service["metadata"]["name"]
        assert service["spec"]["selector"].items() <= labels[name].items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[name]
        others = [other for other in labels if other != name]
        assert not any(service["spec"]["selector"].items() <= labels[other].items() for other in others)


def test_the_webhook_survives_a_drain() -> None:
    webhook = one("Deployment", "lineward-webhook")
    assert webhook["spec"]["replicas"] == 3
    assert webhook["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    spreads = pod(webhook)["topologySpreadConstraints"]
    assert {spread["whenUnsatisfiable"] for spread in spreads} == {"ScheduleAnyway"}
    (budget,) = kind("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


def test_there_is_one_operator() -> None:
    spec = one("Deployment", "lineward-operator")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_changed_settings_restart_who_reads_them() -> None:
    def marks(values: Object) -> list[str]:
        names = ("lineward-operator", "lineward-webhook")
        templates = [one("Deployment", name, values)["spec"]["template"] for name in names]
        return [template["metadata"]["annotations"]["lineward.dev/config"] for template in templates]

    assert not set(marks({"namespaces": ["a"]})) & set(marks({"namespaces": ["b"]}))


def test_no_right_is_a_wildcard() -> None:
    for role in [*kind("ClusterRole"), *kind("Role")]:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], role["metadata"]["name"]


def test_the_webhook_only_reads() -> None:
    assert [name for name in ("Role", "RoleBinding") if _bound(name, "lineward-webhook")] == []
    read: set[str] = set()
    for rule in rules("lineward-webhook"):
        assert set(rule["verbs"]) <= READ
        read |= set(rule["resources"])
    assert read == {"pods", "persistentvolumeclaims", "namespaces", "limitranges"} | KINDS - {"trainingruns"}


def test_the_ledger_only_asks_whose_a_token_is() -> None:
    assert rules("lineward-ledger") == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    assert not _bound("RoleBinding", "lineward-ledger")


def test_the_operator_writes_only_what_is_its_own() -> None:
    written = {
        (resource, verb, tuple(rule.get("resourceNames", ())))
        for rule in [*rules("lineward-operator"), *rules("lineward-operator", "Role")]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in READ
    }
    assert written == {
        *((f"{name}/status", "patch", ()) for name in KINDS),
        ("trainingruns", "create", ()),
        ("events", "create", ()),
        *(
            (f"{name}webhookconfigurations", verb, ("lineward",))
            for name in ("mutating", "validating")
            for verb in ("create", "patch", "update", "delete")
        ),
        ("secrets", "update", ("lineward-webhook-tls", "lineward-webhook-ca")),
        ("leases", "patch", ("lineward-operator",)),
    }


def test_the_operator_reads_no_other_secret() -> None:
    readers = [rule for rule in rules("lineward-operator") if "secrets" in rule["resources"]]
    (own,) = [rule for rule in rules("lineward-operator", "Role") if "secrets" in rule["resources"]]
    assert readers == []
    assert own["verbs"] == ["get", "update"]


@pytest.mark.parametrize("role", ["lineward-view", "lineward-edit"])
def test_tenants_get_no_status_and_no_cluster_wide_kind(role: str) -> None:
    found = one("ClusterRole", role)
    grants = [label for label in found["metadata"]["labels"] if label.startswith("rbac.authorization.k8s.io/")]
    assert grants == [f"rbac.authorization.k8s.io/aggregate-to-{role.removeprefix('lineward-')}"]
    (rule,) = found["rules"]
    assert not any("/" in resource for resource in rule["resources"])
    if not set(rule["verbs"]) <= READ:
        assert set(rule["resources"]) == {"datasetversions", "trainingruns"}


def test_helm_registers_no_webhook() -> None:
    assert [found for found in objects({"namespaces": ["ml"]}) if "WebhookConfiguration" in found["kind"]] == []


@pytest.mark.parametrize("file", ["mutating.yaml", "validating.yaml"])
def test_only_named_namespaces_are_intercepted(file: str) -> None:
    (webhook,) = configuration(file, ["ml", "research"])["webhooks"]
    label = "kubernetes.io/metadata.name"
    assert webhook["namespaceSelector"] == {
        "matchExpressions": [
            {"key": label, "operator": "In", "values": ["ml", "research"]},
            {"key": label, "operator": "NotIn", "values": ["lineward-system", "kube-system"]},
        ]
    }
    assert (webhook["sideEffects"], webhook["matchPolicy"], webhook["timeoutSeconds"]) == ("None", "Equivalent", 5)
    assert "caBundle" not in webhook["clientConfig"]


def test_mutating_fails_open_and_validating_closed() -> None:
    (mutating,) = configuration("mutating.yaml", ["ml"])["webhooks"]
    (validating,) = configuration("validating.yaml", ["ml"])["webhooks"]
    assert (mutating["failurePolicy"], mutating["reinvocationPolicy"]) == ("Ignore", "IfNeeded")
    assert validating["failurePolicy"] == "Fail"
    assert _watched(mutating) == {("pods", "CREATE")}
    assert _watched(validating) == {("pods", "CREATE"), ("pods", "UPDATE"), ("pods/ephemeralcontainers", "UPDATE")}


def test_guards_deny_and_fail_closed() -> None:
    policies = kind("ValidatingAdmissionPolicy")
    names = {policy["metadata"]["name"] for policy in policies}
    assert names == {"lineward-containers", "lineward-exec", "lineward-ephemeral", "lineward-status"}
    assert {policy["spec"]["failurePolicy"] for policy in policies} == {"Fail"}
    bindings = kind("ValidatingAdmissionPolicyBinding")
    assert {binding["spec"]["policyName"] for binding in bindings} == names
    assert all(binding["spec"]["validationActions"] == ["Deny"] for binding in bindings)
    assert kind("ValidatingAdmissionPolicy", {"guards": {"enabled": False}}) == []


def test_the_way_out_needs_nothing_that_may_be_gone() -> None:
    hooks = [found for found in objects() if is_hook(found)]
    weights = {found["kind"]: int(found["metadata"]["annotations"]["helm.sh/hook-weight"]) for found in hooks}
    assert max(weights.values()) == weights["Job"]
    assert weights["ClusterRole"] < weights["ClusterRoleBinding"] < weights["Job"]
    for found in hooks:
        annotations = found["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-delete"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert rules("lineward-uninstall") == [
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": ["lineward"],
            "verbs": ["delete"],
        }
    ]


def test_network_policies_cover_every_component() -> None:
    assert kind("NetworkPolicy") == []
    policies = kind("NetworkPolicy", {"networkPolicy": {"enabled": True, "apiServerPorts": [6443]}})
    assert {policy["metadata"]["name"] for policy in policies} == {
        "lineward-webhook",
        "lineward-ledger",
        "lineward-operator",
    }
    held = {policy["metadata"]["name"]: policy["spec"].get("egress") for policy in policies}
    assert held["lineward-operator"] is None
    assert held["lineward-webhook"][0]["ports"][0] == {"protocol": "TCP", "port": 6443}


def _bound(kind_: str, account: str) -> list[Object]:
    return [
        binding
        for binding in kind(kind_)
        if any(subject["name"] == account for subject in binding.get("subjects", []))
        or binding["metadata"]["name"] == account
    ]


def _watched(webhook: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (resource, operation)
        for rule in webhook["rules"]
        for resource in rule["resources"]
        for operation in rule["operations"]
    }
