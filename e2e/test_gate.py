"""The main job on a real cluster: what is admitted, what is refused, and what the bytes have to say about it.

Each case reads the API, the pod's container statuses and the metrics; "denied" means that no pod exists, "stopped" that
the training container has no start time.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest

from e2e.support import workloads
from e2e.support.kubectl import Object, wait_for
from e2e.support.release import NAMESPACE as OWN
from e2e.support.release import Release
from e2e.support.world import Identity, World
from lineward.domain import verdict
from lineward.domain.assurance import Assurance

OUTPUT = "model"


@pytest.fixture(scope="module")
def enforced(world: World, team: Identity, files: dict[str, bytes]) -> World:
    """The namespace under enforce, with an attested claim `credit`, an unattested `credit-raw` and an output."""
    world.storage.claim("credit", files)
    world.storage.claim("credit-raw", files)
    world.storage.claim(OUTPUT, {})
    world.set_policy("enforce", team, [OUTPUT])
    name = world.attest(files, "credit", team, dataset="german-credit", version="1.0.0")
    assert world.condition("datasetversion", name)["status"] == "True"
    return world


@pytest.fixture
def submit(enforced: World) -> Callable[..., str]:
    def submitted(name: str, data: dict[str, str], **options: object) -> str:
        return workloads.submit(enforced.kubectl, enforced.job(name, data, **options))  # type: ignore[arg-type]

    return submitted


def denied(world: World, job: str, reason: str) -> str:
    """The denial's message, after checking that there is no pod and that the metrics counted it."""
    message = workloads.denial(world.kubectl, job)
    assert f": {reason}:" in message, message
    assert workloads.pod_of(world.kubectl, job) is None
    world.kubectl.delete("job", job)
    return message


def metric(text: str, name: str, **labels: str) -> float:
    """Sum of a metric's samples that carry these labels."""
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(r"([a-z_]+)\{(.*)\} ([0-9.e+-]+)", line)
        if found and found[1] == name and all(f'{key}="{value}"' in found[2] for key, value in labels.items()):
            total += float(found[3])
    return total


def test_under_audit_the_unsigned_job_runs_and_is_reported(
    world: World, team: Identity, files: dict[str, bytes]
) -> None:
    world.storage.claim("credit-audit", files)
    world.set_policy("audit", team)
    name = workloads.submit(world.kubectl, world.job("audited", {"data": "credit-audit"}))
    pod = workloads.wait_for_end(world.kubectl, name)
    assert pod["status"]["phase"] == "Succeeded"
    assert workloads.was_started(pod, "train")
    verify = workloads.container_status(pod, "lineward-verify")["state"]["terminated"]
    assert verify["exitCode"] == 0
    assert verdict.decode(verify["message"]).verdict is verdict.Verdict.REFUSED
    would_deny = world.run_of(name)["status"]["wouldDeny"]
    assert [(one["reason"], one["volume"]) for one in would_deny] == [("Unvouched", "data")]


def test_attested_data_is_admitted_verified_and_recorded(
    enforced: World, submit: Callable[..., str], release: Release, files: dict[str, bytes]
) -> None:
    name = submit("good", {"data": "credit"}, output=OUTPUT, seconds=6)
    wait_for("the trainer", lambda: _trains(enforced, name), 90)
    metrics = _sidecar_metrics(enforced, name)
    assert metric(metrics, "lineward_volume_verified", volume="data", dataset="german-credit", version="1.0.0") == 1
    assert metric(metrics, "lineward_volume_bytes", volume="data") == sum(map(len, files.values()))

    pod = workloads.wait_for_end(enforced.kubectl, name)
    assert pod["status"]["phase"] == "Succeeded"
    assert [one["name"] for one in pod["spec"]["initContainers"]] == ["lineward-verify", "lineward-sidecar"]
    _assert_verify_came_first(pod)
    found = verdict.decode(workloads.container_status(pod, "lineward-verify")["state"]["terminated"]["message"])
    assert found.verdict is verdict.Verdict.VERIFIED
    assert (found.volumes[0].files, found.volumes[0].assurance) == (len(files), Assurance.FULL)

    run = enforced.run_of(name)
    assert (run["status"]["verdict"], run["status"]["mode"]) == ("Verified", "enforce")
    assert json.loads(enforced.storage.read(f"{OUTPUT}/model.json"))["rows"] == 1000
    events = wait_for("the final lineage event", lambda: _complete_events(enforced, release, name), 60, every=2)
    assert {"START", "RUNNING", "COMPLETE"} <= {event["eventType"] for event in events}
    assert metric(release.metrics("operator"), "lineward_verifications_total", verdict="Verified") >= 1


