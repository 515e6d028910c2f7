"""What is deleted without a word from any watch: between two lists, or where a watch lost its place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.shell.operator import pods
from tests.shell.operator.pods import Json, ended, pod, refused, running, verified
from tests.shell.operator.stage import RUNS, Cluster, policy
from tests.shell.operator.test_overlaps import reader, writer

from lineward_operator import sweep, watch
from lineward_operator.kubeio import DATASET_RECALLS, PODS, PROVENANCE_POLICIES, TRAINING_RUNS, Resource
from lineward_operator.watch import work
from lineward_operator.world import Key

RECALL: Json = {"metadata": {"name": "oops"}, "spec": {"dataset": "credit", "reason": "wrong consent"}}


def vanish(cluster: Cluster, obj: Json, resource: Resource = PODS) -> None:
    meta = obj["metadata"]
    del cluster.api.objects[resource.path(meta.get("namespace", ""), meta["name"])]


def entries(cluster: Cluster) -> list[Json]:
    return cluster.ledger.entries("verdict") + cluster.ledger.entries("run")


async def test_a_run_whose_pod_vanished_ends(cluster: Cluster) -> None:
    one = running(verified(pod()))
    await cluster.see(one)
    vanish(cluster, one)
    cluster.end_job("Failed")
    await cluster.sweep(PODS)
    assert (cluster.run()["status"]["phase"], cluster.run()["status"]["verdict"]) == ("Failed", "Verified")
    assert (pods.JOB, "FAIL") in cluster.ledger.lineage()
    assert len(cluster.ledger.entries("run")) == 1
    assert cluster.world.pods == {}


async def test_a_pod_that_vanished_before_its_verdict_is_unknown(cluster: Cluster) -> None:
    one = pod()
    await cluster.see(one)
    vanish(cluster, one)
    cluster.end_job("Failed")
    await cluster.sweep(PODS)
    found = cluster.run()["status"]["pods"][0]
    assert (found["phase"], found["verdict"]) == ("Failed", "Unknown")
    assert [entry["body"]["verdict"] for entry in cluster.ledger.entries("verdict")] == ["Unknown"]


@pytest.mark.parametrize("swept", [True, False])
async def test_a_crash_after_the_ledger_makes_no_second_story_of_a_pod_that_vanished(
    cluster: Cluster,
    swept: bool,  # noqa: FBT001
) -> None:
    one = pod()
    await cluster.see(one)
    vanish(cluster, one)
    cluster.end_job("Failed")
    cluster.api.fault = lambda method, path: 500 if method == "PATCH" and path.endswith("/status") else None
    if not swept:
        cluster.restart()
        await cluster.prime()
    await cluster.sweep(PODS)
    before = {entry["id"] for entry in entries(cluster)}
    assert len(before) == 2
    cluster.api.fault = lambda _method, _path: None
    cluster.restart()
    cluster.wait(timedelta(minutes=1))
    await cluster.prime()
    assert cluster.run()["status"]["phase"] == "Failed"
    assert {entry["id"] for entry in entries(cluster)} == before


async def test_a_verdict_that_is_not_yet_recorded_does_not_vanish_with_its_pod(cluster: Cluster) -> None:
    one = refused(pod())
    cluster.api.put(f"/api/v1/namespaces/ml/pods/{one['metadata']['name']}", one)
    watch.note(cluster.world, PODS, one, gone=False)
    vanish(cluster, one)
    await cluster.sweep(PODS)
    assert cluster.run()["status"]["verdict"] == "Refused"


async def test_what_is_missing_for_the_first_time_may_still_be_told_of_by_its_watch(cluster: Cluster) -> None:
    one = running(verified(pod()))
    await cluster.see(one)
    vanish(cluster, one)
    key = Key(sweep.KIND, "", PODS.plural)
    assert await work(cluster.world, key) == sweep.CONFIRM
    assert not next(iter(cluster.world.pods.values())).gone
    assert await work(cluster.world, key) == sweep.EVERY
    assert next(iter(cluster.world.pods.values())).gone


async def test_a_writer_that_vanished_disturbs_no_later_reader(cluster: Cluster) -> None:
    await cluster.see(writer())
    vanish(cluster, writer())
    await cluster.sweep(PODS)
    await cluster.see(running(verified(reader(at="12:01:00"))))
    assert cluster.run()["status"]["verdict"] == "Verified"


async def test_a_recall_or_policy_that_vanished_no_longer_counts(cluster: Cluster) -> None:
    recall = await cluster.have(DATASET_RECALLS, RECALL)
    other = await cluster.have(PROVENANCE_POLICIES, policy("other"))
    assert set(cluster.world.recalls) == {"oops"}
    vanish(cluster, recall, DATASET_RECALLS)
    vanish(cluster, other, PROVENANCE_POLICIES)
    await cluster.sweep(DATASET_RECALLS, PROVENANCE_POLICIES)
    assert cluster.world.recalls == {}
    assert set(cluster.world.policies) == {"training"}


async def test_one_of_the_same_name_is_not_taken_for_the_missing_one(cluster: Cluster) -> None:
    vanish(cluster, await cluster.have(DATASET_RECALLS, RECALL), DATASET_RECALLS)
    again = {**RECALL, "metadata": {"name": "oops"}}
    stored = cluster.api.put(DATASET_RECALLS.path("", "oops"), again)
    key = Key(sweep.KIND, "", DATASET_RECALLS.plural)
    await work(cluster.world, key)

    def meanwhile(_method: str, _path: str) -> None:
        watch.note(cluster.world, DATASET_RECALLS, stored, gone=False)

    cluster.api.fault = meanwhile
    await work(cluster.world, key)
    assert set(cluster.world.recalls) == {"oops"}


async def test_what_comes_while_a_list_is_read_is_not_missing(cluster: Cluster) -> None:
    one = running(verified(pod()))

    def meanwhile(method: str, path: str) -> None:
        if (method, path) == ("GET", "/api/v1/pods"):
            watch.note(cluster.world, PODS, one, gone=False)

    cluster.api.fault = meanwhile
    await work(cluster.world, Key(sweep.KIND, "", PODS.plural))
    assert cluster.world.absent == {PODS.plural: set()}


async def test_a_list_says_nothing_of_what_is_there(cluster: Cluster) -> None:
    one = pod()
    await cluster.see(one)
    later = ended(running(verified(one)))
    watch.note(cluster.world, PODS, later, gone=False)
    await cluster.sweep(PODS)
    assert cluster.run()["status"]["pods"][0]["phase"] == "Succeeded"


async def test_a_run_that_vanished_unrecorded_is_made_again(cluster: Cluster) -> None:
    cluster.ledger.down = True
    one = refused(pod())
    await cluster.see(one)
    await cluster.see(one, gone=True)
    cluster.restart()
    await cluster.prime()
    vanish(cluster, cluster.run(), TRAINING_RUNS)
    await cluster.sweep(TRAINING_RUNS)
    assert cluster.run()["status"]["verdict"] == "Refused"


@pytest.mark.parametrize(("kind", "looks"), [(None, True), ("MODIFIED", False), ("DELETED", False)])
async def test_a_list_of_kopfs_is_followed_by_one_of_ours(cluster: Cluster, kind: Any, looks: bool) -> None:  # noqa: FBT001
    handlers = list(watch.registry(cluster.world)._watching.get_all_handlers())
    (handler,) = [each for each in handlers if each.id == TRAINING_RUNS.plural]
    event: Any = {"type": kind, "object": {"metadata": {"name": "x", "namespace": "ml", "uid": "u"}}}
    await handler.fn(event=event)  # type: ignore[call-arg, misc]
    assert (Key(sweep.KIND, "", TRAINING_RUNS.plural) in cluster.world.queue._timers) is looks


async def test_nothing_is_written_where_nothing_is_missing(cluster: Cluster) -> None:
    await cluster.see(running(verified(pod())))
    before = list(cluster.api.writes)
    await cluster.sweep(*watch.HANDLERS)
    assert cluster.api.writes == before
    assert cluster.api.count(RUNS) == 1
