"""`attest --apply` and `verify --cluster` against a real API server, by users who have only the roles that people get.

The chart's own roles and CRDs, and Kubernetes' own aggregation of roles; nothing else of Lineward runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.chart.rendering import one
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.private_sigstore.server import serve, token

from e2e.support.controlplane import ControlPlane, Json, control_plane, spawn
from e2e.tools.build import binary

ROOT = Path(__file__).resolve().parents[1]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
API = "/apis/lineward.dev/v1alpha1"
NAME = "german-credit-1.0.0"
WHAT = ["--dataset", "german-credit", "--version", "1.0.0", "--namespace", "ml", "--pvc", "credit"]
POLICY = {
    "apiVersion": "lineward.dev/v1alpha1",
    "kind": "ProvenancePolicy",
    "metadata": {"name": "training"},
    "spec": {
        "match": {"namespaces": {"selector": {"matchLabels": {"team": "ml"}}}},
        "trustRootRef": {"name": "default"},
        "authorities": [
            {"name": "t", "keyless": {"issuer": "https://issuer.example", "subject": "data-team@example.org"}}
        ],
    },
}


@dataclass
class Stage:
    """A control plane with people in it, a folder of data, and a Sigstore to sign with."""

    plane: ControlPlane
    folder: Path
    trust_config: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, who: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`lineward` as somebody, with the kubeconfig that they would have."""
        config = yaml.safe_load(self.plane.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": self.plane.token("people", who)}
        path = self.folder / f"{who}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        command = [Path(sys.executable).parent / "lineward", *arguments]
        environment = {**os.environ, "KUBECONFIG": str(path), "HOME": "/nonexistent"}
        return subprocess.run(
            [str(word) for word in command], env=environment, capture_output=True, text=True, check=False
        )

    def attest(self, who: str, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        signed = ["--identity-token", token(), "--trust-config", self.trust_config, "--out", out, "--apply"]
        return self.run(who, "attest", self.data, *WHAT, *signed, *arguments)

    def sign_again(self, who: str, version: Path, signer: str = "risk@example.org") -> subprocess.CompletedProcess[str]:
        """A second signer, who believes the first by the policy of the cluster."""
        (self.folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
        first = ["--policy", self.folder / "policy.yaml", "--trust-root", self.trust_config]
        signed = ["--identity-token", token(signer), "--trust-config", self.trust_config, "--apply"]
        return self.run(who, "attest", self.data, "--add-signature", version, *first, *signed)

    def verify(self, who: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.run(who, "verify", self.data, f"dsv/{NAME}", "--cluster", "-n", "ml", *arguments)

    def bind(self, who: str, role: str, namespace: str = "") -> None:
        self.plane.call("POST", "/api/v1/namespaces/people/serviceaccounts", {"metadata": {"name": who}})
        body = {
            "metadata": {"name": who},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": who, "namespace": "people"}],
        }
        path = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
        self.plane.call("POST", path, body)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    sigstore = PrivateSigstore()
    with control_plane(folder / "plane") as plane, serve(sigstore) as url:
        (folder / "trust.json").write_bytes(dumps(sigstore.trust_config(url)))
        _install(plane, sigstore)
        found = Stage(plane, folder, folder / "trust.json")
        found.data.mkdir()
        (found.data / "train.csv").write_text("age,income\n41,1\n")
        for who, role, namespace in (
            ("editor", "edit", "ml"),
            ("reader", "view", ""),
            ("neighbour", "view", "ml"),
            ("outsider", "edit", "other"),
        ):
            found.bind(who, role, namespace)
        yield found


def _install(plane: ControlPlane, sigstore: PrivateSigstore) -> None:
    """CRDs, roles, namespaces, and Kubernetes' own controller that aggregates roles."""
    controllers = [
        *(binary("kube-controller-manager"), "--kubeconfig", plane.kubeconfig, "--leader-elect=false"),
        *("--controllers=clusterrole-aggregation-controller", "--secure-port=0"),
    ]
    plane.processes.append(spawn(controllers, plane.folder / "controllers.log"))
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        plane.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(path.read_text()))
    for name in ("lineward-view", "lineward-edit"):
        plane.call("POST", f"{RBAC}/clusterroles", one("ClusterRole", name))
    for name in ("ml", "other", "people"):
        plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"team": name}}})
    root: Json = {"apiVersion": "lineward.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": "default"}}
    root["spec"] = {"trustedRoot": json.dumps(sigstore.trusted_root())}
    until(lambda: bool(plane.call("GET", f"{API}/trustroots", missing=True)))
    until(lambda: bool(plane.call("GET", f"{API}/provenancepolicies", missing=True)))
    plane.call("POST", f"{API}/trustroots", root)
    plane.call("POST", f"{API}/provenancepolicies", POLICY)
    until(lambda: "lineward.dev" in json.dumps(plane.call("GET", f"{RBAC}/clusterroles/edit")["rules"]))


