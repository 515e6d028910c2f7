"""The operator is killed at random moments while pods go through their lives: nothing is lost, nothing is told twice.

A real API server, a real ledger and the real operator; the test plays kubelet and Job controller.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from tests.shell.operator import pods

from e2e.support.controlplane import ControlPlane, Json, control_plane, free_port, spawn, stop

ROOT = Path(__file__).resolve().parents[1]
JOBS = 10
PODS_PER_JOB = 2
STRAGGLER = "straggler"
KILLS = 8
SETTLED_WITHIN = 120.0
SYSTEM = "lineward-system"
RBAC = "rbac.authorization.k8s.io"
API = "/apis/lineward.dev/v1alpha1"
WRITER = f"system:serviceaccount:{SYSTEM}:lineward-operator"
POLICY = {
    "apiVersion": "lineward.dev/v1alpha1",
    "kind": "ProvenancePolicy",
    "metadata": {"name": "training"},
    "spec": {
        "match": {"namespaces": {"names": ["ml"]}},
        "mode": "enforce",
        "trustRootRef": {"name": "none"},
        "authorities": [{"name": "team", "keyless": {"issuer": "https://idp", "subject": "a@b.c"}}],
    },
}


@dataclass
class Theatre:
    """The control plane, the ledger, and an operator that can be killed."""

    plane: ControlPlane
    folder: Path
    ledger_port: int
    operator: subprocess.Popen[bytes] | None = None

    def start_operator(self) -> None:
        command = [
            *(Path(sys.executable).parent / "lineward-operator", "run", "--config", self.folder / "config.yaml"),
            *("--kubeconfig", self.plane.kubeconfig, "--port", free_port(), "--ledger-token", self.folder / "token"),
            *("--webhooks", self.folder),
        ]
        self.operator = spawn(command, self.folder / "operator.log")

    def kill_operator(self) -> None:
        assert self.operator is not None
        stop(self.operator, signal.SIGKILL)

    def runs(self) -> list[Json]:
        return list(self.plane.call("GET", f"{API}/namespaces/ml/trainingruns")["items"])

    def versions(self) -> dict[str, str]:
        return {run["metadata"]["name"]: run["metadata"]["resourceVersion"] for run in self.runs()}

    def entries(self) -> list[Json]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ledger_port}/api/v1/entries?limit=1000",
            headers={"Authorization": f"Bearer {(self.folder / 'token').read_text()}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the loopback
            return list(json.load(answer)["entries"])


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    with control_plane(tmp_path / "plane") as plane:
        for name in (SYSTEM, "ml"):
            plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        for name in ("lineward-operator", "lineward-ledger"):
            plane.call("POST", f"/api/v1/namespaces/{SYSTEM}/serviceaccounts", {"metadata": {"name": name}})
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            definition = yaml.safe_load(path.read_text())
            plane.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        subject = {"kind": "ServiceAccount", "name": "lineward-ledger", "namespace": SYSTEM}
        binding = {
            "metadata": {"name": "ledger"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:auth-delegator",
            },
            "subjects": [subject],
        }
        plane.call("POST", f"/apis/{RBAC}/v1/clusterrolebindings", binding)
        until(lambda: plane.call("GET", f"{API}/provenancepolicies", missing=True) != {})
        plane.call("POST", f"{API}/provenancepolicies", POLICY)
        gate = {"metadata": {"name": "lineward"}, "webhooks": []}
        plane.call("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", gate)
        time.sleep(
            1.1
        )  # pods of the second in which the gate was registered may have passed before it, and do not count
        found = Theatre(plane, tmp_path, free_port())
        ledger = _ledger(found)
        try:
            yield found
        finally:
            if found.operator is not None:
                stop(found.operator)
            stop(ledger)


def _ledger(theatre: Theatre) -> subprocess.Popen[bytes]:
    folder, plane = theatre.folder, theatre.plane
    (folder / "token").write_text(plane.token(SYSTEM, "lineward-operator", ["lineward-ledger"]))
    (folder / "api-token").write_text(plane.token(SYSTEM, "lineward-ledger"))
    settings = {
        "sidecarImage": pods.IMAGE,
        "ledgerUrl": f"http://127.0.0.1:{theatre.ledger_port}",
        "interceptedNamespaces": ["ml"],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    command = [
        *(Path(sys.executable).parent / "lineward-ledger", "--data", folder / "ledger", "--address", "127.0.0.1"),
        *("--port", theatre.ledger_port, "--writer", WRITER, "--api-server", plane.url),
        *("--api-token-file", folder / "api-token", "--api-ca-file", plane.authority),
    ]
    return spawn(command, folder / "ledger.log")


class Play:
    """Jobs and their pods, moved on one step at a time."""

    def __init__(self, plane: ControlPlane, luck: random.Random) -> None:
        self._plane, self._luck = plane, luck
        self.verdicts: dict[str, str] = {}
        """By pod uid."""
        self.jobs: dict[str, str] = {}
        """Phase by job uid."""
        self.stragglers: set[str] = set()
        """Names of pods that are deleted before they have a verdict; their names end with the word."""
        self._steps = [self._job(number) for number in range(JOBS)]

    def step(self) -> bool:
        """Move one of the jobs on; False when all have ended."""
        chosen = self._luck.choice(self._steps)
        if next(chosen, None) is None:
            self._steps.remove(chosen)
        return bool(self._steps)

    def _job(self, number: int) -> Iterator[str]:
        """One job's life: all its pods, the last of which decides how it ends."""
        name = f"train-{number}"
        spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "trainer"}]}}}
        job = self._plane.call("POST", "/apis/batch/v1/namespaces/ml/jobs", {"metadata": {"name": name}, "spec": spec})
        uid = job["metadata"]["uid"]
        yield name
        good = self._luck.random() < 0.6
        straggler = self._pod(f"{name}-{STRAGGLER}", name, uid, good=good)
        self.stragglers.add(next(straggler))
        yield name
        for index in range(PODS_PER_JOB):
            yield from self._pod(f"{name}-{index}", name, uid, good=good)
        phase = "Succeeded" if good else "Failed"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        path = f"/apis/batch/v1/namespaces/ml/jobs/{name}"
        before = {"Succeeded": "SuccessCriteriaMet", "Failed": "FailureTarget"}[phase]
        final = {"Succeeded": "Complete", "Failed": "Failed"}[phase]
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in (before, final)]
        ended = {"startTime": now, "conditions": conditions}
        if good:
            ended["completionTime"] = now
        self._plane.status(path, ended)
        self.jobs[uid] = phase

    def vanish(self) -> None:
        """Delete all stragglers, which no kubelet has seen, so that they are gone at once."""
        while self.stragglers:
            self._plane.call("DELETE", f"/api/v1/namespaces/ml/pods/{self.stragglers.pop()}?gracePeriodSeconds=0")

    def _pod(self, name: str, job: str, uid: str, *, good: bool) -> Iterator[str]:
        plan = replace(pods.PLAN, owner_name=job, owner_uid=uid)
        made = pods.pod(name, plan=plan)
        path = f"/api/v1/namespaces/ml/pods/{name}"
        spec = {"containers": made["spec"]["containers"], "initContainers": made["spec"]["initContainers"]}
        volumes = [{"name": "data", "emptyDir": {}}, {"name": "kube-api-access-x", "emptyDir": {}}]
        meta = {"name": name, "ownerReferences": made["metadata"]["ownerReferences"]}
        spec["initContainers"][0]["env"] = [{"name": "LINEWARD_POD_UID", "value": "x"}]
        body = {"metadata": meta, "spec": {**spec, "restartPolicy": "Never", "volumes": volumes}}
        pod_uid = self._plane.call("POST", "/api/v1/namespaces/ml/pods", body)["metadata"]["uid"]
        yield name
        states = [pods.verified(made), pods.running(pods.verified(made)), pods.ended(pods.running(pods.verified(made)))]
        for state in states if good else [pods.refused(made)]:
            self._plane.status(path, _complete(state["status"]))
            self.verdicts[pod_uid] = "Verified" if good else "Refused"
            yield name


