"""Tells people, on the pod and on its workload, what verify found; otherwise nobody sees why a Job does not start.

The name of an Event is made from what it says, so a restarted operator that says it again creates nothing new.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from lineward.domain import messages
from lineward.domain.conditions import timestamp
from lineward.domain.podstatus import Owner, PodRecord
from lineward.domain.verdict import Verdict
from lineward_operator.kubeio import EVENTS, Json, Kube, KubeError
from lineward_operator.world import World

COMPONENT = "lineward-operator"


async def announce(world: World, namespace: str, pod: PodRecord, workload: Owner) -> None:
    """Post the verdict on a pod and on its workload. Raises KubeError where the API server refuses."""
    target = Owner("Pod", pod.name, pod.uid, "v1")
    for about in dict.fromkeys((target, workload)):
        if about.api_version:
            await _post(world.kube, event(namespace, pod, about, world.now(), world.settings.docs_url), namespace)


def event(namespace: str, pod: PodRecord, about: Owner, now: datetime, docs: str = "") -> Json:
    """The Event about one object; `docs` is the URL of the page of reasons, empty where none is served."""
    digest = hashlib.sha256(json.dumps([about.uid, pod.uid, pod.reason, pod.message]).encode()).hexdigest()
    verified = pod.verdict is Verdict.VERIFIED
    step = "" if verified else f". Next step: {pod.reason.next_step}. See {pod.reason.docs(docs)}"
    said = pod.message.rstrip(".")
    note = messages.framed("", said, step) if about.uid == pod.uid else messages.of_pod(pod.name, said, step)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name[:200].rstrip('-.')}.{digest[:16]}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "namespace": namespace,
            "uid": about.uid,
        },
        "type": "Normal" if verified else "Warning",
        "reason": pod.reason.value,
        "message": note,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
    }


async def _post(kube: Kube, body: Json, namespace: str) -> None:
    try:
        await kube.create(EVENTS, body, namespace)
    except KubeError as error:
        if not error.conflict and not error.ending:
            raise
