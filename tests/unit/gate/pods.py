"""Pods as the API server shows them to webhooks, a cluster around them, and what the two passes make of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.unit.evidence.samples import NOW, a_dataset, a_policy, an_evidence

from lineward.domain import conformity, podspec, trustroot
from lineward.domain.dataset import ClaimVolume, DatasetVersion, ImageVolume
from lineward.domain.decision import Decision, decide
from lineward.domain.injection import inject, strip, without_ours
from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward.domain.settings import Settings
from lineward.domain.world import World

Json = dict[str, Any]
SETTINGS = Settings(
    sidecar_image="registry.example/lineward-sidecar@sha256:" + "55" * 32,
    container_restart_rules=True,
    ledger_url="http://lineward-ledger.lineward-system:8080",
    allowed_injected_env=("AWS_ROLE_ARN", "LD_PRELOAD"),
)
IMAGE = "registry/x@sha256:" + "aa" * 32
LISTED_NFS = {"server": "nfs.example", "path": "/export/credit"}
ROOTS = {"default": trustroot.make("default", "{}")}
DATASET = a_dataset(attestations=[{"bundle": "{}"}])


def a_pod() -> Json:
    """A Job's pod with a data claim, an output claim and a scratch volume."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "train-",
            "namespace": "ml",
            "labels": {"batch.kubernetes.io/job-name": "train"},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "j-1", "controller": True}
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "trainer",
                    "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                    "securityContext": {"runAsUser": 1000},
                    "terminationMessagePath": "/dev/termination-log",
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/data"},
                        {"name": "out", "mountPath": "/out"},
                        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - as frameworks do
                        {
                            "name": "kube-api-access-abcde",
                            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                            "readOnly": True,
                        },
                    ],
                }
            ],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "credit"}},
                {"name": "out", "persistentVolumeClaim": {"claimName": "model-out"}},
                {"name": "shm", "emptyDir": {"medium": "Memory"}},
                {
                    "name": "kube-api-access-abcde",
                    "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]},
                },
            ],
        },
    }


def a_world(dataset: DatasetVersion | None = DATASET, mode: str = "enforce", **changes: Any) -> World:
    """A namespace with one claim that is vouched for, one that may be written, and one policy."""
    outputs = [{"persistentVolumeClaim": {"name": "model-out"}}]
    policy = a_policy(mode=mode, volumes={"outputs": outputs, "hostPaths": ["/opt/cache"], "nfs": [LISTED_NFS]})
    evidence = {(DATASET.attestations[0].digest, ROOTS["default"].digest): an_evidence()}
    named = {ClaimVolume("credit"): (dataset,), ImageVolume(IMAGE): (dataset,)} if dataset else {}
    world = World(
        namespace="ml",
        now=NOW,
        namespace_labels={},
        policies=(policy,),
        trust_roots=ROOTS,
        datasets=named,  # type: ignore[arg-type]
        evidence=evidence,  # type: ignore[arg-type]
    )
    return replace(world, **changes)


def with_change(change: Callable[[Json], object], pod: Json | None = None) -> Json:
    """A copy of the pod, changed in place by the function."""
    made = copy.deepcopy(pod or a_pod())
    change(made)
    return made


def of_another_version(pod: Json) -> None:
    """Give the plan of an injected pod a field that this version does not know."""
    for container in pod["spec"]["initContainers"]:
        command = container["command"]
        place = command.index("--plan") + 1
        command[place] = json.dumps({**json.loads(command[place]), "unheardOf": 1})


def decided(pod: Json, world: World | None = None) -> Decision:
    return decide(without_ours(podspec.parse(pod)), world or a_world(), SETTINGS)


def mutated(pod: Json, world: World | None = None) -> Json:
    """What the mutating pass makes of a pod."""
    decision = decided(pod, world)
    stripped = strip(pod)
    return inject(stripped, decision.injection, SETTINGS) if decision.injection and decision.allowed else stripped


def validated(pod: Json, world: World | None = None) -> tuple[Refusal, ...]:
    """What the validating pass says of the pod that reaches it."""
    decision = decided(pod, world)
    if decision.denials:
        return decision.denials
    objection = conformity.objection(pod, decision.injection, SETTINGS)
    return (objection,) if objection else ()


def reasons(refusals: tuple[Refusal, ...]) -> list[Reason]:
    return [refusal.reason for refusal in refusals]


def admitted(pod: Json, world: World | None = None) -> tuple[Refusal, ...]:
    """Refusals of a pod that goes through both passes as Kubernetes sends it."""
    return validated(mutated(pod, world), world)
