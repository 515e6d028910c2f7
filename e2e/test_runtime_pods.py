"""Verify and sidecar in real pods, without a release: what the kubelet reports of them, and how pods begin and end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from e2e.support.kubectl import Kubectl, wait_for
from e2e.support.runtime_pods import TrainingPod, ledger_objects
from e2e.support.setup import Target
from lineward.domain import verdict as verdicts
from lineward.domain.reasons import Reason
from lineward.domain.verdict import PodVerdict, Verdict

NAMESPACE = "lineward-runtime-e2e"
LEDGER = f"http://lineward-ledger.{NAMESPACE}:8080"
Run = Callable[[TrainingPod], "Ended"]


class Ended:
    """A pod as the API server shows it."""

    def __init__(self, pod: dict[str, Any]) -> None:
        self.phase: str = pod["status"]["phase"]
        status = pod["status"]
        self._containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]

    def terminated(self, container: str) -> dict[str, Any]:
        """State of a container that ended; empty for one that did not, or never started."""
        found = next(each for each in self._containers if each["name"] == container)
        return dict(found["state"].get("terminated", {}))

    @property
    def verdict(self) -> PodVerdict:
        return verdicts.decode(self.terminated("lineward-verify")["message"])

    def lag(self) -> float:
        """Seconds from the end of the trainer to that of the sidecar."""
        ends = [
            datetime.fromisoformat(self.terminated(name)["finishedAt"]).timestamp()
            for name in ("train", "lineward-sidecar")
        ]
        return ends[1] - ends[0]


@pytest.fixture(scope="module")
def kubectl(target: Target) -> Iterator[Kubectl]:
    kubectl = target.kubectl.within(NAMESPACE)
    kubectl.delete("namespace", NAMESPACE)
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kubectl.apply(*ledger_objects(NAMESPACE))
    kubectl("wait", "--for=condition=Ready", "pod/ledger", "--timeout=120s")
    yield kubectl
    kubectl("delete", "clusterrolebinding", NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def run(kubectl: Kubectl) -> Run:
    def submit(pod: TrainingPod) -> Ended:
        kubectl.apply(pod.manifest())
        return wait_for(f"the end of {pod.name}", lambda: ended(kubectl, pod.name))

    return submit


def ended(kubectl: Kubectl, name: str) -> Ended | None:
    pod = Ended(kubectl.get("pod", name))
    return pod if pod.phase in {"Succeeded", "Failed"} else None


def events(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    """Lineage events of a pod, read with the command as a person would."""
    command = [sys.executable, "-m", "lineward.cli.main", "ledger", "events", "-o", "json", "--limit", "0"]
    command += ["--namespace", NAMESPACE, "--run", str(kubectl.get("pod", name)["metadata"]["uid"])]
    environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    return list(json.loads(done.stdout))


def metrics(kubectl: Kubectl, name: str) -> str:
    done = kubectl.run("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:9465/proxy/metrics")
    return done.stdout.decode()


@pytest.mark.parametrize("uid", [65532, 1000])
def test_signed_bytes_let_training_start_and_the_end_is_not_delayed(run: Run, kubectl: Kubectl, uid: int) -> None:
    pod = run(TrainingPod(f"good-{uid}", uid=uid, train="sleep 3", ledger=LEDGER))
    assert (pod.phase, pod.verdict.verdict) == ("Succeeded", Verdict.VERIFIED)
    assert pod.terminated("lineward-sidecar")["exitCode"] == 0
    assert pod.lag() <= 2
    start, *_ = events(kubectl, f"good-{uid}")
    assert start["eventType"] == "START"
    assert start["inputs"][0]["inputFacets"]["lineward_verification"]["verdict"] == "Verified"


@pytest.mark.parametrize("restart", ["Never", "OnFailure", "Always"])
def test_one_changed_byte_fails_the_pod_at_once_whatever_its_restart_policy(run: Run, restart: str) -> None:
    pod = run(TrainingPod(f"changed-{restart.lower()}", seed="printf '1,3\\n' > train.csv", restart=restart))
    assert (pod.phase, pod.terminated("lineward-verify")["exitCode"]) == ("Failed", 86)
    assert (pod.verdict.verdict, pod.verdict.reason) == (Verdict.REFUSED, Reason.CONTENT_DIFFERS)
    assert not pod.terminated("train")


def test_unreadable_file_cannot_be_told(run: Run) -> None:
    pod = run(TrainingPod("unreadable", seed="chmod 0 train.csv", uid=1000))
    assert (pod.phase, pod.terminated("lineward-verify")["exitCode"]) == ("Failed", 87)
    assert pod.verdict.reason is Reason.UNREADABLE
    assert "train.csv" in pod.verdict.message
    assert not pod.terminated("train")


def test_audit_reports_and_lets_train(run: Run) -> None:
    pod = run(TrainingPod("audited", seed="touch new.csv", mode="audit"))
    assert (pod.phase, pod.terminated("lineward-verify")["exitCode"]) == ("Succeeded", 0)
    assert pod.verdict.verdict is Verdict.REFUSED


def test_ledger_that_is_away_delays_neither_start_nor_end(run: Run) -> None:
    pod = run(TrainingPod("alone", train="true", ledger=f"http://nowhere.{NAMESPACE}:8080"))
    assert pod.phase == "Succeeded"
    assert pod.lag() <= 4


def test_data_that_changes_during_the_run_is_observed(kubectl: Kubectl) -> None:
    kubectl.apply(TrainingPod("watched", train="sleep 600", beside="sleep 600", ledger=LEDGER).manifest())
    walked = 'lineward_censuses_total{result="same",volume="data"}'
    wait_for("the first census", lambda: walked in metrics(kubectl, "watched"))
    kubectl("exec", "watched", "-c", "beside", "--", "/bin/sh", "-c", "echo 9,9 > /data/train.csv")
    wait_for("the change", lambda: 'lineward_data_changed{volume="data"} 1.0' in metrics(kubectl, "watched"))

    def told() -> list[dict[str, Any]]:
        facets = [event["inputs"][0]["inputFacets"] for event in events(kubectl, "watched")]
        return [facet["lineward_census"] for facet in facets if facet.get("lineward_census", {}).get("changed")]

    assert wait_for("the event", told, every=2)[0]["reason"] == Reason.DATA_CHANGED_DURING_RUN.value
    kubectl.delete("pod", "watched", "--grace-period=1")


def test_events_wait_for_a_ledger_that_comes_back(kubectl: Kubectl) -> None:
    kubectl.delete("pod", "ledger")
    kubectl.apply(TrainingPod("patient", train="sleep 90", ledger=LEDGER).manifest())
    waiting = re.compile(r'lineward_ledger_spooled_events\{receiver="ledger"\} [1-9]')
    wait_for("the event to wait", lambda: waiting.search(metrics(kubectl, "patient")))
    kubectl.apply(*ledger_objects(NAMESPACE))
    kubectl("wait", "--for=condition=Ready", "pod/ledger", "--timeout=120s")
    assert wait_for("the event", lambda: events(kubectl, "patient"), every=2)[0]["eventType"] == "START"
    kubectl.delete("pod", "patient", "--grace-period=1")
