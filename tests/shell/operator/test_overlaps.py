"""A reader and a writer of one claim that admission could not keep apart are told from their pods."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.shell.operator import pods
from tests.shell.operator.pods import Json, ended, pod, running, verified
from tests.shell.operator.stage import EVENTS, Cluster

from lineward_operator import watch
from lineward_operator.kubeio import PODS


def reader(name: str = "train-x", mode: str = "enforce", *, read_only: bool = True, at: str = "12:00:00") -> Json:
    """A protected pod that takes claim credit for data."""
    obj = pod(name, plan=replace(pods.PLAN, mode=mode), creationTimestamp=f"2026-11-22T{at}Z")
    return using(obj, "credit", read_only=read_only)


def writer(name: str = "notebook", namespace: str = "ml", claim: str = "credit", at: str = "12:00:00") -> Json:
    """A pod that nobody protects, with a claim mounted writable."""
    obj = pod(name, creationTimestamp=f"2026-11-22T{at}Z")
    obj["metadata"]["namespace"] = namespace
    del obj["spec"]["initContainers"]
    return using(obj, claim, read_only=False)


def using(obj: Json, claim: str, *, read_only: bool) -> Json:
    source = {"claimName": claim, "readOnly": read_only}
    mount = {"name": "data", "mountPath": "/data", "readOnly": read_only}
    main = {"name": "main", "image": "trainer", "volumeMounts": [mount]}
    volumes = [{"name": "data", "persistentVolumeClaim": source}]
    return {**obj, "spec": {**obj["spec"], "containers": [main], "volumes": volumes}}


def mounting(obj: Json, path: str, server: str = "nfs.example", namespace: str = "ml") -> Json:
    """The pod with an NFS export in the place of its claim."""
    (volume,) = obj["spec"]["volumes"]
    read_only = volume["persistentVolumeClaim"]["readOnly"]
    obj["spec"]["volumes"] = [{"name": "data", "nfs": {"server": server, "path": path, "readOnly": read_only}}]
    obj["metadata"]["namespace"] = namespace
    return obj


def export_reader(path: str = "/export/credit", mode: str = "enforce", *, read_only: bool = True) -> Json:
    """A protected pod that takes an NFS export for data."""
    volumes = (replace(pods.PLAN.volumes[0], claim=""),)
    obj = pod("train-x", plan=replace(pods.PLAN, mode=mode, volumes=volumes))
    return mounting(using(obj, "", read_only=read_only), path)


def done(obj: Json, at: str) -> Json:
    return ended(running(obj), at=f"2026-11-22T{at}Z")


def assert_disturbed(cluster: Cluster) -> None:
    status = cluster.run()["status"]
    assert (status["verdict"], status["reason"]) == ("Unknown", "DataWritable")
    volume = status["pods"][0]["volumes"][0]
    assert (volume["verdict"], volume["reason"]) == ("Unknown", "DataWritable")
    assert "notebook" in status["message"]
    assert cluster.condition("Verified")["reason"] == "DataWritable"
    assert cluster.ledger.entries("verdict")[-1]["body"]["reason"] == "DataWritable"
    told = [obj for path, obj in cluster.api.objects.items() if path.startswith(EVENTS)]
    assert ("Pod", "DataWritable") in {(event["involvedObject"]["kind"], event["reason"]) for event in told}


@pytest.mark.parametrize("first", ["reader", "writer"])
@pytest.mark.parametrize("before_verify", [True, False])
async def test_a_reader_beside_a_writer_is_never_verified(cluster: Cluster, first: str, before_verify: bool) -> None:  # noqa: FBT001
    one = reader() if before_verify else running(verified(reader()))
    await cluster.see(*((one, writer()) if first == "reader" else (writer(), one)))
    await cluster.see(running(verified(one)))
    assert_disturbed(cluster)


async def test_it_stays_so_when_the_writer_is_gone_and_the_operator_was_replaced(cluster: Cluster) -> None:
    await cluster.see(reader(), writer())
    await cluster.see(writer(), gone=True)
    cluster.restart()
    await cluster.prime()
    await cluster.see(running(verified(reader())))
    assert_disturbed(cluster)
    sent = len(cluster.ledger.received)
    cluster.restart()
    await cluster.prime()
    assert len(cluster.ledger.received) == sent


@pytest.mark.parametrize("first", ["reader", "writer"])
@pytest.mark.parametrize(
    "other",
    [
        mounting(writer(), "/export/credit"),
        mounting(writer(), "/export/credit/"),
        mounting(writer(), "/export/credit/2026"),
        mounting(writer(), "/export/x/../credit"),
        mounting(writer(), "/export"),
        mounting(writer(), "/"),
        mounting(writer(), "/export/credit", server="NFS.example."),
        mounting(writer(), "/export/credit", namespace="elsewhere"),
    ],
    ids=lambda obj: f"{obj['metadata']['namespace']}-{obj['spec']['volumes'][0]['nfs']}",
)
async def test_an_export_has_writers_in_every_namespace_above_and_below(
    cluster: Cluster, first: str, other: Json
) -> None:
    await cluster.see(*((export_reader(), other) if first == "reader" else (other, export_reader())))
    await cluster.see(running(verified(export_reader())))
    assert_disturbed(cluster)
    elsewhere = other["metadata"]["namespace"] != "ml"
    assert (
        f"pod {'elsewhere/' if elsewhere else ''}notebook mounted the export of volume data writable"
        in (cluster.run()["status"]["message"])
    )


@pytest.mark.parametrize(
    "other",
    [
        mounting(writer(), "/export/credit-2"),
        mounting(writer(), "/export/cred"),
        mounting(writer(), "/export/credit", server="other.example"),
        mounting(using(writer(), "", read_only=True), "/export/credit"),
        writer(claim="nfs.example"),
        done(mounting(writer(), "/export/credit"), "12:00:00"),
    ],
)
async def test_who_cannot_have_written_to_an_export_disturbs_nobody(cluster: Cluster, other: Json) -> None:
    await cluster.see(other, running(verified(export_reader())))
    assert cluster.condition("Verified")["status"] == "True"


async def test_a_pod_that_cannot_be_read_writes_to_its_exports(cluster: Cluster) -> None:
    other = mounting(using(writer(), "", read_only=True), "/export/credit")
    other["spec"]["containers"] = "none"
    await cluster.see(export_reader(), other)
    await cluster.see(running(verified(export_reader())))
    assert_disturbed(cluster)


@pytest.mark.parametrize(("mode", "verdict"), [("audit", "Verified"), ("enforce", "Unknown")])
async def test_exports_under_audit_do_not_disturb_each_other(cluster: Cluster, mode: str, verdict: str) -> None:
    said = replace(pods.VERIFIED, mode="audit")
    other = export_reader("/export", "audit", read_only=False)
    other["metadata"] |= {"name": "other", "uid": "22222222-2222-4222-8222-222222222222"}
    one = export_reader(mode=mode)
    await cluster.see(running(verified(other, said)), running(verified(one, replace(said, mode=mode))))
    assert cluster.run()["status"]["verdict"] == verdict


async def test_what_met_while_nobody_watched_is_derived_from_times(cluster: Cluster) -> None:
    base = "/api/v1/namespaces/ml/pods/"
    cluster.api.put(base + "train-x", running(verified(reader(at="12:00:10"))))
    cluster.api.put(base + "notebook", done(writer(), "12:00:20"))
    cluster.restart()
    await cluster.prime()
    assert_disturbed(cluster)


@pytest.mark.parametrize(
    "other",
    [
        done(writer(), "12:00:10"),
        writer(namespace="elsewhere"),
        writer(claim="another"),
        reader("notebook"),
    ],
)
async def test_who_cannot_have_written_disturbs_nobody(cluster: Cluster, other: Json) -> None:
    await cluster.see(other, running(verified(reader(at="12:00:10"))))
    assert cluster.condition("Verified")["status"] == "True"


async def test_word_of_an_end_may_come_after_that_of_a_start(cluster: Cluster) -> None:
    for obj in (writer(), reader(at="12:00:30"), done(writer(), "12:00:20")):
        watch.note(cluster.world, PODS, obj, gone=False)
    await cluster.see(running(verified(reader(at="12:00:30"))))
    assert cluster.condition("Verified")["status"] == "True"


async def test_bytes_that_differ_are_worse_than_a_writer(cluster: Cluster) -> None:
    await cluster.see(reader(), writer())
    await cluster.see(verified(reader(), pods.REFUSED, 86))
    assert cluster.run()["status"]["reason"] == "ContentDiffers"


@pytest.mark.parametrize(("mode", "verdict"), [("audit", "Verified"), ("enforce", "Unknown")])
async def test_pods_under_audit_do_not_disturb_each_other(cluster: Cluster, mode: str, verdict: str) -> None:
    said = replace(pods.VERIFIED, mode="audit")
    other = running(verified(reader("other", "audit", read_only=False), said))
    one = running(verified(reader(mode=mode), replace(said, mode=mode)))
    await cluster.see(other, one)
    assert cluster.run()["status"]["verdict"] == verdict


async def test_what_is_gone_is_forgotten(cluster: Cluster) -> None:
    await cluster.see(running(verified(reader())), writer())
    await cluster.see(done(verified(reader()), "12:01:00"), gone=True)
    await cluster.see(writer(), gone=True)
    assert cluster.world.disturbed == {}
    assert not cluster.world.stays._readers
    assert not cluster.world.stays._writers
