"""Training Jobs as a data scientist writes them, in which nothing knows about Lineward, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from e2e.support.kubectl import Kubectl, Object, wait_for
from lineward.domain import verdict
from lineward.domain.verdict import PodVerdict


def training_job(
    name: str,
    image: str,
    data: Mapping[str, str],
    *,
    output: str = "",
    seconds: int = 0,
    pod: Mapping[str, Any] | None = None,
) -> Object:
    """A Job that trains on claims (`data`: volume name to claim, the first mounted at /data) and writes to `output`."""
    mounts = [
        {"name": volume, "mountPath": "/data" if i == 0 else f"/{volume}", "readOnly": True}
        for i, volume in enumerate(data)
    ]
    volumes: list[Object] = [
        {"name": volume, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        for volume, claim in data.items()
    ]
    args = ["--data", "/data", "--seconds", str(seconds)]
    if output:
        mounts.append({"name": "model", "mountPath": "/model"})
        volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": output}})
        args += ["--model", "/model"]
    container = {
        "name": "train",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}},
        "volumeMounts": mounts,
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
        "containers": [container],
        "volumes": volumes,
        **(pod or {}),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
    }


def submit(kubectl: Kubectl, job: Mapping[str, Any]) -> str:
    """Submit anew, removing an older Job of that name; returns the Job's name."""
    name: str = job["metadata"]["name"]
    kubectl.delete("job", name)
    kubectl.apply(job)
    return name


def pod_of(kubectl: Kubectl, job: str) -> Object | None:
    """The Job's newest pod, or None when the Job has none."""
    pods = kubectl.items("pods", "-l", f"batch.kubernetes.io/job-name={job}")
    return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def wait_for_pod(kubectl: Kubectl, job: str, seconds: float = 60) -> Object:
    """The Job's pod, once there is one."""
    return wait_for(f"a pod of job {job}", lambda: pod_of(kubectl, job), seconds)


def wait_for_end(kubectl: Kubectl, job: str, seconds: float = 180) -> Object:
    """The Job's pod, once it has succeeded or failed."""

    def ended() -> Object | None:
        pod = pod_of(kubectl, job)
        return pod if pod and pod["status"].get("phase") in {"Succeeded", "Failed"} else None

    return wait_for(f"the end of job {job}", ended, seconds)


def denial(kubectl: Kubectl, job: str, seconds: float = 60) -> str:
    """Why the Job's pods are not created, as the Job's FailedCreate event says it."""

    def failed_create() -> str:
        uid = kubectl.get("job", job)["metadata"]["uid"]
        events = kubectl.items("events", "--field-selector", f"involvedObject.uid={uid},reason=FailedCreate")
        return str(events[-1]["message"]) if events else ""

    return wait_for(f"a FailedCreate event on job {job}", failed_create, seconds)


def container_status(pod: Mapping[str, Any], name: str) -> Object:
    """Status of an init or app container by name; empty when the kubelet has not reported one."""
    status = pod.get("status", {})
    every = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((dict(one) for one in every if one["name"] == name), {})


def was_started(pod: Mapping[str, Any], name: str) -> bool:
    """Whether the container ever ran: it has a running or terminated state with a start time."""
    status = container_status(pod, name)
    states = [*status.get("state", {}).values(), *status.get("lastState", {}).values()]
    return any(state.get("startedAt") for state in states)


def running(kubectl: Kubectl, job: str, name: str) -> str:
    """Id of a container of the Job's pod while it runs, else empty."""
    status = container_status(pod_of(kubectl, job) or {}, name)
    return str(status["containerID"]) if "running" in status.get("state", {}) else ""


def verdict_of(pod: Mapping[str, Any]) -> PodVerdict:
    """What lineward-verify left as its termination message."""
    return verdict.decode(container_status(pod, "lineward-verify")["state"]["terminated"]["message"])