def test_unsigned_data_is_denied(enforced: World, submit: Callable[..., str], release: Release) -> None:
    before = _denials(release, "Unvouched")
    message = denied(enforced, submit("raw", {"data": "credit-raw"}), "Unvouched")
    assert 'volume "data"' in message
    assert "lineward attest" in message
    assert _denials(release, "Unvouched") > before


def test_wrong_signer_is_denied(
    enforced: World, submit: Callable[..., str], intern: Identity, files: dict[str, bytes]
) -> None:
    enforced.storage.claim("credit-intern", files)
    name = enforced.attest(files, "credit-intern", intern, dataset="german-credit", version="1.0.1")
    condition = enforced.condition("datasetversion", name)
    assert (condition["status"], condition["reason"]) == ("False", "WrongIdentity")
    assert intern.email in denied(enforced, submit("intern", {"data": "credit-intern"}), "WrongIdentity")


def test_forged_status_admits_nothing(enforced: World, submit: Callable[..., str], release: Release) -> None:
    """Even whoever speaks as the operator, who alone may write status, cannot make the webhook believe it."""
    name = next(
        one["metadata"]["name"]
        for one in enforced.kubectl.items("datasetversions")
        if one["spec"]["version"] == "1.0.1"
    )
    forged = [{"type": "Verified", "status": "True", "reason": "Verified", "message": "", "lastTransitionTime": _now()}]
    patch = json.dumps({"status": {"conditions": forged}})
    as_operator = ["--as", f"system:serviceaccount:{OWN}:lineward-operator", "--as-group", "system:masters"]
    arguments = ["datasetversion", name, "--subresource=status", "--type=merge", "-p", patch]
    refused = enforced.kubectl.run("patch", *arguments)
    assert b"lineward-status" in refused.stderr
    release.stop("operator")
    try:
        enforced.kubectl("patch", *arguments, *as_operator)
        denied(enforced, submit("forged", {"data": "credit-intern"}), "WrongIdentity")
        assert "True" in enforced.kubectl("get", "datasetversion", name, "--no-headers").split()
    finally:
        release.own("scale", "deployment/lineward-operator", "--replicas=1")


def test_one_changed_byte_stops_the_pod_before_training(
    enforced: World, submit: Callable[..., str], team: Identity, files: dict[str, bytes], release: Release
) -> None:
    enforced.storage.claim("credit-edited", files)
    enforced.attest(files, "credit-edited", team, dataset="german-credit", version="1.1.0")
    victim = "/disk/credit-edited/applications-1.csv"
    enforced.storage.shell(f"printf X | dd of={victim} bs=1 seek=5000 conv=notrunc status=none")
    name = submit("edited", {"data": "credit-edited"})
    pod = workloads.wait_for_end(enforced.kubectl, name)
    assert pod["status"]["phase"] == "Failed"
    assert not workloads.was_started(pod, "train")
    assert not workloads.was_started(pod, "lineward-sidecar")
    terminated = workloads.container_status(pod, "lineward-verify")["state"]["terminated"]
    assert terminated["exitCode"] == verdict.EXIT_DIFFERS
    assert "applications-1.csv" in terminated["message"]
    assert verdict.decode(terminated["message"]).volumes[0].changed == ("modified applications-1.csv",)

    run = enforced.run_of(name)
    assert (run["status"]["verdict"], run["status"]["reason"]) == ("Refused", "ContentDiffers")
    for owner in (pod, enforced.kubectl.get("job", name)):
        assert "applications-1.csv" in _event(enforced, owner, "ContentDiffers")
    assert metric(release.metrics("operator"), "lineward_verifications_total", reason="ContentDiffers") >= 1


