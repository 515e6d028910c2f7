"""What can be said of the custom resources without an API server; CEL rules are tried on a real one in e2e."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import jsonschema
import pytest
from tests.crds.cases import CRDS, Case, broken, definition, example, examples

from lineward.domain.reasons import Reason

KINDS = {
    "DatasetVersion": ("dsv", "Namespaced"),
    "TrainingRun": ("trun", "Namespaced"),
    "ProvenanceException": ("pexc", "Namespaced"),
    "ProvenancePolicy": ("provpol", "Cluster"),
    "TrustRoot": ("troot", "Cluster"),
    "DatasetRecall": ("recall", "Cluster"),
}
NAMES = [kind.lower() for kind in KINDS]
META = {"apiVersion", "kind", "metadata"}


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = definition(name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        if path or name not in META:
            yield from nodes(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in node:
            yield from nodes(node[inner], f"{path}[]")


def test_there_is_one_definition_and_one_example_per_kind() -> None:
    assert sorted(path.stem for path in CRDS.iterdir()) == sorted(NAMES)
    assert examples() == sorted(NAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_names_scope_and_status(kind: str) -> None:
    spec = definition(kind.lower())["spec"]
    short, scope = KINDS[kind]
    assert spec["group"] == "lineward.dev"
    assert (spec["names"]["kind"], spec["names"]["shortNames"], spec["scope"]) == (kind, [short], scope)
    assert spec["names"]["categories"] == ["lineward"]
    version = spec["versions"][0]
    assert version["name"] == "v1alpha1"
    assert version["subresources"] == {"status": {}}
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_described(name: str) -> None:
    silent = [path for path, node in nodes(schema(name)) if not path.endswith("[]") and not node.get("description")]
    assert silent == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("datasetversion", ".spec.volumes[].persistentVolumeClaim.subPath"),
        ("datasetversion", ".spec.volumes[].csi"),
        ("datasetversion", ".spec.volumes[].fetched"),
        ("datasetversion", ".spec.attestations[].oci"),
        ("datasetversion", ".spec.attestations[].url"),
        ("provenancepolicy", ".spec.volumes.outputs[].persistentVolumeClaim.subPath"),
    ],
)
def test_what_no_code_uses_yet_says_so(name: str, path: str) -> None:
    """Whoever fills such a field in must not believe that something is checked."""
    assert "Recorded, not used yet" in dict(nodes(schema(name)))[path]["description"]


@pytest.mark.parametrize("name", NAMES)
def test_everything_a_user_writes_is_capped(name: str) -> None:
    def capped(node: dict[str, Any]) -> bool:
        match node["type"]:
            case "string":
                return "maxLength" in node or "enum" in node or node.get("format") == "date-time"
            case "array":
                return "maxItems" in node
            case "object":
                return "properties" in node or "maxProperties" in node
        return True

    assert [path for path, node in nodes(schema(name)) if not capped(node)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_is_anchored(name: str) -> None:
    patterns = [node["pattern"] for _, node in nodes(schema(name)) if "pattern" in node]
    assert all(pattern.startswith("^") for pattern in patterns)
    assert all(pattern.endswith("$") or pattern == "^/" for pattern in patterns)


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_has_a_message(name: str) -> None:
    rules = [rule for _, node in nodes(schema(name)) for rule in node.get("x-kubernetes-validations", [])]
    assert all(len(rule["message"]) > 10 for rule in rules)


@pytest.mark.parametrize("name", examples())
def test_the_example_is_valid(name: str) -> None:
    validator(name).validate(example(name))


@pytest.mark.parametrize("case", [case for case in broken() if case.structural], ids=str)
def test_a_broken_object_is_refused(case: Case) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(case.example).validate(case.broken())


def test_every_rule_is_tried() -> None:
    said = [case.says for case in broken()]
    rules = {
        rule["message"]
        for name in NAMES
        for _, node in nodes(schema(name))
        for rule in node.get("x-kubernetes-validations", [])
    }
    assert [message for message in sorted(rules) if not any(fragment in message for fragment in said)] == []


def test_what_an_exception_may_excuse_are_reasons() -> None:
    spec = schema("provenanceexception")["properties"]["spec"]
    assert set(spec["properties"]["reasons"]["items"]["enum"]) <= set(Reason)


_FORMATS = jsonschema.FormatChecker(formats=[])


@_FORMATS.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def validator(name: str) -> jsonschema.Draft202012Validator:
    """The schema with unknown fields refused, as `kubectl apply` refuses them."""
    return jsonschema.Draft202012Validator(_closed(schema(name)), format_checker=_FORMATS)


def _closed(node: dict[str, Any]) -> dict[str, Any]:
    closed = dict(node)
    if "properties" in node:
        closed["properties"] = {name: _closed(child) for name, child in node["properties"].items()}
        closed["additionalProperties"] = False
    if "items" in node:
        closed["items"] = _closed(node["items"])
    return closed
