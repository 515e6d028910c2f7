"""Custom resources are parsed once and strictly: a misspelt rule is an error, never a rule that does not apply."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.evidence.samples import DATASET, ISSUER, POLICY, ROOT, SUBJECT, a_dataset, a_policy, changed

from lineward.domain import dataset, exemption, policy, recall, trustroot
from lineward.domain.dataset import ClaimVolume, CsiVolume, FetchedVolume, ImageVolume, Lifecycle, NfsVolume
from lineward.domain.errors import InvalidInputError
from lineward.domain.evidence import SigningTime
from lineward.domain.policy import DEFAULT_TIMEOUT, Mode, Sidecar
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE

PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
TRUST_ROOT: dict[str, Any] = {
    "metadata": {"name": "default"},
    "spec": {
        "trustedRoot": "{}",
        "keys": [
            {"name": "vault", "pem": PEM, "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2027-01-01T00:00:00Z"}
        ],
    },
}
EXCEPTION: dict[str, Any] = {
    "metadata": {"name": "e", "namespace": "lineward-system"},
    "spec": {
        "namespace": "ml",
        "workload": {"kind": "Job", "name": "train"},
        "claim": "credit",
        "reasons": ["Unvouched"],
        "justification": "migration",
        "expires": "2026-07-01T00:00:00Z",
    },
}
RECALL: dict[str, Any] = {"metadata": {"name": "r"}, "spec": {"reason": "leak", "root": ROOT}}


def test_a_dataset_version_is_read_whole() -> None:
    read = a_dataset()
    assert read.volumes == (
        ClaimVolume("credit"),
        ImageVolume("registry/x@sha256:" + "aa" * 32),
        CsiVolume("d", "h"),
        NfsVolume("s", "/p"),
        FetchedVolume("/data"),
    )
    assert (read.uid, read.lifecycle, read.previous_version) == ("u-1", Lifecycle.ACTIVE, "0.9.0")
    assert [bool(attestation.bundle) for attestation in read.attestations] == [True, False, False]
    assert read.integrity.manifest is not None
    assert read.integrity.manifest.key == "manifest.lwm"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec", ...),
        ("spec", []),
        ("spec/dataset", ...),
        ("spec/dataset", "a b"),
        ("spec/version", 1.0),
        ("spec/version", "x" * 129),
        ("spec/integrity/algorithm", "md5"),
        ("spec/integrity/root", "sha256:" + "A" * 64),
        ("spec/integrity/files", -1),
        ("spec/integrity/files", True),
        ("spec/integrity/bytes", 2**63),
        ("spec/integrity/chunkBytes", 1),
        ("spec/integrity/unknown", 1),
        ("spec/integrity/manifest/volumePath", "also/here"),
        ("spec/volumes/0/nfs", {"server": "s", "path": "/p"}),
        ("spec/volumes/0/persistentVolumeClaim/name", "Bad_Name"),
        ("spec/volumes/1/image/reference", "registry/x:latest"),
        ("spec/volumes", [{}]),
        ("spec/volumes", [{"persistentVolumeClaim": {"name": "c"}}] * 65),
        ("spec/attestations", [{"bundle": "{}"}] * 17),
        ("spec/attestations", [{"bundle": "{}", "oci": "x"}]),
        ("spec/attestations", [{"bundle": "x" * 600_000}]),
        ("spec/attestations", [{"bundle": "\ud800"}]),
        ("spec/attestations", [{"bundle": "\x00"}]),
        ("spec/lifecycle/state", "gone"),
        ("spec/lifecycle/state", None),
        ("spec/lifecycle", None),
        ("spec/lifecycle", {"sate": "revoked"}),
        ("spec/integrity/manifest/configMap/unknown", "x"),
        ("spec/unknown", 1),
        ("metadata/name", "../x"),
    ],
)
def test_a_dataset_version_that_is_none(path: str, value: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        dataset.parse(changed(DATASET, path, value))
    assert caught.value.reason is Reason.DATASET_INVALID
    assert len(caught.value.message) < 400


def manifest_in_the_volume(path: str) -> dataset.DatasetVersion:
    obj = copy.deepcopy(DATASET)
    where = obj["spec"]["integrity"]["manifest"]
    del where["configMap"]
    where["volumePath"] = path
    return dataset.parse(obj)


@pytest.mark.parametrize("path", ["m.lwm", "a/b/m.lwm", ".hidden/..data/...", "a b/\u00e9.lwm", "..a"])
def test_a_manifest_may_lie_anywhere_in_its_volume(path: str) -> None:
    integrity = manifest_in_the_volume(path).integrity
    assert integrity.manifest
    assert integrity.manifest.volume_path == path


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "../m", "a/../m", "a/..", ".", "./m", "a//m", "a/", "//"])
def test_a_manifest_never_lies_outside_its_volume(path: str) -> None:
    with pytest.raises(InvalidInputError, match="volumePath must match"):
        manifest_in_the_volume(path)


def test_a_policy_starts_in_audit_and_always_demands_provenance() -> None:
    read = policy.parse(changed(POLICY, "spec/mode", ...))
    assert (read.mode, read.quorum, read.sidecar, read.timeout) == (Mode.AUDIT, 1, Sidecar.ENABLED, DEFAULT_TIMEOUT)
    assert [requirement.predicate_type for requirement in read.require] == [DATASET_PROVENANCE]
    other = a_policy(require=[{"predicateType": "https://x"}])
    assert [requirement.predicate_type for requirement in other.require] == [DATASET_PROVENANCE, "https://x"]


KEYLESS = {"issuer": ISSUER, "subject": SUBJECT}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/match", ...),
        ("spec/match/namespaces", {}),
        ("spec/match/namespaces", {"names": []}),
        ("spec/match/namespace", {}),
        ("spec/match/pods", {"matchExpressions": [{"key": "a", "operator": "In"}]}),
        ("spec/match/pods", {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
        ("spec/match/pods", {"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}),
        ("spec/mode", "Enforce"),
        ("spec/trustRootRef", ...),
        ("spec/authorities", ...),
        ("spec/authorities", []),
        ("spec/authorities", [{"name": "a", "keyless": KEYLESS}] * 2),
        ("spec/authorities/0/key", {"name": "k"}),
        ("spec/authorities/0/keyless/subjectRegExp", "x"),
        ("spec/authorities/0/keyless/issuer", ...),
        ("spec/authorities/0/keyless/issuer", ""),
        ("spec/authorities/0/keyless/subject", ...),
        ("spec/authorities/0/keyless/claims", {"unheardOf": "x"}),
        ("spec/authorities/0/keyless", {"issuer": ISSUER, "subjectRegExp": "a+"}),
        ("spec/authorities/0/keyless", {"issuer": ISSUER, "subjectRegExp": "^a\\$"}),
        ("spec/authorities/0/keyless", {"issuer": ISSUER, "subjectRegExp": "^(?=a)a$"}),
        ("spec/authorities/0/keyless", {"issuer": ISSUER, "subjectRegExp": "^($"}),
        ("spec/authorities/0", {"name": "a", "key": {"pem": "nonsense"}}),
        ("spec/quorum", 0),
        ("spec/quorum", 2),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "maxAge": "1 year"}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "maxAge": ""}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"licences": ["MIT"]}}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"consent": "Optional"}}]),
        ("spec/require", [{"predicateType": "https://x", "constraints": {"licenses": ["MIT"]}}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "maxAge": None}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": None}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"licenses": None}}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"consent": None}}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"licenses": []}}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"classifications": []}}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"purposes": []}}]),
        ("spec/require", [{"predicateType": DATASET_PROVENANCE, "constraints": {"sourceSystems": []}}]),
        ("spec/quorum", None),
        ("spec/require", None),
        ("spec/match/pods", None),
        ("spec/authorities/0/keyless/claims", {}),
        ("spec/authorities/0/keyless/claims", None),
        ("spec/volumes", {"outputs": [{"nfs": {}}]}),
        ("spec/volumes", {"nfs": [{"server": "s"}]}),
        ("spec/volumes", {"nfs": [{"path": "/p"}]}),
        ("spec/volumes", {"nfs": [{"server": "s", "path": "/p", "below": True}]}),
        ("spec/volumes", {"nfs": ["s:/p"]}),
        ("spec/volumes", {"nsf": [{"server": "s", "path": "/p"}]}),
        ("spec/assurance", "most"),
        ("spec/sidecar", "on"),
        ("spec/verification", {"timeout": "9999h"}),
        ("spec/verification", {"timout": "1h"}),
        ("spec/unheardOf", 1),
    ],
)
def test_a_policy_that_is_none(path: str, value: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        policy.parse(changed(POLICY, path, value))
    assert caught.value.reason is Reason.POLICY_INVALID


def test_a_policy_is_read_whole() -> None:
    read = a_policy(
        volumes={
            "outputs": [{"persistentVolumeClaim": {"name": "model-out"}}],
            "hostPaths": ["/dev/x"],
            "nfs": [{"server": "s", "path": "/p"}],
        },
        verification={"timeout": "1h30m"},
        require=[{"predicateType": DATASET_PROVENANCE, "maxAge": "24h"}],
    )
    assert read.volumes.outputs == (ClaimVolume("model-out"),)
    assert read.volumes.host_paths == ("/dev/x",)
    assert read.volumes.nfs == (NfsVolume("s", "/p"),)
    assert read.timeout == timedelta(minutes=90)
    assert read.require[0].max_age == timedelta(days=1)


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"namespaces": {"names": ["ml"]}}, True),
        ({"namespaces": {"names": ["other"]}}, False),
        ({"namespaces": {"selector": {"matchLabels": {"team": "a"}}}}, True),
        ({"namespaces": {"selector": {"matchLabels": {"team": "b"}}}}, False),
        ({"namespaces": {"names": ["ml"], "selector": {"matchLabels": {"team": "b"}}}}, False),
        ({"namespaces": {"names": ["ml"]}, "pods": {"matchLabels": {"app": "train"}}}, True),
        ({"namespaces": {"names": ["ml"]}, "pods": {"matchLabels": {"app": "serve"}}}, False),
        (
            {
                "namespaces": {"names": ["ml"]},
                "pods": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]},
            },
            True,
        ),
        (
            {
                "namespaces": {"names": ["ml"]},
                "pods": {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["1"]}]},
            },
            True,
        ),
        ({"namespaces": {"names": ["ml"]}, "pods": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, True),
        ({"namespaces": {"names": ["ml"]}, "workloads": ["Job"]}, True),
        ({"namespaces": {"names": ["ml"]}, "workloads": ["Pod"]}, False),
    ],
)
def test_a_policy_matches_by_namespace_pod_and_owner(match: dict[str, Any], *, hit: bool) -> None:
    assert a_policy(match=match).matches("ml", {"team": "a"}, {"app": "train"}, "Job") is hit


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec", {}),
        ("spec/keys/0/pem", "nonsense"),
        ("spec/keys/0/pem", PEM.replace("PUBLIC", "PRIVATE")),
        ("spec/keys/0/name", ...),
        ("spec/keys/0/notAfter", "soon"),
        ("spec/keys/0/notAfter", None),
        ("spec/keys/0/notafter", "2027-01-01T00:00:00Z"),
        ("spec/keys/0/signingTime", "Always"),
        ("spec/keys/0/signingTime", "required"),
        ("spec/keys/0/signingTime", ""),
        ("spec/keys/0/signingTime", None),
        ("spec/keys", [TRUST_ROOT["spec"]["keys"][0]] * 2),
        ("spec/keys", [TRUST_ROOT["spec"]["keys"][0], {"name": "other", "pem": PEM.replace("AAAA", "AA\nAA")}]),
        ("spec/keys", [{"name": word.lower(), "pem": PEM, "signingTime": word} for word in SigningTime]),
        ("spec/trustedRoot", {}),
        ("spec/unknown", 1),
    ],
)
def test_a_trust_root_that_is_none(path: str, value: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        trustroot.parse(changed(TRUST_ROOT, path, value))
    assert caught.value.reason is Reason.TRUST_ROOT_INVALID


def test_a_trust_root_is_known_by_its_content() -> None:
    read = trustroot.parse(TRUST_ROOT)
    assert read.keys[0].not_after == datetime(2027, 1, 1, tzinfo=UTC)
    assert read.digest == trustroot.parse(changed(TRUST_ROOT, "metadata/name", "other")).digest
    later = changed(TRUST_ROOT, "spec/keys/0/notAfter", "2028-01-01T00:00:00Z")
    assert read.digest != trustroot.parse(later).digest
    strict = trustroot.parse(changed(TRUST_ROOT, "spec/keys/0/signingTime", "Required"))
    assert (read.keys[0].signing_time, strict.keys[0].signing_time) == (SigningTime.OPTIONAL, SigningTime.REQUIRED)
    assert read.digest != strict.digest
    optional = trustroot.parse(changed(TRUST_ROOT, "spec/keys/0/signingTime", "Optional"))
    assert read.digest == optional.digest, "the API server writes the default, a file may leave it out"


def test_a_signing_time_is_required_only_where_something_can_tell_it() -> None:
    strict = changed(TRUST_ROOT, "spec/keys/0/signingTime", "Required")
    assert trustroot.parse(strict).keys
    with pytest.raises(InvalidInputError, match="is missing: a key requires a signing time"):
        trustroot.parse(changed(strict, "spec/trustedRoot", ...))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/expires", ...),
        ("spec/reasons", []),
        ("spec/reasons", ["Privileged"]),
        ("spec/reasons", ["ContentDiffers"]),
        ("spec/justification", ""),
        ("spec/workload/name", ...),
        ("spec/workload", {"kind": "Job", "name": "x", "labels": {}}),
    ],
)
def test_an_exception_that_is_none(path: str, value: object) -> None:
    with pytest.raises(InvalidInputError):
        exemption.parse(changed(EXCEPTION, path, value))


def test_an_exception_excuses_exactly_what_it_says() -> None:
    read = exemption.parse(EXCEPTION)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    job = ("ml", "Job", "train")
    assert read.home == "lineward-system"
    assert read.excuses(Reason.UNVOUCHED, job, "credit", now)
    assert not read.excuses(Reason.WRONG_IDENTITY, job, "credit", now)
    assert not read.excuses(Reason.UNVOUCHED, ("prod", "Job", "train"), "credit", now)
    assert not read.excuses(Reason.UNVOUCHED, ("ml", "Pod", "train"), "credit", now)
    assert not read.excuses(Reason.UNVOUCHED, ("ml", "Job", "train-2"), "credit", now)
    assert not read.excuses(Reason.UNVOUCHED, job, "other", now)
    assert not read.excuses(Reason.UNVOUCHED, job, "credit", read.expires)
    anywhere = exemption.parse(changed(EXCEPTION, "spec/claim", ""))
    assert anywhere.excuses(Reason.UNVOUCHED, job, "other", now)


@pytest.mark.parametrize(
    ("path", "value"), [("spec/reason", ...), ("spec/root", "x"), ("spec/roots", []), ("spec/signer", {"name": "x"})]
)
def test_a_recall_that_is_none(path: str, value: object) -> None:
    with pytest.raises(InvalidInputError):
        recall.parse(changed(RECALL, path, value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@given(
    JSON, st.sampled_from(["spec/integrity", "spec/volumes", "spec/attestations", "spec", "metadata", "spec/lifecycle"])
)
def test_no_json_makes_a_dataset_parser_crash(value: object, path: str) -> None:
    try:
        dataset.parse(changed(DATASET, path, value))
    except InvalidInputError:
        return


@given(JSON, st.sampled_from(["spec/match", "spec/authorities", "spec/require", "spec/volumes", "spec/quorum", "spec"]))
def test_no_json_makes_a_policy_parser_crash(value: object, path: str) -> None:
    try:
        policy.parse(changed(POLICY, path, value))
    except InvalidInputError:
        return