def until(done: Callable[[], bool], within: float = 180.0) -> None:
    end = time.monotonic() + within
    while not done():
        assert time.monotonic() < end, "it did not settle in time"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def applied(stage: Stage) -> Path:
    """What an editor of the namespace attested and applied."""
    out = stage.folder / "out"
    done = stage.attest("editor", out)
    assert done.returncode == 0, done.stderr
    return out


def test_an_editor_attests_and_applies(stage: Stage, applied: Path) -> None:
    stored = stage.plane.call("GET", f"{API}/namespaces/ml/datasetversions/{NAME}")
    assert {**stored["spec"], "lifecycle": None} == {"lifecycle": None} | yaml.safe_load(
        (applied / f"{NAME}.yaml").read_text()
    )["spec"]
    manifest = stage.plane.call("GET", f"/api/v1/namespaces/ml/configmaps/{NAME}-manifest")
    assert manifest["immutable"] is True


def test_a_reader_of_the_cluster_verifies_what_is_there(stage: Stage, applied: Path) -> None:
    done = stage.verify("reader", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "Verified"
    (stage.data / "train.csv").write_text("age,income\n41,2\n")
    try:
        changed = stage.verify("reader")
    finally:
        (stage.data / "train.csv").write_text("age,income\n41,1\n")
    assert changed.returncode == 1
    assert "ContentDiffers" in changed.stdout


def test_a_reader_of_one_namespace_is_told_what_is_missing(stage: Stage, applied: Path) -> None:
    done = stage.verify("neighbour")
    assert done.returncode == 2
    assert "ClusterRoleBinding" in done.stderr


def test_who_may_not_write_is_told_before_anything_is_hashed(stage: Stage, applied: Path, tmp_path: Path) -> None:
    for who in ("reader", "outsider"):
        done = stage.attest(who, tmp_path / who, "--name", f"by-{who}")
        assert done.returncode == 2
        assert "may not create configmaps in namespace ml" in done.stderr
        assert not (tmp_path / who).exists()
        assert stage.plane.call("GET", f"{API}/namespaces/ml/datasetversions/by-{who}", missing=True) == {}


def test_a_second_signature_is_applied_over_the_first(stage: Stage, applied: Path) -> None:
    done = stage.sign_again("editor", applied / f"{NAME}.yaml")
    assert done.returncode == 0, done.stderr
    stored = stage.plane.call("GET", f"{API}/namespaces/ml/datasetversions/{NAME}")
    assert len(stored["spec"]["attestations"]) == 2
    assert stage.verify("reader").returncode == 0


def test_what_kubectl_applied_takes_a_signature_but_loses_no_change(
    stage: Stage, applied: Path, tmp_path: Path
) -> None:
    done = stage.attest("editor", tmp_path / "out", "--name", "by-kubectl", "--version", "1.0.1")
    assert done.returncode == 0, done.stderr
    path, version = f"{API}/namespaces/ml/datasetversions/by-kubectl", tmp_path / "out" / "by-kubectl.yaml"
    by_kubectl = f"{path}?fieldManager=kubectl&force=true"
    stage.plane.call("PATCH", by_kubectl, yaml.safe_load(version.read_text()), "application/apply-patch+yaml")
    done = stage.sign_again("editor", version)
    assert done.returncode == 0, done.stderr
    assert len(stage.plane.call("GET", path)["spec"]["attestations"]) == 2
    moved = yaml.safe_load(version.read_text())
    moved["spec"]["volumes"] = [{"persistentVolumeClaim": {"name": "elsewhere"}}]
    stage.plane.call("PATCH", by_kubectl, moved, "application/apply-patch+yaml")
    done = stage.sign_again("editor", version, "audit@example.org")
    assert done.returncode == 2
    assert ".spec.volumes" in done.stderr
    assert stage.plane.call("GET", path)["spec"]["volumes"] == moved["spec"]["volumes"]


def test_another_version_of_the_data_cannot_take_the_place(stage: Stage, applied: Path, tmp_path: Path) -> None:
    (stage.data / "more.csv").write_text("x\n")
    try:
        done = stage.attest("editor", tmp_path / "out")
    finally:
        (stage.data / "more.csv").unlink()
    assert done.returncode == 2
    assert "immutable" in done.stderr
    assert f"written to {tmp_path / 'out'} but not applied" in done.stderr
    assert (tmp_path / "out" / f"{NAME}.yaml").is_file()


def test_a_recall_counts_at_once(stage: Stage, applied: Path) -> None:
    recall = {"apiVersion": "lineward.dev/v1alpha1", "kind": "DatasetRecall", "metadata": {"name": "leak"}}
    stage.plane.call(
        "POST", f"{API}/datasetrecalls", {**recall, "spec": {"reason": "leak", "dataset": "german-credit"}}
    )
    try:
        done = stage.verify("reader")
    finally:
        stage.plane.call("DELETE", f"{API}/datasetrecalls/leak")
    assert done.returncode == 1
    assert "Recalled" in done.stdout