def test_undeclared_second_claim_is_denied(enforced: World, submit: Callable[..., str]) -> None:
    message = denied(enforced, submit("second", {"data": "credit", "extra": "credit-raw"}), "Unvouched")
    assert 'volume "extra"' in message
    assert 'volume "data"' not in message


def test_injected_containers_cannot_be_patched_or_entered(enforced: World) -> None:
    gated = enforced.job("gated", {"data": "credit"})
    gated["spec"]["template"]["spec"]["schedulingGates"] = [{"name": "example.com/hold"}]
    workloads.submit(enforced.kubectl, gated)
    name = workloads.wait_for_pod(enforced.kubectl, "gated")["metadata"]["name"]
    patch = json.dumps([{"op": "replace", "path": "/spec/initContainers/0/image", "value": enforced.trainer}])
    patched = enforced.kubectl.run("patch", "pod", name, "--type=json", "-p", patch)
    assert patched.returncode
    assert b"lineward" in patched.stderr
    entered = enforced.kubectl.run("exec", name, "-c", "lineward-verify", "--", "/bin/true")
    assert b"lineward-exec" in entered.stderr
    enforced.kubectl.delete("job", "gated")


def test_an_output_that_holds_files_is_refused(enforced: World, submit: Callable[..., str]) -> None:
    """The good run left its model there; a second run may not start from what it did not make."""
    name = submit("again", {"data": "credit"}, output=OUTPUT)
    pod = workloads.wait_for_end(enforced.kubectl, name)
    assert pod["status"]["phase"] == "Failed"
    assert "OutputNotEmpty" in workloads.container_status(pod, "lineward-verify")["state"]["terminated"]["message"]
    assert not workloads.was_started(pod, "train")


def test_subpath_of_data_is_denied(enforced: World) -> None:
    job = enforced.job("subpath", {"data": "credit"})
    job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = "part"
    denied(enforced, workloads.submit(enforced.kubectl, job), "SubPathNotSupported")


def test_a_recall_denies_new_runs(enforced: World, submit: Callable[..., str]) -> None:
    recall: Object = {
        "apiVersion": "lineward.dev/v1alpha1",
        "kind": "DatasetRecall",
        "metadata": {"name": f"{enforced.namespace}-recall"},
        "spec": {"reason": "consent withdrawn", "dataset": "german-credit", "version": "1.0.0"},
    }
    enforced.kubectl.apply(recall)
    try:
        time.sleep(2)
        denied(enforced, submit("recalled", {"data": "credit"}), "Recalled")
    finally:
        enforced.kubectl.delete("datasetrecall", f"{enforced.namespace}-recall")


def _assert_verify_came_first(pod: Object) -> None:
    verified = workloads.container_status(pod, "lineward-verify")["state"]["terminated"]["finishedAt"]
    for name in ("lineward-sidecar", "train"):
        started = workloads.container_status(pod, name)["state"]["terminated"]["startedAt"]
        assert verified <= started


def _trains(world: World, job: str) -> bool:
    pod = workloads.pod_of(world.kubectl, job)
    return bool(pod and workloads.was_started(pod, "train"))


def _sidecar_metrics(world: World, job: str) -> str:
    pod = workloads.wait_for_pod(world.kubectl, job)["metadata"]["name"]
    path = f"/api/v1/namespaces/{world.namespace}/pods/{pod}:9465/proxy/metrics"

    def served() -> str:
        text = world.kubectl.run("get", "--raw", path).stdout.decode()
        return text if "lineward_volume_verified{" in text else ""

    return wait_for("the sidecar's metrics", served, 30)


def _complete_events(world: World, release: Release, job: str) -> list[Object]:
    uid = world.kubectl.get("job", job)["metadata"]["uid"]
    events = release.lineage_events(uid)
    return events if any(event["eventType"] == "COMPLETE" for event in events) else []


def _denials(release: Release, reason: str) -> float:
    return metric(release.metrics("webhook"), "lineward_admission_requests_total", reason=reason)


def _event(world: World, about: Object, reason: str) -> str:
    selector = f"involvedObject.uid={about['metadata']['uid']},reason={reason}"

    def posted() -> str:
        return " ".join(event["message"] for event in world.kubectl.items("events", "--field-selector", selector))

    return wait_for(f"an Event {reason} on {about['kind']}", posted, 60)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
