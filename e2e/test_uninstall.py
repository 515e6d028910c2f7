"""Installing, upgrading and uninstalling: no pod is blocked that nobody protects, and nothing of value is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.crds.cases import example, examples

from e2e.conftest import NAMESPACE as GUARDED
from e2e.support import setup
from e2e.support.kubectl import Kubectl, Object, wait_for
from e2e.support.release import CHART, NAME, Release
from e2e.support.release import NAMESPACE as OWN
from e2e.support.storage import Storage

CLAIM = "data-lineward-ledger-0"
KEPT: dict[str, Any] = {"ledger": {"persistence": {"enabled": True}}, "webhook": {"replicas": 1}}
CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
CLUSTER_WIDE, PART = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies",
    "app.kubernetes.io/part-of=lineward",
)
LEFT_BY_HOOK = "serviceaccount,configmap,role,rolebinding,job"


@pytest.fixture(scope="module")
def prepared(target: setup.Target) -> Iterator[Release]:
    """Lineward uninstalled, a volume for its ledger, and an object."""
    release = Release(target.kubectl, target.helm)
    release.uninstall()
    node = target.kubectl.items("nodes")[0]["metadata"]["name"]
    storage = Storage(target.kubectl, node, f"{target.disk}/{OWN}", setup.TRAINER, OWN)
    target.kubectl.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in (OWN, GUARDED)))
    storage.start()
    storage.claim(CLAIM, {})
    target.kubectl.within(GUARDED).delete("datasetversion", "german-credit-1.0.0")
    target.kubectl.apply(_dataset())
    yield release
    release.uninstall()
    release.own.delete("pvc", CLAIM)
    target.kubectl.delete("pv", f"{OWN}-{CLAIM}")
    target.kubectl.within(GUARDED).delete("datasetversion", "german-credit-1.0.0")
    target.kubectl.delete(f"{CLUSTER_WIDE},validatingadmissionpolicybindings", "-l", PART)


@pytest.fixture
def lineward(target: setup.Target, prepared: Release) -> Release:
    """The release, installed and keeping its ledger."""
    if prepared.status() != "deployed":
        prepared.install([GUARDED], target.build, KEPT)
    return prepared


def sleeper(name: str) -> Object:
    """A pod that stays where it is put and mounts nothing."""
    spec = {"schedulingGates": [{"name": "example.com/wait"}], "containers": [{"name": "c", "image": "x"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def pods_are_admitted(kubectl: Kubectl) -> bool:
    done = kubectl.within(GUARDED).run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(sleeper("p")).encode())
    return done.returncode == 0


def registered(kubectl: Kubectl) -> list[Object]:
    return [found for kind in CONFIGURATIONS if (found := kubectl.get(kind, NAME))]


def assert_gone_but_kept(release: Release, claim: Object) -> None:
    """Nothing blocks or runs; kinds, objects and the ledger's volume are there, and so is nothing of the hook."""
    cluster = release.kubectl
    assert registered(cluster) == []
    assert pods_are_admitted(cluster)
    assert release.own.items("deployments,statefulsets,services,secrets") == []
    assert not [one for one in release.own.items(LEFT_BY_HOOK) if one["metadata"]["name"] == "lineward-uninstall"]
    assert cluster.items(CLUSTER_WIDE, "-l", PART) == []
    assert cluster.within(GUARDED).get("datasetversion", "german-credit-1.0.0")
    assert len(cluster.items("crd", "-l", "app.kubernetes.io/managed-by=Helm")) in {0, len(examples())}
    for name in examples():
        assert cluster.get("crd", f"{_plural(name)}.lineward.dev")
    assert release.own.get("pvc", CLAIM)["metadata"]["uid"] == claim["metadata"]["uid"]


def _started(release: Release, component: str) -> list[Object]:
    """The component's pods, without those of an earlier release that are still ending."""
    pods = release.own.items("pods", "-l", f"app.kubernetes.io/component={component}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _plural(name: str) -> str:
    return f"{name.removesuffix('y')}ies" if name.endswith("y") else f"{name}s"


def _dataset() -> Object:
    found = example("datasetversion")
    found["metadata"]["namespace"] = GUARDED
    return found


def test_nothing_is_blocked_before_the_gate_works(target: setup.Target, prepared: Release) -> None:
    values = {
        "namespaces": [GUARDED],
        "image": {"registry": "lineward.local", "tag": "dev"},
        "operator": {"image": {"repository": "missing"}},
        **KEPT,
    }
    prepared.run("install", NAME, str(CHART), "--namespace", OWN, "--values", "-", stdin=json.dumps(values))
    wait_for("webhook pods", lambda: _started(prepared, "webhook"), 60)
    assert registered(target.kubectl) == []
    assert pods_are_admitted(target.kubectl)
    prepared.install([GUARDED], target.build, KEPT)
    assert len(registered(target.kubectl)) == len(CONFIGURATIONS)
    assert pods_are_admitted(target.kubectl)


def test_an_upgrade_reaches_the_webhooks(target: setup.Target, lineward: Release) -> None:
    secret = lineward.own.get("secret", "lineward-webhook-tls")["data"]
    lineward.install([GUARDED], target.build, {**KEPT, "webhook": {"replicas": 1, "timeoutSeconds": 4}})
    wait_for(
        "the new timeout",
        lambda: all(found["webhooks"][0]["timeoutSeconds"] == 4 for found in registered(target.kubectl)),
        120,
    )
    assert lineward.own.get("secret", "lineward-webhook-tls")["data"] == secret
    assert pods_are_admitted(target.kubectl)


def test_uninstalling_blocks_nothing_and_keeps_what_is_of_value(lineward: Release) -> None:
    claim = lineward.own.get("pvc", CLAIM)
    lineward.uninstall()
    assert_gone_but_kept(lineward, claim)


def test_uninstalling_works_when_all_is_dead_or_gone(target: setup.Target, lineward: Release) -> None:
    claim = lineward.own.get("pvc", CLAIM)
    lineward.stop("webhook", "operator")
    lineward.own.delete("deployment", "lineward-operator")
    target.kubectl.delete("mutatingwebhookconfiguration", NAME)
    assert not pods_are_admitted(target.kubectl)
    lineward.uninstall()
    assert_gone_but_kept(lineward, claim)


def test_deleting_the_namespace_takes_the_gate_along(target: setup.Target, lineward: Release) -> None:
    target.kubectl.delete("namespace", OWN)
    wait_for("the gate gone", lambda: not registered(target.kubectl), 60)
    assert pods_are_admitted(target.kubectl)
    assert lineward.kubectl.within(GUARDED).get("datasetversion", "german-credit-1.0.0")
