"""What the chart puts into a cluster holds: rights, guards, and a gate that others do not notice.

Guards and scope are tried with all of Lineward scaled to nothing, since that is when they matter most.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from e2e.conftest import NAMESPACE as GUARDED
from e2e.support import setup
from e2e.support.kubectl import Kubectl, Object
from e2e.support.release import NAME, Release
from e2e.support.release import NAMESPACE as OWN

NAMESPACE = "chart-e2e"
OPERATOR = f"system:serviceaccount:{OWN}:lineward-operator"
WEBHOOK = f"system:serviceaccount:{OWN}:lineward-webhook"
LEDGER = f"system:serviceaccount:{OWN}:lineward-ledger"
TENANT = f"system:serviceaccount:{NAMESPACE}:tenant"
KINDS = (
    "datasetversions",
    "trainingruns",
    "provenanceexceptions",
    "provenancepolicies",
    "trustroots",
    "datasetrecalls",
)


def pod(name: str, *, gated: bool = False) -> Object:
    """A pod that looks injected: a native sidecar of ours beside a web server. Nothing in it needs Lineward."""
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
    base = {"image": setup.TRAINER, "imagePullPolicy": "IfNotPresent", "resources": resources}
    run = [{"name": "lineward-run", "mountPath": "/lineward/run"}]
    sidecar = {**base, "name": "lineward-sidecar", "command": ["/bin/sleep", "3600"], "restartPolicy": "Always"}
    server = {
        **base,
        "name": "main",
        "command": ["python3", "-m", "http.server", "8000", "--directory", "/proc/self/fdinfo"],
    }
    spec: Object = {
        "terminationGracePeriodSeconds": 0,
        "initContainers": [{**sidecar, "volumeMounts": run}],
        "containers": [server],
        "volumes": [{"name": "lineward-run", "emptyDir": {}}],
    }
    if gated:
        spec["schedulingGates"] = [{"name": "example.com/wait"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def plain(name: str) -> Object:
    """A pod that mounts nothing and is waiting for ever."""
    found = pod(name, gated=True)
    del found["spec"]["initContainers"], found["spec"]["volumes"]
    return found


@pytest.fixture(scope="module")
def kubectl(release: Release) -> Iterator[Kubectl]:
    """A namespace that Lineward does not see, with a running and a waiting pod, and a tenant with the edit role."""
    cluster = release.kubectl
    cluster.delete("namespace", NAMESPACE)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    within = cluster.within(NAMESPACE)
    within.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tenant"}})
    within.run("create", "rolebinding", "tenant", "--clusterrole=edit", f"--serviceaccount={NAMESPACE}:tenant")
    within.apply(pod("running"), pod("waiting", gated=True))
    within("wait", "--for=condition=Ready", "pod/running", "--timeout=120s")
    yield within
    cluster("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def dead(release: Release, kubectl: Kubectl) -> Iterator[Kubectl]:
    """The guarded namespace with a waiting pod of its own, while no process of Lineward runs.

    Afterwards all are started again, and whoever needs them waits for them.
    """
    within = release.kubectl.within(GUARDED)
    release.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GUARDED}})
    within.delete("pod", "before")
    within.apply(plain("before"))
    replicas = release.own.get("deployment", "lineward-webhook")["spec"]["replicas"]
    release.stop("webhook", "operator")
    yield within
    release.own("scale", "deployment", "lineward-webhook", f"--replicas={replicas}")
    release.own("scale", "deployment", "lineward-operator", "--replicas=1")
    within.delete("pod", "before")


def refusal(kubectl: Kubectl, *args: str) -> str:
    """What the API server said when it refused."""
    done = kubectl.run(*args)
    assert done.returncode != 0, done.stdout
    return done.stderr.decode()


def patch(container: str, list_: str, fields: Object, *flags: str) -> list[str]:
    body = {"spec": {list_: [{"name": container, **fields}]}}
    return ["patch", "pod", *flags, "--type=strategic", "--patch", json.dumps(body)]


def may(kubectl: Kubectl, account: str, verb: str, what: str, *where: str) -> bool:
    return kubectl.run("auth", "can-i", verb, what, f"--as={account}", *where).returncode == 0


def test_the_image_of_ours_cannot_be_patched_behind_a_scheduling_gate(dead: Kubectl, kubectl: Kubectl) -> None:
    said = refusal(kubectl, *patch("lineward-sidecar", "initContainers", {"image": "evil"}, "waiting"))
    assert "ContainerChanged" in said


def test_the_image_of_ours_cannot_be_patched_in_a_running_pod(dead: Kubectl, kubectl: Kubectl) -> None:
    said = refusal(kubectl, *patch("lineward-sidecar", "initContainers", {"image": "evil"}, "running"))
    assert "ContainerChanged" in said


def test_the_users_own_container_may_still_change(dead: Kubectl, kubectl: Kubectl) -> None:
    kubectl(*patch("main", "containers", {"image": "example.com/other:1"}, "waiting"))
    kubectl("label", "pod", "waiting", "colour=blue", "--overwrite")


def test_the_sidecar_cannot_be_resized(dead: Kubectl, kubectl: Kubectl) -> None:
    smaller = {"resources": {"limits": {"memory": "32Mi"}}}
    said = refusal(kubectl, *patch("lineward-sidecar", "initContainers", smaller, "running", "--subresource=resize"))
    assert "ContainerChanged" in said


def test_the_users_own_container_may_be_resized(dead: Kubectl, kubectl: Kubectl) -> None:
    larger = {"resources": {"requests": {"cpu": "15m"}}}
    kubectl(*patch("main", "containers", larger, "running", "--subresource=resize"))


@pytest.mark.parametrize(
    "how",
    [["exec", "running", "-c", "lineward-sidecar", "--", "true"], ["attach", "running", "-c", "lineward-sidecar"]],
)
def test_nobody_enters_ours(dead: Kubectl, kubectl: Kubectl, how: list[str]) -> None:
    assert "nobody may exec or attach" in refusal(kubectl, *how)


def test_the_users_own_container_can_be_entered(dead: Kubectl, kubectl: Kubectl) -> None:
    assert kubectl("exec", "running", "-c", "main", "--", "echo", "in").strip() == "in"


def test_ports_can_be_forwarded_and_logs_read(dead: Kubectl, kubectl: Kubectl) -> None:
    command = kubectl.command("port-forward", "pod/running", ":8000", "--address", "127.0.0.1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            port = int(forward.stdout.readline().split(" -> ")[0].rpartition(":")[2])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                assert answer.status == 200
        finally:
            forward.terminate()
    kubectl("logs", "running", "-c", "lineward-sidecar")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"targetContainerName": "lineward-sidecar"}, "no ephemeral container may target"),
        ({"name": "lineward-debug"}, "must not begin with lineward-"),
        ({"volumeMounts": [{"name": "lineward-run", "mountPath": "/run"}]}, "no ephemeral container may mount"),
    ],
    ids=["target", "name", "mount"],
)
def test_debugging_does_not_reach_ours(dead: Kubectl, kubectl: Kubectl, fields: Object, says: str) -> None:
    assert says in refusal(kubectl, *_debug(fields))


def test_debugging_the_users_own_container_works(dead: Kubectl, kubectl: Kubectl) -> None:
    kubectl(*_debug({"targetContainerName": "main"}))


def test_only_the_operator_writes_status(release: Release, kubectl: Kubectl) -> None:
    run = {"apiVersion": "lineward.dev/v1alpha1", "kind": "TrainingRun", "metadata": {"name": "claimed"}, "spec": {}}
    kubectl.apply({**run, "status": {"verdict": "Verified"}})
    assert kubectl.get("trainingrun", "claimed").get("status", {}).get("verdict") != "Verified"

    def write(account: str) -> subprocess.CompletedProcess[bytes]:
        forged = json.dumps({**run, "status": {"phase": "Failed"}}).encode()
        flags = ["--server-side", "--subresource=status", *([f"--as={account}"] if account else [])]
        return kubectl.run("apply", *flags, "-f", "-", stdin=forged)

    assert b"only the operator writes the status" in write("").stderr
    assert b"cannot patch resource" in write(TENANT).stderr
    done = write(OPERATOR)
    assert done.returncode == 0, done.stderr


def test_others_do_not_notice_that_lineward_is_dead(dead: Kubectl, kubectl: Kubectl) -> None:
    kubectl.apply(plain("elsewhere"))
    kubectl.delete("pod", "elsewhere")


def test_a_dead_webhook_lets_no_pod_into_a_guarded_namespace(dead: Kubectl) -> None:
    done = dead.run("create", "-f", "-", stdin=json.dumps(plain("new")).encode())
    assert done.returncode != 0
    assert "validate.lineward.dev" in done.stderr.decode()


def test_a_dead_webhook_is_not_asked_about_what_it_does_not_judge(dead: Kubectl) -> None:
    dead("annotate", "pod", "before", "example.com/note=1", "--overwrite")
    finalizer = '{"metadata":{"finalizers":["example.com/keep"]}}'
    dead("patch", "pod", "before", "--type=merge", "-p", finalizer)
    dead("patch", "pod", "before", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    dead("patch", "pod", "before", "--subresource=status", "--type=merge", "-p", '{"status":{"message":"hello"}}')


@pytest.mark.parametrize(
    "change", [["label", "pod", "before", "colour=red"], ["annotate", "pod", "before", "lineward.dev/datasets=a=b"]]
)
def test_a_dead_webhook_holds_up_what_it_would_judge(dead: Kubectl, change: list[str]) -> None:
    assert "validate.lineward.dev" in refusal(dead, *change, "--overwrite")


def test_a_dead_webhook_does_not_hold_up_deletion(dead: Kubectl) -> None:
    dead("delete", "pod", "before", "--wait=true", "--timeout=60s")


@pytest.mark.parametrize("account", [WEBHOOK, LEDGER, OPERATOR])
def test_no_component_may_do_what_it_has_no_need_for(kubectl: Kubectl, account: str) -> None:
    for verb, what in (
        ("create", "pods"),
        ("delete", "pods"),
        ("patch", "pods"),
        ("list", "secrets"),
        ("create", "secrets"),
        ("get", "configmaps"),
        ("create", "clusterrolebindings"),
        ("delete", "customresourcedefinitions"),
        ("update", "provenancepolicies"),
        ("create", "trustroots"),
        ("delete", "datasetversions"),
    ):
        assert not may(kubectl, account, verb, what, "--all-namespaces"), f"{account} may {verb} {what}"


def test_the_operator_registers_only_its_own_webhooks(release: Release) -> None:
    data = release.own.get("configmap", "lineward-webhooks")["data"]
    for file in ("mutating.yaml", "validating.yaml"):
        apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", f"--as={OPERATOR}", "-f", "-"]
        release.own(*apply, stdin=data[file].encode())
        other = data[file].replace("  name: lineward\n", "  name: another\n", 1)
        assert "forbidden" in release.own.run(*apply, stdin=other.encode()).stderr.decode()


def test_an_editor_attests_and_decides_nothing(kubectl: Kubectl) -> None:
    for what in ("datasetversions", "trainingruns"):
        assert may(kubectl, TENANT, "create", f"{what}.lineward.dev")
    for kind in KINDS:
        assert not may(kubectl, TENANT, "patch", f"{kind}.lineward.dev", "--subresource=status")
    for kind in ("provenanceexceptions", "provenancepolicies", "trustroots", "datasetrecalls"):
        assert not may(kubectl, TENANT, "create", f"{kind}.lineward.dev")
    assert may(kubectl, TENANT, "list", "provenanceexceptions.lineward.dev")
    for kind in ("validatingwebhookconfigurations", "validatingadmissionpolicies"):
        assert not may(kubectl, TENANT, "delete", f"{kind}/{NAME}")


def _debug(fields: Object) -> list[str]:
    container = {"name": "debug", "image": setup.TRAINER, "command": ["true"], **fields}
    body = json.dumps({"spec": {"ephemeralContainers": [container]}})
    return ["patch", "pod", "running", "--subresource=ephemeralcontainers", "--type=strategic", "--patch", body]
