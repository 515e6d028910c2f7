"""The API server and Lineward's own parsers take the same objects: what one lets in, the other understands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.crds.cases import Case, broken, definition, example

from lineward.domain import dataset, exemption, policy, recall, trustroot
from lineward.domain.constraints import Constraints
from lineward.domain.errors import InvalidInputError
from lineward.domain.evidence import SigningTime
from lineward.domain.manifest import Profile

PARSERS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "datasetversion": dataset.parse,
    "provenancepolicy": policy.parse,
    "trustroot": trustroot.parse,
    "datasetrecall": recall.parse,
    "provenanceexception": exemption.parse,
}


def spec(name: str) -> dict[str, Any]:
    schema = definition(name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    properties: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return properties


@pytest.mark.parametrize("name", PARSERS)
def test_the_example_which_has_every_field_is_understood(name: str) -> None:
    PARSERS[name](example(name))


def test_every_constraint_reaches_the_judge() -> None:
    """The parser refuses fields it does not know, so that accepting the example proves it reads them all."""
    constraints = spec("provenancepolicy")["require"]["items"]["properties"]["constraints"]["properties"]
    given = example("provenancepolicy")["spec"]["require"][0]["constraints"]
    assert set(given) == set(constraints)
    judged = policy.parse(example("provenancepolicy")).require[0].constraints
    untouched = Constraints()
    assert all(getattr(judged, rule) != getattr(untouched, rule) for rule in Constraints.__slots__)


def test_words_are_the_same() -> None:
    keyless = spec("provenancepolicy")["authorities"]["items"]["properties"]["keyless"]["properties"]
    assert set(keyless["claims"]["properties"]) == set(policy.CLAIMS)
    assert spec("provenancepolicy")["mode"]["enum"] == list(policy.Mode)
    assert spec("provenancepolicy")["sidecar"]["enum"] == list(policy.Sidecar)
    assert set(spec("provenanceexception")["reasons"]["items"]["enum"]) == set(exemption.Excusable)
    assert spec("datasetversion")["lifecycle"]["properties"]["state"]["enum"] == list(dataset.Lifecycle)
    assert spec("datasetversion")["integrity"]["properties"]["profile"]["enum"] == list(Profile)
    assert spec("trustroot")["keys"]["items"]["properties"]["signingTime"]["enum"] == list(SigningTime)


def test_a_key_that_says_nothing_of_a_signing_time_means_the_same_in_a_file_and_in_the_cluster() -> None:
    said = spec("trustroot")["keys"]["items"]["properties"]["signingTime"]["default"]
    given = example("trustroot")
    del given["spec"]["keys"][0]["signingTime"]
    assert trustroot.parse(given).keys[0].signing_time == said


def test_a_path_inside_a_volume_is_the_same() -> None:
    (rule,) = manifest()["volumePath"]["x-kubernetes-validations"]
    assert rule["rule"] == f"self.matches('^{dataset.INSIDE}$')"


def test_the_rule_on_places_of_a_manifest_names_them_all() -> None:
    """A large manifest is shipped by none of them, so the rule allows that."""
    places = set(manifest()) - {"digest", "size"}
    block = spec("datasetversion")["integrity"]["properties"]["manifest"]
    (rule,) = [found["rule"] for found in block["x-kubernetes-validations"]]
    assert set(re.findall(r"has\(self\.(\w+)\)", rule)) == places
    assert rule.endswith("size() <= 1")


def manifest() -> dict[str, Any]:
    properties: dict[str, Any] = spec("datasetversion")["integrity"]["properties"]["manifest"]["properties"]
    return properties


def test_caps_are_the_same() -> None:
    attestations = spec("datasetversion")["attestations"]
    assert attestations["maxItems"] == dataset.MAX_ATTESTATIONS
    assert attestations["items"]["properties"]["bundle"]["maxLength"] == dataset.MAX_BUNDLE
    assert spec("datasetversion")["volumes"]["maxItems"] == dataset.MAX_VOLUMES
    assert spec("provenancepolicy")["authorities"]["maxItems"] == policy.MAX_AUTHORITIES
    assert spec("provenancepolicy")["require"]["maxItems"] == policy.MAX_REQUIREMENTS
    assert spec("trustroot")["trustedRoot"]["maxLength"] == trustroot.MAX_TRUSTED_ROOT
    assert spec("trustroot")["keys"]["maxItems"] == trustroot.MAX_KEYS


@pytest.mark.parametrize("case", [case for case in broken() if case.example in PARSERS and not case.stored], ids=str)
def test_what_the_api_server_refuses_is_refused_by_the_parser_or_harmless(case: Case) -> None:
    try:
        PARSERS[case.example](case.broken())
    except InvalidInputError:
        return
    assert case.path in STRICTER_SERVER, "the parser accepts what the API server refuses"


STRICTER_SERVER = frozenset(
    {
        "spec.attestations.2.url",  # nothing is fetched at admission
        "spec.volumes.4.fetched.mountPath",
        "spec.volumes.hostPaths.0",  # compared exactly
        "spec.volumes.nfs.0.path",
        "spec.match.namespaces.names.0",  # matches no namespace
        "spec.keys.0.notAfter",  # a window that is never open
        "spec.assurance",  # more levels are known than can be asked for
        "spec.verification.timeout",
        "spec.integrity.files",
        "spec.signer",  # recalls by its other fields
    }
)
"""Where the server says no to what the parser takes without harm."""
