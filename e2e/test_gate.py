"""The main job on a real cluster: what is admitted, what is refused, and what the bytes have to say about it.

Each case reads the API, the pod's container statuses and the metrics; "denied" means that no pod exists, "stopped" that
the training container has no start time.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.support import attacks, metrics, workloads
from e2e.support.kubectl import Object, wait_for
from e2e.support.metrics import counted, total
from e2e.support.release import NAMESPACE as OWN
from e2e.support.release import Release
from e2e.support.world import Identity, World
from lineward.domain.assurance import Assurance
from lineward.domain.verdict import EXIT_DIFFERS, Verdict

Denied = Callable[[Object, str], str]
OUTPUT = "model"
ZEROS = 512 << 20


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


@pytest.fixture
def denied(enforced: World, release: Release) -> Denied:
    """Submits a Job and gives the denial's message: there is no pod, and the webhook counted why."""

    def submitted(job: Object, reason: str) -> str:
        with counted(f"denied for {reason}", metrics.admissions(release, "denied", "enforce", reason)):
            name = workloads.submit(enforced.kubectl, job)
            message = workloads.denial(enforced.kubectl, name)
        assert f": {reason}:" in message, message
        assert workloads.pod_of(enforced.kubectl, name) is None
        enforced.kubectl.delete("job", name)
        return message

    return submitted


@pytest.fixture(scope="module")
def hashing(enforced: World, team: Identity) -> str:
    """A Job that spends seconds on verifying: a large file of zeros, on a tenth of a CPU."""
    enforced.storage.claim("zeros", {})
    enforced.storage.shell(f"truncate -s {ZEROS} /disk/zeros/zeros.bin")
    with tempfile.TemporaryDirectory() as scratch:
        with Path(scratch, "zeros.bin").open("wb") as file:
            file.truncate(ZEROS)
        enforced.attest_folder(Path(scratch), "zeros", team, dataset="zeros", version="1")
    job = enforced.job("hashing", {"data": "zeros"})
    (container,) = job["spec"]["template"]["spec"]["containers"]
    share = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "100m", "memory": "512Mi"}}
    container.update(command=["/bin/true"], args=[], resources=share)
    return workloads.submit(enforced.kubectl, job)


def test_under_audit_the_unsigned_job_runs_and_is_reported(
    world: World, team: Identity, files: dict[str, bytes], release: Release
) -> None:
    world.storage.claim("credit-audit", files)
    world.set_policy("audit", team)
    let_through = metrics.admissions(release, "allowed", "audit", "Unvouched")
    with counted("what audit found", let_through, metrics.verdicts(release, "Refused", "audit", "Unvouched")):
        name = workloads.submit(world.kubectl, world.job("audited", {"data": "credit-audit"}))
        pod = workloads.wait_for_end(world.kubectl, name)
    assert pod["status"]["phase"] == "Succeeded"
    assert workloads.was_started(pod, "train")
    assert workloads.container_status(pod, "lineward-verify")["state"]["terminated"]["exitCode"] == 0
    assert workloads.verdict_of(pod).verdict is Verdict.REFUSED
    would_deny = world.run_of(name)["status"]["wouldDeny"]
    assert [(one["reason"], one["volume"]) for one in would_deny] == [("Unvouched", "data")]


def test_attested_data_is_admitted_verified_and_recorded(
    enforced: World, submit: Callable[..., str], release: Release, files: dict[str, bytes]
) -> None:
    let_in = metrics.admissions(release, "allowed", "enforce", "Verified")
    with counted("a good run", let_in, metrics.verdicts(release, "Verified", "enforce", "Verified")):
        name = submit("good", {"data": "credit"}, output=OUTPUT, seconds=6)
        wait_for("the trainer", lambda: workloads.running(enforced.kubectl, name, "train"), 90)
        found = _sidecar_metrics(enforced, name)
        assert total(found, "lineward_volume_verified", volume="data", dataset="german-credit", version="1.0.0") == 1
        assert total(found, "lineward_volume_bytes", volume="data") == sum(map(len, files.values()))
        pod = workloads.wait_for_end(enforced.kubectl, name)
    assert pod["status"]["phase"] == "Succeeded"
    assert [one["name"] for one in pod["spec"]["initContainers"]] == ["lineward-verify", "lineward-sidecar"]
    _assert_verify_came_first(pod)
    judged = workloads.verdict_of(pod)
    assert judged.verdict is Verdict.VERIFIED
    assert (judged.volumes[0].files, judged.volumes[0].assurance) == (len(files), Assurance.FULL)

    run = enforced.run_of(name)
    assert (run["status"]["verdict"], run["status"]["mode"]) == ("Verified", "enforce")
    assert json.loads(enforced.storage.read(f"{OUTPUT}/model.json"))["rows"] == 1000
    events = wait_for("the final lineage event", lambda: _complete_events(enforced, release, name), 60, every=2)
    assert {"START", "RUNNING", "COMPLETE"} <= {event["eventType"] for event in events}


