"""Pods as the kubelet reports them, with what the webhook had injected."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from lineward.domain.injection import verify_command
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import PodVerdict, Verdict, VolumeVerdict

Json = dict[str, Any]
IMAGE = "registry.local/lineward-sidecar:1"
ROOT = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
JOB = "11111111-1111-4111-8111-111111111111"
PLAN = Plan(
    mode="enforce",
    policies=("training",),
    volumes=(
        PlannedVolume(
            "data", "/lineward/data/data", claim="credit", resource="credit-1", dataset="credit", version="1", root=ROOT
        ),
    ),
    outputs=(PlannedOutput("out", "/lineward/outputs/out", "model"),),
    owner_kind="Job",
    owner_name="train",
    owner_uid=JOB,
)
AUDIT = replace(PLAN, mode="audit")
GOOD = VolumeVerdict(
    "data",
    Verdict.VERIFIED,
    Reason.VERIFIED,
    "credit",
    "1",
    expected=ROOT,
    observed=ROOT,
    files=3,
    bytes=12,
    seconds=0.5,
)
BAD = replace(GOOD, verdict=Verdict.REFUSED, reason=Reason.CONTENT_DIFFERS, observed=OTHER, changed=("modified a.csv",))
VERIFIED = PodVerdict("3 files match", Verdict.VERIFIED, Reason.VERIFIED, "enforce", (GOOD,))
REFUSED = PodVerdict("modified a.csv", Verdict.REFUSED, Reason.CONTENT_DIFFERS, "enforce", (BAD,))


def pod(name: str = "train-x", uid: str = "", plan: Plan = PLAN, **more: Any) -> Json:
    """An injected pod that waits for verify; `more` goes into metadata."""
    refs = []
    if plan.owner_uid:
        refs = [
            {
                "apiVersion": "batch/v1",
                "kind": plan.owner_kind,
                "name": plan.owner_name,
                "uid": plan.owner_uid,
                "controller": True,
            }
        ]
    return {
        "metadata": {
            "name": name,
            "namespace": "ml",
            "uid": uid or str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
            "ownerReferences": refs,
            "creationTimestamp": "2026-11-22T12:00:00Z",
            **more,
        },
        "spec": {
            "initContainers": [
                {
                    "name": "lineward-verify",
                    "image": IMAGE,
                    "command": verify_command(plan.encode()),
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/lineward/data/data"},
                        {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
                    ],
                    "env": [{"name": "LINEWARD_POD_UID"}],
                }
            ],
            "containers": [{"name": "main", "image": "trainer"}],
        },
        "status": {"phase": "Pending", "startTime": "2026-11-22T12:00:01Z"},
    }


def verified(obj: Json, found: PodVerdict | str = VERIFIED, code: int = 0) -> Json:
    """Verify has ended, and left a message."""
    message = found if isinstance(found, str) else found.encode()
    ended = {"exitCode": code, "message": message, "finishedAt": "2026-11-22T12:00:05Z", "reason": "Completed"}
    verify = {"name": "lineward-verify", "state": {"terminated": ended}, "imageID": "sha256:cafe"}
    return {**obj, "status": {**obj["status"], "initContainerStatuses": [verify]}}


def running(obj: Json) -> Json:
    """The training container runs."""
    main = {"name": "main", "state": {"running": {"startedAt": "2026-11-22T12:00:06Z"}}}
    return {**obj, "status": {**obj["status"], "phase": "Running", "containerStatuses": [main]}}


def ended(obj: Json, phase: str = "Succeeded", at: str = "2026-11-22T12:01:00Z") -> Json:
    """The pod has ended; its training container only where verify let it start."""
    status = {**obj["status"], "phase": phase}
    if status.get("containerStatuses"):
        done = {"exitCode": 0 if phase == "Succeeded" else 1, "startedAt": "2026-11-22T12:00:06Z", "finishedAt": at}
        status["containerStatuses"] = [{"name": "main", "state": {"terminated": done}}]
    return {**obj, "status": status}


def refused(obj: Json) -> Json:
    """Verify stopped the pod."""
    return ended(verified(obj, REFUSED, 86), "Failed")
