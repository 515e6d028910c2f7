"""What people read on DatasetVersions, policies, trust roots, recalls and exceptions, and when it is judged anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.shell.operator.stage import NOW, Cluster, policy

from lineward.domain import dataset as datasets
from lineward.domain import provenance
from lineward.domain.digest import Digest
from lineward.domain.evidence import Evidence, Signer
from lineward.domain.statement import DATASET_PROVENANCE
from lineward_operator.handlers.trustroot import expires, parsed
from lineward_operator.kubeio import (
    DATASET_RECALLS,
    DATASET_VERSIONS,
    PROVENANCE_EXCEPTIONS,
    PROVENANCE_POLICIES,
    TRUST_ROOTS,
)

Json = dict[str, Any]
ROOT = "sha256:" + "a" * 64
MANIFEST = "sha256:" + "c" * 64
INTEGRITY = {
    "algorithm": "sha256",
    "profile": "portable",
    "chunkBytes": 8388608,
    "root": ROOT,
    "files": 3,
    "bytes": 12,
    "manifest": {"digest": MANIFEST, "size": 100},
}


def a_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None) -> str:
    public = (key or ec.generate_private_key(ec.SECP256R1())).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PEM = a_key()
TRUST: Json = {"metadata": {"name": "default"}, "spec": {"keys": [{"name": "vault", "pem": PEM}]}}


def dataset(bundle: str = "good", name: str = "credit-1") -> Json:
    return {
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {
            "dataset": "credit",
            "version": "1",
            "integrity": INTEGRITY,
            "volumes": [{"persistentVolumeClaim": {"name": "credit"}}],
            "attestations": [{"bundle": bundle}],
        },
    }


def evidence(subject: str = "a@b.c") -> Evidence:
    stated = datasets.parse(dataset()).integrity
    manifest = stated.manifest
    assert manifest is not None
    return Evidence(
        bundle=Digest(bytes(32)),
        signer=Signer("https://idp", subject),
        signed_at=NOW - timedelta(hours=1),
        subject=manifest.digest,
        predicate_type=DATASET_PROVENANCE,
        predicate={},
        provenance=provenance.Provenance("credit", "1", stated, created_at=NOW - timedelta(hours=1)),
    )


async def ready(cluster: Cluster, who: str = "a@b.c") -> Json:
    cluster.verifier.known[b"good"] = evidence(who)
    await cluster.have(TRUST_ROOTS, {**TRUST})
    return await cluster.have(DATASET_VERSIONS, dataset())


async def test_a_good_bundle_is_verified_and_its_signer_shown(cluster: Cluster) -> None:
    obj = await ready(cluster)
    said = cluster.condition("Verified", obj)
    assert (said["status"], said["reason"], said["observedGeneration"]) == ("True", "Verified", 1)
    assert "accepted by training" in said["message"]
    shown = obj["status"]["evidence"][0]
    assert shown["signer"] == "a@b.c (https://idp)"
    assert shown["signedAt"] == "2026-11-22T11:02:00Z"


async def test_a_restart_verifies_but_writes_nothing(cluster: Cluster) -> None:
    await ready(cluster)
    cluster.api.writes.clear()
    cluster.restart()
    await cluster.prime()
    assert cluster.api.writes == []


async def test_a_bundle_is_verified_once(cluster: Cluster) -> None:
    await ready(cluster)
    await cluster.have(DATASET_RECALLS, {"metadata": {"name": "r"}, "spec": {"reason": "x", "dataset": "other"}})
    assert cluster.verifier.calls == 1


async def test_the_wrong_identity_is_named(cluster: Cluster) -> None:
    said = cluster.condition("Verified", await ready(cluster, "mallory@b.c"))
    assert (said["status"], said["reason"]) == ("False", "WrongIdentity")
    assert "mallory@b.c" in said["message"]


async def test_a_bad_bundle_is_refused_with_its_reason(cluster: Cluster) -> None:
    await cluster.have(TRUST_ROOTS, {**TRUST})
    obj = await cluster.have(DATASET_VERSIONS, dataset("forged"))
    assert cluster.condition("Verified", obj)["reason"] == "EvidenceInvalid"
    assert obj["status"]["evidence"] == [{"index": 0, "reason": "EvidenceInvalid", "message": "the signature is wrong"}]


async def test_relabelled_evidence_is_refused(cluster: Cluster) -> None:
    await ready(cluster)
    other = dataset(name="credit-2")
    other["spec"]["version"] = "2"
    obj = await cluster.have(DATASET_VERSIONS, other)
    assert cluster.condition("Verified", obj)["reason"] == "SpecMismatch"


async def test_without_trust_root_nothing_is_known_until_it_comes(cluster: Cluster) -> None:
    cluster.verifier.known[b"good"] = evidence()
    obj = await cluster.have(DATASET_VERSIONS, dataset())
    said = cluster.condition("Verified", obj)
    assert (said["status"], said["reason"]) == ("Unknown", "TrustRootMissing")
    await cluster.have(TRUST_ROOTS, {**TRUST})
    path = DATASET_VERSIONS.path("ml", "credit-1")
    assert cluster.condition("Verified", cluster.api.objects[path])["status"] == "True"


async def test_without_policy_nobody_says_who_counts(cluster: Cluster) -> None:
    await ready(cluster)
    await cluster.have(PROVENANCE_POLICIES, policy(), gone=True)
    said = cluster.condition("Verified", cluster.api.objects[DATASET_VERSIONS.path("ml", "credit-1")])
    assert (said["status"], said["reason"]) == ("Unknown", "NoPolicy")


async def test_a_broken_policy_that_may_concern_the_namespace_leaves_doubt(cluster: Cluster) -> None:
    await ready(cluster)
    broken = policy("broken")
    broken["spec"]["requrie"] = []
    await cluster.have(PROVENANCE_POLICIES, broken)
    said = cluster.condition("Verified", cluster.api.objects[DATASET_VERSIONS.path("ml", "credit-1")])
    assert (said["status"], said["reason"]) == ("Unknown", "PolicyInvalid")


async def test_all_policies_must_accept(cluster: Cluster) -> None:
    await ready(cluster)
    strict = policy("strict")
    strict["spec"]["authorities"][0]["keyless"]["subject"] = "auditor@b.c"
    await cluster.have(PROVENANCE_POLICIES, strict)
    said = cluster.condition("Verified", cluster.api.objects[DATASET_VERSIONS.path("ml", "credit-1")])
    assert (said["status"], said["reason"]) == ("False", "WrongIdentity")
    assert "policy strict" in said["message"]


async def test_a_recall_takes_the_verdict_back_and_counts_its_reach(cluster: Cluster) -> None:
    await ready(cluster)
    recall = {"metadata": {"name": "r"}, "spec": {"reason": "poisoned", "root": ROOT}}
    obj = await cluster.have(DATASET_RECALLS, recall)
    said = cluster.condition("Verified", cluster.api.objects[DATASET_VERSIONS.path("ml", "credit-1")])
    assert (said["status"], said["reason"]) == ("False", "Recalled")
    assert cluster.condition("Ready", obj)["message"] == "reaches 1 version and 0 runs"
    await cluster.have(DATASET_RECALLS, recall, gone=True)
    said = cluster.condition("Verified", cluster.api.objects[DATASET_VERSIONS.path("ml", "credit-1")])
    assert said["status"] == "True"


async def test_a_recall_that_names_nothing_recalls_nothing(cluster: Cluster) -> None:
    await ready(cluster)
    obj = await cluster.have(DATASET_RECALLS, {"metadata": {"name": "r"}, "spec": {"reason": "x"}})
    assert cluster.condition("Ready", obj)["status"] == "False"
    said = cluster.condition("Verified", cluster.api.objects[DATASET_VERSIONS.path("ml", "credit-1")])
    assert said["status"] == "True"


async def test_a_policy_says_what_it_lacks(cluster: Cluster) -> None:
    path = PROVENANCE_POLICIES.path("", "training")
    assert cluster.condition("Ready", cluster.api.objects[path])["reason"] == "TrustRootMissing"
    await cluster.have(TRUST_ROOTS, {**TRUST})
    assert cluster.condition("Ready", cluster.api.objects[path])["status"] == "True"


async def test_a_trust_root_that_is_none_is_said_to_be(cluster: Cluster) -> None:
    obj = await cluster.have(TRUST_ROOTS, {"metadata": {"name": "default"}, "spec": {"trustedRoot": "{}"}})
    ready = cluster.condition("Ready", obj)
    assert ready["reason"] == "TrustRootInvalid"
    assert ready["message"] == "trustedRoot lacks mediaType, tlogs, certificateAuthorities, ctlogs"
    odd = a_key(rsa.generate_private_key(65537, 2048))
    for pems in ([PEM, odd], [odd, PEM]):
        keys = [{"name": f"k{i}", "pem": pem} for i, pem in enumerate(pems)]
        obj = await cluster.have(TRUST_ROOTS, {"metadata": {"name": "default"}, "spec": {"keys": keys}})
        ready = cluster.condition("Ready", obj)
        assert (ready["status"], ready["reason"]) == ("False", "TrustRootInvalid")
        assert f"key k{pems.index(odd)}: only P-256" in ready["message"]


async def test_a_trust_root_shows_when_its_first_key_ends(cluster: Cluster) -> None:
    ends = {"a": "2026-12-01T00:00:00Z", "b": "2027-12-01T00:00:00Z", "gone": "2025-12-01T00:00:00Z"}
    keys = [{"name": name, "pem": a_key(), "notAfter": end} for name, end in ends.items()]
    obj = await cluster.have(TRUST_ROOTS, {"metadata": {"name": "default"}, "spec": {"keys": keys}})
    assert obj["status"]["expires"] == "2026-12-01T00:00:00Z"
    assert cluster.condition("Expiring", obj)["status"] == "True"


def test_the_end_of_a_sigstore_root_is_read(vectors: Any) -> None:
    found = sorted(vectors.rglob("*trusted_root*.json"))
    assert found
    root = parsed({"metadata": {"name": "x"}, "spec": {"trustedRoot": found[0].read_text()}})
    assert not isinstance(root, Exception)
    end = expires(root, NOW)
    assert end is None or end > NOW


async def test_an_exception_elsewhere_is_ignored_and_says_so(cluster: Cluster) -> None:
    spec = {
        "namespace": "ml",
        "workload": {"kind": "Job", "name": "train"},
        "reasons": ["Unvouched"],
        "justification": "first run",
        "expires": "2026-11-22T13:00:00Z",
    }
    obj = await cluster.have(PROVENANCE_EXCEPTIONS, {"metadata": {"name": "x", "namespace": "ml"}, "spec": spec})
    assert cluster.condition("Ignored", obj)["status"] == "True"
    assert cluster.condition("Ready", obj)["reason"] == "ExceptionIgnored"
    own = {"metadata": {"name": "x", "namespace": "lineward-system"}, "spec": spec}
    assert cluster.condition("Ready", await cluster.have(PROVENANCE_EXCEPTIONS, own))["status"] == "True"
    late = replace(cluster.world, now=lambda: NOW + timedelta(days=1))
    cluster.world.now = late.now
    stored = await cluster.have(PROVENANCE_EXCEPTIONS, {**own})
    assert cluster.condition("Ready", stored)["reason"] == "OutsideValidity"