def test_unsigned_data_is_denied(enforced: World, denied: Denied) -> None:
    message = denied(enforced.job("raw", {"data": "credit-raw"}), "Unvouched")
    assert 'volume "data"' in message
    assert "lineward attest" in message


def test_wrong_signer_is_denied(enforced: World, denied: Denied, intern: Identity, files: dict[str, bytes]) -> None:
    enforced.storage.claim("credit-intern", files)
    name = enforced.attest(files, "credit-intern", intern, dataset="german-credit", version="1.0.1")
    condition = enforced.condition("datasetversion", name)
    assert (condition["status"], condition["reason"]) == ("False", "WrongIdentity")
    assert intern.email in denied(enforced.job("intern", {"data": "credit-intern"}), "WrongIdentity")


def test_forged_status_admits_nothing(enforced: World, denied: Denied, release: Release) -> None:
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
    attacks.refused(enforced.kubectl, "lineward-status", "patch", *arguments)
    release.stop("operator")
    try:
        enforced.kubectl("patch", *arguments, *as_operator)
        denied(enforced.job("forged", {"data": "credit-intern"}), "WrongIdentity")
        assert "True" in enforced.kubectl("get", "datasetversion", name, "--no-headers").split()
    finally:
        release.start("operator")


def test_one_changed_byte_stops_the_pod_before_training(
    enforced: World, submit: Callable[..., str], team: Identity, files: dict[str, bytes], release: Release
) -> None:
    enforced.storage.claim("credit-edited", files)
    enforced.attest(files, "credit-edited", team, dataset="german-credit", version="1.1.0")
    victim = "/disk/credit-edited/applications-1.csv"
    enforced.storage.shell(f"printf X | dd of={victim} bs=1 seek=5000 conv=notrunc status=none")
    with counted("the changed byte", metrics.verdicts(release, "Refused", "enforce", "ContentDiffers")):
        name = submit("edited", {"data": "credit-edited"})
        pod = workloads.wait_for_end(enforced.kubectl, name)
    assert pod["status"]["phase"] == "Failed"
    assert not workloads.was_started(pod, "train")
    assert not workloads.was_started(pod, "lineward-sidecar")
    terminated = workloads.container_status(pod, "lineward-verify")["state"]["terminated"]
    assert terminated["exitCode"] == EXIT_DIFFERS
    assert "applications-1.csv" in terminated["message"]
    assert workloads.verdict_of(pod).volumes[0].changed == ("modified applications-1.csv",)

    run = enforced.run_of(name)
    assert (run["status"]["verdict"], run["status"]["reason"]) == ("Refused", "ContentDiffers")
    for owner in (pod, enforced.kubectl.get("job", name)):
        assert "applications-1.csv" in _event(enforced, owner, "ContentDiffers")


def test_undeclared_second_claim_is_denied(enforced: World, denied: Denied) -> None:
    message = denied(enforced.job("second", {"data": "credit", "extra": "credit-raw"}), "Unvouched")
    assert 'volume "extra"' in message
    assert 'volume "data"' not in message


