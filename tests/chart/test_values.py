"""Which values the chart takes, which it refuses, and what becomes of them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml
from tests.chart.rendering import (
    CHART,
    VALUES,
    RefusedError,
    helm,
    kind,
    objects,
    one,
    pod,
    render,
    render_afresh,
    workloads,
)

from lineward.domain.settings import parse

DIGEST = "sha256:" + "a" * 64


def settings(values: dict[str, Any] | None = None, **where: str) -> dict[str, Any]:
    config = one("ConfigMap", "lineward-config", values, **where)["data"]["config.yaml"]
    loaded: dict[str, Any] = yaml.safe_load(config)
    return loaded


def test_helm_finds_nothing_to_object_to() -> None:
    command = [helm(), "lint", "--strict", str(CHART), "--values", str(VALUES)]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_rendering_is_deterministic() -> None:
    values = '{"namespaces": ["ml"]}'
    assert render_afresh(values) == render_afresh(values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"namespaces": ["ml", "lineward-system"]}, "Lineward's own namespace"),
        ({"namespaces": ["kube-system"]}, "kube-system can't be intercepted"),
        ({"namespaces": ["*"]}, "namespaces"),
        ({"namespaces": "ml"}, "namespaces"),
        ({"namespaces": ["ml", "ml"]}, "namespaces"),
        ({"image": {"registry": ""}}, "image.registry: name the registry"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"webhook": {"image": {"digest": "sha256:abc"}}}, "digest"),
        ({"webhook": {"replicas": 0}}, "replicas"),
        ({"webhook": {"timeoutSeconds": 30}}, "timeoutSeconds"),
        ({"tls": {"mode": "none"}}, "mode"),
        ({"tls": {"mode": "existingSecret"}}, "tls.existingSecret: name the Secret"),
        ({"tls": {"existingSecret": "mine"}}, "tls.mode is self"),
        ({"openlineage": {"url": "ftp://x"}}, "url"),
        ({"docsUrl": "wiki.example"}, "docsUrl"),
        ({"docsUrl": "https://wiki.example/#reasons"}, "docsUrl"),
        ({"docsUrl": "https://wiki.example/" + 60 * "x"}, "docsUrl"),
        ({"allowedInjectedEnv": ["LD_PRELOAD"]}, "allowedInjectedEnv"),
        ({"allowedInjectedEnv": ["PYTHONPATH"]}, "allowedInjectedEnv"),
        ({"allowedInjectedEnv": ["PATH"]}, "allowedInjectedEnv"),
        ({"operator": {"owners": [{"apiGroups": ["batch"], "resources": ["*"]}]}}, "resources"),
        ({"webhook": {"podLabels": {"app.kubernetes.io/component": "x"}}}, "podLabels"),
        ({"webhok": {}}, "webhok"),
        ({"webhook": {"replica": 3}}, "replica"),
        ({"ledger": {"persistence": {"enable": True}}}, "enable"),
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        render(values)


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(RefusedError, match="kubeVersion"):
        render(kubernetes="1.32.9")


def test_the_defaults_are_those_that_the_schema_knows() -> None:
    def known(schema: dict[str, Any], values: dict[str, Any]) -> set[str]:
        reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ())), "")
        schema = root["definitions"][reference.rpartition("/")[2]] if reference else schema
        properties = schema.get("properties", {})
        assert schema.get("additionalProperties") is False or not properties
        return set(values) - set(properties) if properties else set()

    root = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(defaults) | {"global"} == set(root["properties"])
    for name, value in defaults.items():
        if isinstance(value, dict):
            assert known(root["properties"][name], value) == set(), name


def test_servers_understand_the_settings() -> None:
    values = {
        "namespaces": ["ml", "research"],
        "allowedInjectedEnv": ["AWS_REGION"],
        "openlineage": {"url": "http://marquez:5000"},
        "docsUrl": "https://wiki.example/reasons",
        "webhook": {"timeoutSeconds": 7},
    }
    read = parse(settings(values, namespace="elsewhere"))
    assert read.namespace == "elsewhere"
    assert read.intercepted_namespaces == ("ml", "research")
    assert read.allowed_injected_env == ("AWS_REGION",)
    assert read.openlineage_url == "http://marquez:5000"
    assert read.docs_url == "https://wiki.example/reasons"
    assert read.webhook_timeout_seconds == 7
    assert read.sidecar_image == "lineward.local/lineward-sidecar:dev"
    assert read.ledger_url == "http://lineward-ledger.elsewhere.svc:8080"
    assert read.sidecar_limits == {"memory": "128Mi"}


@pytest.mark.parametrize(
    ("kubernetes", "given", "expected"),
    [
        ("1.33.0", None, False),
        ("1.34.9", None, False),
        ("1.35.0", None, True),
        ("1.35.4-gke.100", None, True),
        ("1.36.1", None, True),
        ("1.36.1", False, False),
        ("1.34.0", True, True),
    ],
)
def test_restart_rules_follow_the_server_unless_set(kubernetes: str, given: bool | None, expected: bool) -> None:  # noqa: FBT001
    values = {"sidecar": {"containerRestartRules": given}}
    assert settings(values, kubernetes=kubernetes)["containerRestartRules"] is expected


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "lineward.local/lineward-webhook:dev"),
        ({"image": {"tag": ""}}, "lineward.local/lineward-webhook:0.1.0"),
        ({"image": {"registry": "r.example:5000/a"}}, "r.example:5000/a/lineward-webhook:dev"),
        ({"webhook": {"image": {"tag": "x"}}}, "lineward.local/lineward-webhook:x"),
        ({"webhook": {"image": {"digest": DIGEST}}}, f"lineward.local/lineward-webhook@{DIGEST}"),
        ({"webhook": {"image": {"registry": "r", "repository": "w"}}}, "r/w:dev"),
    ],
    ids=str,
)
def test_images(values: dict[str, Any], image: str) -> None:
    assert pod(one("Deployment", "lineward-webhook", values))["containers"][0]["image"] == image


def test_pull_secrets_reach_every_pod() -> None:
    for workload in workloads({"image": {"pullSecrets": ["a", "b"]}}):
        assert pod(workload)["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


def test_the_ledger_keeps_its_volume_or_says_so() -> None:
    kept = one("StatefulSet", "lineward-ledger", {"ledger": {"persistence": {"enabled": True, "storageClass": "fast"}}})
    (claim,) = kept["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert kept["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    lost = one("StatefulSet", "lineward-ledger")
    assert "volumeClaimTemplates" not in lost["spec"]
    assert {"name": "data", "emptyDir": {}} in pod(lost)["volumes"]


def test_certificates_come_from_where_the_values_say() -> None:
    def secrets(values: dict[str, Any]) -> set[str]:
        return {each["metadata"]["name"] for each in kind("Secret", values)}

    def mounted(values: dict[str, Any]) -> str:
        sources = pod(one("Deployment", "lineward-webhook", values))["volumes"][0]["projected"]["sources"]
        (secret,) = [source["secret"] for source in sources if "secret" in source]
        assert not secret.get("optional"), "a certificate that comes later would be seen a minute later"
        return str(secret["name"])

    assert secrets({}) == {"lineward-webhook-tls", "lineward-webhook-ca"}
    assert all("data" not in each and "stringData" not in each for each in kind("Secret"))
    existing = {"tls": {"mode": "existingSecret", "existingSecret": "mine"}}
    assert (secrets(existing), mounted(existing), settings(existing)["webhookSecret"]) == (set(), "mine", "mine")
    managed: dict[str, Any] = {"tls": {"mode": "certManager"}}
    assert (secrets(managed), len(kind("Certificate", managed)), len(kind("Issuer", managed))) == (set(), 2, 2)
    managed["tls"]["certManager"] = {"issuerRef": {"name": "corporate", "kind": "ClusterIssuer"}}
    (certificate,) = kind("Certificate", managed)
    assert certificate["spec"]["issuerRef"] == {"name": "corporate", "kind": "ClusterIssuer"}
    assert certificate["spec"]["secretName"] == mounted(managed)
    assert "lineward-webhook.lineward-system.svc" in certificate["spec"]["dnsNames"]


def test_everything_is_in_the_release_namespace() -> None:
    cluster = {
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    values = {"networkPolicy": {"enabled": True}, "namespaces": ["ml"]}
    for found in objects(values, namespace="elsewhere"):
        if found["kind"] not in cluster:
            assert found["metadata"]["namespace"] == "elsewhere", found["metadata"]["name"]
    assert "lineward-system" not in render(values, namespace="elsewhere")
