"""Policies, trust roots and recalls from a cluster, and applying to one, against an API server that only answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from tests.cli.conftest import Command
from tests.private_sigstore.instance import PrivateSigstore
from tests.unit.evidence.samples import POLICY, changed

GROUP = "/apis/lineward.dev/v1alpha1"
WHAT = ["--dataset", "german-credit", "--version", "1.0.0", "--namespace", "ml", "--pvc", "credit"]
NAME = "german-credit-1.0.0"


class Api(BaseHTTPRequestHandler):
    """Answers what `stored` holds by path; keeps what is applied."""

    stored: ClassVar[dict[str, Any]] = {}
    applied: ClassVar[list[tuple[str, Any]]] = []
    allowed: ClassVar[bool] = True

    def do_GET(self) -> None:
        found = self.stored.get(self.path.split("?")[0])
        self._answer(200 if found else 404, found or {"kind": "Status", "message": f"no {self.path}"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, {"kind": "SelfSubjectAccessReview", "spec": {}, "status": {"allowed": self.allowed}})

    def do_PATCH(self) -> None:
        body = yaml.safe_load(self.rfile.read(int(self.headers["Content-Length"])))
        self.applied.append((self.path, body))
        self._answer(200, body)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, code: int, value: Any) -> None:
        raw = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def listed(kind: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"kind": f"{kind}List", "apiVersion": "lineward.dev/v1alpha1", "metadata": {}, "items": list(items)}


def discovery() -> dict[str, Any]:
    verbs = ["get", "list", "patch"]
    kinds = [("datasetversions", "DatasetVersion", True), ("trustroots", "TrustRoot", False)]
    ours = [{"name": n, "kind": k, "namespaced": s, "verbs": verbs, "singularName": ""} for n, k, s in kinds]
    core = [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": verbs, "singularName": ""}]
    version = {"groupVersion": "lineward.dev/v1alpha1", "version": "v1alpha1"}
    return {
        "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.4"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": core},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [{"name": "lineward.dev", "versions": [version], "preferredVersion": version}],
        },
        GROUP: {"kind": "APIResourceList", "groupVersion": "lineward.dev/v1alpha1", "resources": ours},
    }


@pytest.fixture
def cluster(sigstore: PrivateSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The current context: a namespace `ml`, a policy for it, one for another, and a trust root."""
    root = {"metadata": {"name": "default"}, "spec": {"trustedRoot": json.dumps(sigstore.trusted_root())}}
    elsewhere = changed(POLICY, "spec/match/namespaces/names", ["other"])
    elsewhere["spec"]["authorities"][0]["keyless"]["subject"] = "nobody@example.org"
    stored = {
        **discovery(),
        "/api/v1/namespaces/ml": {"kind": "Namespace", "metadata": {"name": "ml", "labels": {}}},
        f"{GROUP}/provenancepolicies": listed("ProvenancePolicy", POLICY, elsewhere),
        f"{GROUP}/trustroots": listed("TrustRoot", root),
        f"{GROUP}/datasetrecalls": listed("DatasetRecall"),
    }
    handler = type("Handler", (Api,), {"stored": stored, "applied": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield {"stored": stored, "applied": handler.__dict__["applied"]}
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def attested(lineward: Command, data: Path, tmp_path: Path, trust_config: Path, identity: list[str]) -> Path:
    out = tmp_path / "out"
    lineward("attest", data, *WHAT, *identity, "--trust-config", trust_config, "--out", out)
    return out


def test_policies_that_cover_the_namespace_come_from_the_cluster(
    lineward: Command, attested: Path, data: Path, cluster: dict[str, Any]
) -> None:
    assert lineward("verify", data, attested / f"{NAME}.yaml", "--cluster") == (0, "")
    withdrawn = {"metadata": {"name": "r"}, "spec": {"reason": "leak", "dataset": "german-credit"}}
    cluster["stored"][f"{GROUP}/datasetrecalls"] = listed("DatasetRecall", withdrawn)
    assert lineward("verify", data, attested / f"{NAME}.yaml", "--cluster")[0] == 1


def test_a_dataset_version_comes_from_the_cluster(
    lineward: Command, attested: Path, data: Path, cluster: dict[str, Any]
) -> None:
    stored = yaml.safe_load((attested / f"{NAME}.yaml").read_text())
    cluster["stored"][f"{GROUP}/namespaces/ml/datasetversions/{NAME}"] = stored
    assert lineward("verify", data, f"dsv/{NAME}", "--cluster", "-n", "ml") == (0, "")
    assert lineward("verify", f"dsv/{NAME}", "--cluster")[0] == 64
    for useless in (["-n", "ml"], ["--context", "prod"]):
        assert lineward("verify", data, attested / f"{NAME}.yaml", *useless)[0] == 64
    code, said = lineward("verify", "dsv/other", "--cluster", "-n", "ml")
    assert (code, said.split(":")[0]) == (2, "ClusterUnreachable")


def test_no_policy_for_the_namespace_is_no_acceptance(
    lineward: Command, attested: Path, cluster: dict[str, Any]
) -> None:
    cluster["stored"][f"{GROUP}/provenancepolicies"] = listed("ProvenancePolicy")
    code, said = lineward("verify", attested / f"{NAME}.yaml", "--cluster")
    assert (code, said.split(":")[0]) == (2, "PolicyInvalid")


def test_attest_applies_manifest_and_version(
    lineward: Command,
    data: Path,
    tmp_path: Path,
    trust_config: Path,
    identity: list[str],
    cluster: dict[str, Any],
) -> None:
    signed = ["--trust-config", str(trust_config), "--out", str(tmp_path / "out")]
    assert lineward("attest", data, *WHAT, *identity, *signed, "--apply") == (0, "")
    paths = [path.split("?")[0] for path, _ in cluster["applied"]]
    assert paths == [
        f"/api/v1/namespaces/ml/configmaps/{NAME}-manifest",
        f"{GROUP}/namespaces/ml/datasetversions/{NAME}",
    ]
    assert cluster["applied"][1][1]["spec"]["dataset"] == "german-credit"


def test_a_cluster_that_is_not_there_is_named(
    lineward: Command, attested: Path, cluster: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster["stored"].clear()
    code, said = lineward("verify", attested / f"{NAME}.yaml", "--cluster")
    assert (code, said.split(":")[0]) == (2, "ClusterUnreachable")
    code, said = lineward("verify", attested / f"{NAME}.yaml", "--cluster", "--context", "nowhere")
    assert (code, said.split(":")[0]) == (2, "ClusterUnreachable")
