"""Installing, upgrading and uninstalling: no pod is blocked that nobody protects, and nothing of value is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest
from tests.crds.cases import example, examples

from e2e.conftest import NAMESPACE as GUARDED
from e2e.sigstore.stack import Stack
from e2e.support import setup
from e2e.support.kubectl import Kubectl, Object, wait_for
from e2e.support.release import CHART, NAME, Release
from e2e.support.release import NAMESPACE as OWN
from e2e.support.world import Identity, World

CLAIM = "data-lineward-ledger-0"
KEPT: dict[str, Any] = {"ledger": {"persistence": {"enabled": True}}, "webhook": {"replicas": 1}}
CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
CLUSTER_WIDE, PART = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies",
    "app.kubernetes.io/part-of=lineward",
)
CREATE = ("create", "-f", "-")
LEFT_BY_HOOK = "serviceaccount,configmap,role,rolebinding,job"


@pytest.fixture(scope="module")
def prepared(target: setup.Target) -> Iterator[Release]:
    """Lineward uninstalled, a volume for its ledger, and an object."""
    release = Release(target.kubectl, target.helm)
    if not target.kubectl.get("crd", "datasetversions.lineward.dev"):
        release.install([GUARDED], target.build)  # alone, after no other module, these tests bring the kinds themselves
    release.uninstall()
    storage = setup.disk(target, OWN)
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


@pytest.fixture
def protected(target: setup.Target, private_sigstore: Stack, lineward: Release, team: Identity) -> Iterator[World]:
    """The guarded namespace under enforce, with vouched data and a pod `old` on it that waits to be scheduled.

    As nothing ever runs, the data lies on no disk.
    """
    world = setup.world(target, private_sigstore, GUARDED)
    world.prepare()
    target.kubectl.apply(_dataset())
    world.set_policy("enforce", team)
    world.attest({"train.csv": b"1,2\n"}, "upgraded", team, dataset="upgraded", version="1")
    world.kubectl.delete("pod", "old")
    wait_for("its evidence to be known", lambda: world.kubectl.run(*CREATE, stdin=_trainer(world)).returncode == 0, 60)
    yield world
    world.kubectl.delete("pod", "old")
    target.kubectl.delete("provenancepolicy", world.policy_name)


@dataclass
class Created:
    """What became of the pods that were created: how many were admitted, and what was said to the others."""

    admitted: int = 0
    refused: list[str] = field(default_factory=list)


@contextmanager
def creating(world: World) -> Iterator[Created]:
    """Create protected pods one after the other meanwhile, though only for the API server to try."""
    found, done = Created(), Event()

    def create() -> None:
        while not done.is_set():
            answer = world.kubectl.run(*CREATE, "--dry-run=server", stdin=_trainer(world, "new"))
            if answer.returncode:
                found.refused.append(answer.stderr.decode())
            else:
                found.admitted += 1

    with ThreadPoolExecutor(1) as pool:
        loop = pool.submit(create)
        try:
            yield found
        finally:
            done.set()
    loop.result()


def tried(world: World) -> Object:
    """A protected pod as it would be created now."""
    text = world.kubectl(*CREATE, "--dry-run=server", "-o", "json", stdin=_trainer(world, "new"))
    return dict(json.loads(text))


def _trainer(world: World, name: str = "old") -> bytes:
    """A training pod that waits, as JSON."""
    template = world.job(name, {"data": "upgraded"})["spec"]["template"]
    template["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": name}}).encode()


def _verify_image(pod: Object) -> str:
    (verify,) = [one for one in pod["spec"]["initContainers"] if one["name"] == "lineward-verify"]
    return str(verify["image"])


def _without_image(release: Release) -> bool:
    """Whether a replica of the webhook waits for an image that is nowhere."""
    waiting = [
        status["state"].get("waiting", {}).get("reason")
        for pod in _started(release, "webhook")
        for status in pod["status"].get("containerStatuses", [])
    ]
    return bool({"ErrImagePull", "ImagePullBackOff"} & set(waiting))


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


def test_an_upgrade_reaches_the_webhooks_and_disturbs_nobody(target: setup.Target, protected: World) -> None:
    """One that cannot work, and then the right one; protected pods come all the while, and an older one stays as free
    as it was.
    """
    kubectl, lineward = protected.kubectl, Release(target.kubectl, target.helm)
    secret = lineward.own.get("secret", "lineward-webhook-tls")["data"]
    old = kubectl.get("pod", "old")
    with creating(protected) as created:
        broken = ["--namespace", OWN, "--reuse-values", "--set", "webhook.image.repository=missing"]
        lineward.run("upgrade", NAME, str(CHART), *broken)
        wait_for("a webhook without image", lambda: _without_image(lineward), 60)
        newer = {"webhook": {"replicas": 1, "timeoutSeconds": 4}, "sidecar": {"image": {"tag": "next"}}}
        lineward.install([GUARDED], target.build, {**KEPT, **newer})
        wait_for(
            "the new timeout",
            lambda: all(found["webhooks"][0]["timeoutSeconds"] == 4 for found in registered(target.kubectl)),
            120,
        )
    assert created.refused == []
    assert created.admitted > 5
    assert lineward.own.get("secret", "lineward-webhook-tls")["data"] == secret

    assert _verify_image(old) == "lineward.local/lineward-sidecar:dev"
    newest = "lineward.local/lineward-sidecar:next"
    wait_for("the new webhook alone answers", lambda: _verify_image(tried(protected)) == newest, 60)
    kubectl("label", "pod", "old", "team=fraud")
    kubectl("set", "image", "pod/old", "train=example.com/trainer:2")
    assert b"cannot change after admission" in kubectl.run("label", "pod", "old", "lineward.dev/x=y").stderr
    new = kubectl.get("pod", "old")
    assert (new["metadata"]["labels"]["team"], new["spec"]["containers"][0]["image"]) == (
        "fraud",
        "example.com/trainer:2",
    )
    assert new["spec"]["initContainers"] == old["spec"]["initContainers"]


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
