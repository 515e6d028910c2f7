"""A TrainingRun may be deleted by the editors of its namespace; what it said and nobody recorded stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.shell.operator import pods
from tests.shell.operator.pods import Json, ended, pod, refused, running, verified
from tests.shell.operator.stage import JOBS, RUNS, Cluster

from lineward_operator import watch
from lineward_operator.handlers import runindex
from lineward_operator.kubeio import PODS, TRAINING_RUNS

ENDING = "trainingruns is forbidden: unable to create new content in namespace ml because it is being terminated"


async def delete(cluster: Cluster) -> None:
    await cluster.have(TRAINING_RUNS, cluster.run(), gone=True)


def terminate(cluster: Cluster) -> None:
    """Let the namespace take nothing new, as while it is being deleted."""
    cluster.api.problem = ENDING
    cluster.api.fault = lambda method, path: 403 if (method, path) == ("POST", RUNS) else None


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_the_ledger_lacks_outlives_pods_and_run(cluster: Cluster, restarted: bool) -> None:  # noqa: FBT001
    cluster.ledger.down = True
    cluster.end_job("Failed")
    one = refused(pod())
    await cluster.see(one)
    await cluster.see(one, gone=True)
    if restarted:
        cluster.restart()
        await cluster.prime()
    await delete(cluster)
    assert cluster.run()["status"]["verdict"] == "Refused"
    cluster.ledger.down = False
    await cluster.settle()
    assert [entry["body"]["verdict"] for entry in cluster.ledger.entries("verdict")] == ["Refused"]
    assert len(cluster.ledger.entries("run")) == 1
    assert cluster.condition("Recorded")["status"] == "True"
    assert (len(cluster.world.pods), len(cluster.world.members), len(cluster.world.deleted)) == (0, 0, 0)


async def test_outputs_of_a_pod_that_is_gone_are_told_when_the_ledger_is_back(cluster: Cluster) -> None:
    cluster.ledger.down = True
    cluster.end_job()
    one = ended(running(verified(pod())))
    await cluster.see(one)
    await cluster.see(one, gone=True)
    cluster.ledger.down = False
    await cluster.settle()
    final = next(body for _, body in cluster.ledger.received if body.get("eventType") == "COMPLETE")
    assert final["outputs"][0]["name"] == "model"


async def test_a_run_that_is_recorded_and_over_stays_deleted(cluster: Cluster) -> None:
    cluster.end_job()
    one = ended(running(verified(pod())))
    await cluster.see(one)
    await cluster.see(one, gone=True)
    await delete(cluster)
    assert cluster.runs() == {}


async def test_a_run_that_goes_on_remembers_pods_of_which_it_said_more_before(cluster: Cluster) -> None:
    """Or whoever deletes it would be rid of what disagrees."""
    plan = replace(pods.PLAN, volumes=(replace(pods.PLAN.volumes[0], root=pods.OTHER),))
    other = replace(pods.VERIFIED, volumes=(replace(pods.GOOD, expected=pods.OTHER, observed=pods.OTHER),))
    first = ended(running(verified(pod("a", plan=plan), other)))
    await cluster.see(first, running(verified(pod("b"))))
    await cluster.see(first, gone=True)
    await delete(cluster)
    assert [entry["name"] for entry in cluster.run()["status"]["pods"]] == ["a", "b"]
    assert cluster.run()["status"]["reason"] == "RanksDisagree"


async def test_one_that_a_user_brought_comes_back_with_what_they_wrote(cluster: Cluster) -> None:
    mine = {
        "metadata": {"name": "my-run", "namespace": "ml"},
        "spec": {"model": "credit-model", "workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "train"}},
    }
    await cluster.have(TRAINING_RUNS, mine)
    await cluster.see(running(verified(pod())))
    await delete(cluster)
    run = cluster.run()
    assert (run["spec"]["model"], run["spec"]["workloadRef"]["uid"]) == ("credit-model", pods.JOB)
    assert run["status"]["verdict"] == "Verified"


async def test_another_run_in_its_place_takes_over_what_it_said(cluster: Cluster) -> None:
    cluster.ledger.down = True
    one = refused(pod())
    await cluster.see(one)
    await cluster.see(one, gone=True)
    cluster.restart()
    await cluster.prime()
    del cluster.api.objects[f"{RUNS}/train-11111111"]
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": pods.JOB}
    await cluster.have(
        TRAINING_RUNS, {"metadata": {"name": "train-11111111", "namespace": "ml"}, "spec": {"workloadRef": reference}}
    )
    assert cluster.run()["status"]["verdict"] == "Refused"
    cluster.ledger.down = False
    await cluster.settle()
    assert len(cluster.ledger.entries("verdict")) == 1


async def test_what_is_remembered_adds_to_what_a_run_says_and_is_not_taken_for_recorded(cluster: Cluster) -> None:
    await cluster.see(running(verified(pod("a"))))
    run = cluster.run()
    assert runindex.recorded(run["status"])
    cluster.world.deleted["ml", pods.JOB] = run
    other = {**run, "status": {**run["status"], "pods": [{**run["status"]["pods"][0], "uid": "b"}]}}
    found = runindex.remembering(cluster.world, "ml", pods.JOB, other)
    assert [entry["uid"] for entry in found["status"]["pods"]] == [run["status"]["pods"][0]["uid"], "b"]
    assert not runindex.recorded(found["status"])


@pytest.mark.parametrize("down", [False, True])
async def test_a_namespace_that_is_deleted_leaves_its_verdicts(cluster: Cluster, down: bool) -> None:  # noqa: FBT001
    cluster.ledger.down = down
    first, second = refused(pod("a")), pod("b")
    await cluster.see(first, second)
    terminate(cluster)
    await delete(cluster)
    del cluster.api.objects[f"{JOBS}/train"]
    await cluster.see(first, gone=True)
    await cluster.see(refused(second), gone=True)
    cluster.ledger.down = False
    await cluster.settle()
    assert cluster.runs() == {}
    assert {entry["body"]["pod"] for entry in cluster.ledger.entries("verdict")} == {"a", "b"}
    (last,) = cluster.ledger.entries("run")
    assert (last["body"]["phase"], len(last["body"]["pods"])) == ("Failed", 2)
    assert (len(cluster.world.pods), len(cluster.world.members), len(cluster.world.deleted)) == (0, 0, 0)


async def test_a_pod_that_ends_while_the_ledger_is_written_is_not_forgotten(cluster: Cluster) -> None:
    one = pod()
    last: list[Json] = [refused(one)]

    def meanwhile() -> None:
        if last:
            watch.note(cluster.world, PODS, last.pop(), gone=True)

    cluster.ledger.on_post = meanwhile
    await cluster.see(one)
    assert cluster.run()["status"]["verdict"] == "Refused"
    assert cluster.world.pods == {}