def test_injected_containers_cannot_be_patched_or_entered(enforced: World) -> None:
    kubectl = enforced.kubectl
    gated = enforced.job("gated", {"data": "credit"})
    gated["spec"]["template"]["spec"]["schedulingGates"] = [{"name": "example.com/hold"}]
    workloads.submit(kubectl, gated)
    before = workloads.wait_for_pod(kubectl, "gated")
    name = before["metadata"]["name"]
    with counted("the patch", metrics.refusals(kubectl, "lineward-containers")):
        said = attacks.refused(kubectl, "lineward-containers", *attacks.change_image(name, enforced.trainer))
    assert "ContainerChanged" in said
    with counted("the exec", metrics.refusals(kubectl, "lineward-exec")):
        attacks.refused(kubectl, "lineward-exec", *attacks.enter(name, "lineward-verify"))
    after = kubectl.get("pod", name)
    assert after["spec"]["initContainers"] == before["spec"]["initContainers"]
    assert before["spec"]["initContainers"][0]["image"] != enforced.trainer
    assert not any(workloads.was_started(after, one) for one in ("lineward-verify", "lineward-sidecar", "train"))
    kubectl.delete("job", "gated")


def test_verify_cannot_be_entered_or_changed_while_it_hashes(enforced: World, hashing: str) -> None:
    """The attacks that end a verify container with an exit code of the attacker's choice; admins may try them too."""
    kubectl, verify = enforced.kubectl, "lineward-verify"
    running = wait_for("verify to run", lambda: workloads.running(kubectl, hashing, verify), 90)
    name = workloads.wait_for_pod(kubectl, hashing)["metadata"]["name"]
    attacks.refused(kubectl, "lineward-exec", *attacks.enter(name, verify))
    attacks.refused(kubectl, "lineward-exec", "attach", name, "-c", verify)
    attacks.refused(kubectl, "lineward-ephemeral", *attacks.debug(name, enforced.trainer, verify))
    attacks.refused(kubectl, "lineward-containers", *attacks.change_image(name, enforced.trainer))
    assert workloads.running(kubectl, hashing, verify) == running, "it ended before the last attack"


def test_an_output_that_holds_files_is_refused(enforced: World, submit: Callable[..., str]) -> None:
    """The good run left its model there; a second run may not start from what it did not make."""
    name = submit("again", {"data": "credit"}, output=OUTPUT)
    pod = workloads.wait_for_end(enforced.kubectl, name)
    assert pod["status"]["phase"] == "Failed"
    assert "OutputNotEmpty" in workloads.container_status(pod, "lineward-verify")["state"]["terminated"]["message"]
    assert not workloads.was_started(pod, "train")


def test_subpath_of_data_is_denied(enforced: World, denied: Denied) -> None:
    job = enforced.job("subpath", {"data": "credit"})
    job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = "part"
    denied(job, "SubPathNotSupported")


def test_a_recall_denies_new_runs(enforced: World, denied: Denied) -> None:
    recall: Object = {
        "apiVersion": "lineward.dev/v1alpha1",
        "kind": "DatasetRecall",
        "metadata": {"name": f"{enforced.namespace}-recall"},
        "spec": {"reason": "consent withdrawn", "dataset": "german-credit", "version": "1.0.0"},
    }
    enforced.kubectl.apply(recall)
    try:
        time.sleep(2)
        denied(enforced.job("recalled", {"data": "credit"}), "Recalled")
    finally:
        enforced.kubectl.delete("datasetrecall", f"{enforced.namespace}-recall")


def test_what_was_attacked_while_it_hashed_ends_verified(enforced: World, hashing: str, release: Release) -> None:
    """Last, so that the others need not wait for it."""
    pod = workloads.wait_for_end(enforced.kubectl, hashing)
    assert pod["status"]["phase"] == "Succeeded"
    assert "ephemeralContainers" not in pod["spec"]
    assert workloads.container_status(pod, "lineward-verify")["restartCount"] == 0
    judged = workloads.verdict_of(pod)
    assert (judged.verdict, judged.volumes[0].bytes) == (Verdict.VERIFIED, ZEROS)
    _assert_verify_came_first(pod)
    assert enforced.run_of(hashing)["status"]["verdict"] == "Verified"


def _assert_verify_came_first(pod: Object) -> None:
    verified = workloads.container_status(pod, "lineward-verify")["state"]["terminated"]["finishedAt"]
    for name in ("lineward-sidecar", "train"):
        started = workloads.container_status(pod, name)["state"]["terminated"]["startedAt"]
        assert verified <= started


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


def _event(world: World, about: Object, reason: str) -> str:
    selector = f"involvedObject.uid={about['metadata']['uid']},reason={reason}"

    def posted() -> str:
        return " ".join(event["message"] for event in world.kubectl.items("events", "--field-selector", selector))

    return wait_for(f"an Event {reason} on {about['kind']}", posted, 60)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
