"""The six kinds on a real API server: what it takes, what it refuses and in which words, how it explains itself.

They are applied alone, without the chart, whose copies of them are compared elsewhere.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.crds.cases import CRDS, Case, broken, definition, example, examples

from e2e.support.controlplane import control_plane
from e2e.support.kubectl import Kubectl, Object, wait_for
from e2e.tools.build import binary

NAMESPACE = "crds-e2e"
STORED = ("datasetversion", "trainingrun")


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """An API server with the kinds, and a namespace with one stored example of those whose changes are judged."""
    with control_plane(tmp_path_factory.mktemp("plane")) as plane:
        cluster = Kubectl(binary("kubectl"), plane.kubeconfig)
        cluster("apply", "-f", str(CRDS))
        cluster("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        wait_for("the kinds explained", lambda: all(_explained(cluster, name) for name in examples()))
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        within = cluster.within(NAMESPACE)
        within.apply(*(here(example(name)) for name in STORED))
        yield within


def _explained(kubectl: Kubectl, name: str) -> bool:
    """Whether the API server's OpenAPI document has the kind; it comes a moment after the kind itself."""
    return kubectl.run("explain", f"{name}.spec").returncode == 0


def here(obj: Object) -> Object:
    """The object in the test's namespace where its kind is namespaced."""
    moved = copy.deepcopy(obj)
    if "namespace" in moved["metadata"]:
        moved["metadata"]["namespace"] = NAMESPACE
    return moved


def ask(kubectl: Kubectl, verb: str, obj: Object) -> subprocess.CompletedProcess[bytes]:
    return kubectl.run(verb, "--dry-run=server", "-f", "-", stdin=json.dumps(obj).encode())


@pytest.mark.parametrize("name", examples())
def test_an_example_is_accepted(kubectl: Kubectl, name: str) -> None:
    obj = here(example(name))
    obj["metadata"]["name"] = "another"
    done = ask(kubectl, "create", obj)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", broken(), ids=str)
def test_a_broken_object_is_refused_and_told_why(kubectl: Kubectl, case: Case) -> None:
    obj = here(case.broken())
    if not case.stored:
        obj["metadata"]["name"] = "another"
    done = ask(kubectl, "replace" if case.stored else "create", obj)
    assert done.returncode != 0
    assert case.says in done.stderr.decode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("volumes", [{"persistentVolumeClaim": {"name": "copy"}}]),
        ("lifecycle", {"state": "revoked", "reason": "wrong labels"}),
        ("attestations", [*example("datasetversion")["spec"]["attestations"], {"bundle": '{"second":"signer"}'}]),
    ],
)
def test_what_may_change_may_change(kubectl: Kubectl, path: str, value: Any) -> None:
    obj = here(example("datasetversion"))
    obj["spec"][path] = value
    done = ask(kubectl, "replace", obj)
    assert done.returncode == 0, done.stderr


def test_large_evidence_fits(kubectl: Kubectl) -> None:
    obj = here(example("datasetversion"))
    obj["metadata"]["name"] = "large"
    obj["spec"]["attestations"] = [{"bundle": "x" * (512 * 1024)}, {"bundle": "y" * (512 * 1024)}]
    done = ask(kubectl, "create", obj)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", examples())
def test_a_misspelt_field_is_refused(kubectl: Kubectl, name: str) -> None:
    obj = here(example(name))
    obj["metadata"]["name"] = "another"
    obj["spec"]["qourum"] = 2
    done = ask(kubectl, "create", obj)
    assert done.returncode != 0
    assert 'unknown field "spec.qourum"' in done.stderr.decode()


def test_the_definitions_can_be_applied_alone(kubectl: Kubectl) -> None:
    done = kubectl.run("apply", "--dry-run=server", "-f", str(CRDS))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", examples())
def test_explain_reads_well(kubectl: Kubectl, name: str) -> None:
    schema = definition(name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    said = " ".join(kubectl("explain", f"{name}.spec").split())
    assert " ".join(schema["properties"]["spec"]["description"].split()) in said
    for field, inner in schema["properties"]["spec"]["properties"].items():
        assert field in said
        assert " ".join(inner["description"].split()) in said


def test_one_word_lists_them_all(kubectl: Kubectl) -> None:
    said = kubectl("get", "lineward")
    assert "german-credit-1.0.0" in said
    assert "VERIFIED" in said
    for short in ("dsv", "trun", "pexc", "provpol", "troot", "recall"):
        kubectl("get", short)