def _complete(status: Json) -> Json:
    """The status with what the API server demands of container statuses."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(kind, ()):
            each.setdefault("image", "x")
            each.setdefault("imageID", "sha256:cafe")
            each.setdefault("ready", False)
            each.setdefault("restartCount", 0)
    return status


def until(done: Callable[[], bool], within: float = SETTLED_WITHIN) -> None:
    end = time.monotonic() + within
    while not done():
        assert time.monotonic() < end, "it did not settle in time"
        time.sleep(0.5)


def test_killed_at_any_moment_it_loses_nothing_and_repeats_nothing(theatre: Theatre) -> None:
    seed = int(os.environ.get("LINEWARD_SEED", time.time_ns() % 1_000_000))
    print(f"LINEWARD_SEED={seed}")
    luck = random.Random(seed)  # noqa: S311 - a repeatable story, no secret
    play, kills = Play(theatre.plane, luck), 0
    theatre.start_operator()
    next_kill = time.monotonic() + luck.uniform(2, 5)
    while play.step():
        time.sleep(luck.uniform(0, 0.3))
        if kills < KILLS and time.monotonic() > next_kill:
            _await_news(theatre)
            theatre.kill_operator()
            kills += 1
            theatre.start_operator()
            if kills % 2:
                _await_list(theatre)
            play.vanish()
            next_kill = time.monotonic() + luck.uniform(1.5, 5)
    play.vanish()
    until(lambda: _settled(theatre, play))
    assert kills > 2
    _check(theatre, play)
    before = (
        {run["metadata"]["name"]: run["metadata"]["resourceVersion"] for run in theatre.runs()},
        theatre.entries(),
    )
    theatre.kill_operator()
    theatre.start_operator()
    time.sleep(8)
    assert (theatre.versions(), theatre.entries()) == before
    _check(theatre, play)


def _await_news(theatre: Theatre) -> None:
    """Wait for the moment in which an Event was just posted, and ledger and status are still to be written."""
    path, end = "/api/v1/namespaces/ml/events?limit=500", time.monotonic() + 1.5
    before = len(theatre.plane.call("GET", path)["items"])
    while time.monotonic() < end and len(theatre.plane.call("GET", path)["items"]) == before:
        pass


def _await_list(theatre: Theatre) -> None:
    """Wait for the moment in which the operator has listed everything, and does not yet watch."""
    log = theatre.folder / "operator.log"
    before, end = log.read_text().count('"listed"'), time.monotonic() + 20
    while time.monotonic() < end and log.read_text().count('"listed"') == before:
        time.sleep(0.01)


def test_the_first_signal_ends_it(theatre: Theatre) -> None:
    theatre.start_operator()
    assert theatre.operator is not None
    until(lambda: '"listed"' in (theatre.folder / "operator.log").read_text())
    time.sleep(1)
    begun = time.monotonic()
    assert stop(theatre.operator) == 0
    assert time.monotonic() - begun < 10


def _settled(theatre: Theatre, play: Play) -> bool:
    runs = theatre.runs()
    recorded = [
        condition
        for run in runs
        for condition in (run.get("status") or {}).get("conditions", ())
        if condition["type"] == "Recorded" and condition["status"] == "True"
    ]
    ended = [run for run in runs if (run.get("status") or {}).get("phase") in {"Succeeded", "Failed"}]
    return len(runs) == len(recorded) == len(ended) == len(play.jobs)


def _check(theatre: Theatre, play: Play) -> None:
    runs = {run["spec"]["workloadRef"]["uid"]: run for run in theatre.runs()}
    assert {uid: run["status"]["phase"] for uid, run in runs.items()} == play.jobs
    listed = [pod for run in runs.values() for pod in run["status"]["pods"]]
    assert {pod["uid"]: pod["verdict"] for pod in listed if STRAGGLER not in pod["name"]} == play.verdicts
    lost = [pod for pod in listed if STRAGGLER in pod["name"]]
    assert {(pod["phase"], pod["verdict"]) for pod in lost} <= {("Failed", "Unknown")}
    entries = theatre.entries()
    said = [e["body"] for e in entries if e["kind"] == "verdict"]
    verdicts = Counter((body["podUid"], body["verdict"]) for body in said if STRAGGLER not in body["pod"])
    assert verdicts == Counter(play.verdicts.items())
    assert sorted(e["run"] for e in entries if e["kind"] == "run") == sorted(play.jobs)
    told = {(e["run"], e["body"]["eventType"]) for e in entries if e["kind"] == "lineage"}
    final = {"Succeeded": "COMPLETE", "Failed": "FAIL"}
    assert {(uid, "START") for uid in play.jobs} <= told
    assert {(uid, final[phase]) for uid, phase in play.jobs.items()} <= told
    events = theatre.plane.call("GET", "/api/v1/namespaces/ml/events")["items"]
    told_of = [event for event in events if STRAGGLER not in event["involvedObject"]["name"] + event["message"]]
    assert len(told_of) == 2 * len(play.verdicts)
