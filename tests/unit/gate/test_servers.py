"""Signed data from a place that its reader chose: the volumes that a DatasetVersion names are not signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.evidence.samples import NOW, a_dataset, a_policy
from tests.unit.gate.pods import (
    DATASET,
    LISTED_NFS,
    Json,
    a_world,
    admitted,
    decided,
    mutated,
    reasons,
    with_change,
)

from lineward.domain import podspec
from lineward.domain.dataset import CsiVolume, FetchedVolume, NfsVolume, VolumeIdentity
from lineward.domain.decision import render
from lineward.domain.exemption import Excusable, Exemption
from lineward.domain.reasons import Reason
from lineward.domain.world import World

OWN_SERVER = {"server": "10.213.0.66", "path": "/export/credit"}
OUTPUTS = [{"persistentVolumeClaim": {"name": "model-out"}}]


def from_nfs(source: Json) -> Json:
    """The honest pod with its data on an NFS export instead of a claim."""

    def change(pod: Json) -> None:
        pod["spec"]["volumes"][0] = {"name": "data", "nfs": source}

    return with_change(change)


def naming(volume: VolumeIdentity, mode: str = "enforce") -> World:
    """A world in which the signed DatasetVersion names this volume too."""
    world = a_world(mode=mode)
    return replace(world, datasets={**world.datasets, volume: (DATASET,)})


def export(source: Json) -> NfsVolume:
    return NfsVolume(source["server"], source["path"])


def test_a_listed_export_is_data_like_a_claim() -> None:
    world = naming(export(LISTED_NFS))
    assert admitted(from_nfs(LISTED_NFS), world) == ()
    assert mutated(from_nfs(LISTED_NFS), world)["spec"]["volumes"][0]["nfs"] == {**LISTED_NFS, "readOnly": True}


@pytest.mark.parametrize(
    "source",
    [
        OWN_SERVER,
        {**LISTED_NFS, "path": "/export"},
        {**LISTED_NFS, "path": "/export/credit/mine"},
        {**LISTED_NFS, "path": "/export/credit/"},
        {**LISTED_NFS, "path": "/export/credit/../other"},
        {**LISTED_NFS, "server": "NFS.example"},
        {**LISTED_NFS, "server": "nfs.example."},
    ],
    ids=lambda source: f"{source['server']}:{source['path']}",
)
def test_an_export_that_the_policy_does_not_list_is_refused_though_its_bytes_are_signed(source: Json) -> None:
    assert reasons(admitted(from_nfs(source), naming(export(source)))) == [Reason.NFS_NOT_ALLOWED]


def test_a_policy_that_lists_none_allows_none() -> None:
    world = replace(naming(export(LISTED_NFS)), policies=(a_policy(volumes={"outputs": OUTPUTS}),))
    assert reasons(admitted(from_nfs(LISTED_NFS), world)) == [Reason.NFS_NOT_ALLOWED]


def test_every_policy_that_matches_must_list_it() -> None:
    world = naming(export(LISTED_NFS))
    second = replace(a_policy(volumes={"outputs": OUTPUTS}), name="second")
    (refusal,) = admitted(from_nfs(LISTED_NFS), replace(world, policies=(*world.policies, second)))
    assert refusal.reason is Reason.NFS_NOT_ALLOWED
    assert "policy second" in refusal.message


def test_no_exception_sets_it_aside() -> None:
    """Exceptions are for doubts about evidence; this rule is about who answers when the evidence is checked."""
    everything = frozenset(map(Reason, Excusable))
    until = NOW + timedelta(hours=1)
    exception = Exemption("lineward-system", "migration", "ml", "Job", "train", everything, "until Friday", until)
    world = replace(a_world(), exemptions=(exception,))
    assert admitted(from_nfs(LISTED_NFS), world) == ()
    assert reasons(admitted(from_nfs(OWN_SERVER), world)) == [Reason.NFS_NOT_ALLOWED]


def test_audit_tells_of_it_and_verifies_all_the_same() -> None:
    decision = decided(from_nfs(OWN_SERVER), naming(export(OWN_SERVER), mode="audit"))
    assert decision.allowed
    assert reasons(decision.recorded) == [Reason.NFS_NOT_ALLOWED]
    assert decision.injection
    assert decision.injection.plan.volumes[0].root == str(DATASET.integrity.root)


def test_the_message_names_export_policy_and_next_step() -> None:
    pod = from_nfs(OWN_SERVER)
    (refusal,) = admitted(pod, naming(export(OWN_SERVER)))
    message = render(refusal, podspec.parse(pod))
    assert "nfs 10.213.0.66:/export/credit" in message
    assert "policy training" in message
    assert Reason.NFS_NOT_ALLOWED.next_step[1:] in message


def test_an_inline_csi_volume_is_refused_though_a_dataset_names_its_handle() -> None:
    pod = with_change(lambda p: p["spec"]["volumes"].append({"name": "more", "csi": {"driver": "d"}}))
    assert reasons(admitted(pod, naming(CsiVolume("d", "h")))) == [Reason.VOLUME_NOT_SUPPORTED]


def test_13_no_plan_promises_to_check_what_is_fetched_into_an_empty_dir() -> None:
    def change(pod: Json) -> None:
        pod["spec"]["volumes"][0] = {"name": "data", "emptyDir": {}}

    fetched = a_dataset(volumes=[{"fetched": {"mountPath": "/data"}}], attestations=[{"bundle": "{}"}])
    world = replace(a_world(), datasets={FetchedVolume("/data"): (fetched,)})
    decision = decided(with_change(change), world)
    assert decision.allowed
    assert decision.injection
    assert decision.injection.plan.volumes == ()
