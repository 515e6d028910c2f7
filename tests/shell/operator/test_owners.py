"""What tenants write into owner references holds up nobody else, and not for ever themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.shell.operator import pods
from tests.shell.operator.fakeapi import FakeApi, connected
from tests.shell.operator.pods import Json, ended, pod, refused, running, verified
from tests.shell.operator.stage import JOBS, REGISTRATION, Cluster

from lineward_operator.kubeio import TRAINING_RUNS, KubeError
from lineward_operator.watch import work
from lineward_operator.world import Key

OTHER = "44444444-4444-4444-8444-444444444444"
DOWN = "/apis/metrics.example/v1"
SHORT, LONG = timedelta(seconds=30), timedelta(minutes=3)


def owned(api_version: str, name: str = "bad") -> Json:
    """A pod whose controller is of any API version that a tenant liked."""
    obj = pod(name, plan=replace(pods.PLAN, owner_kind="Thing", owner_name=name, owner_uid=OTHER))
    obj["metadata"]["ownerReferences"][0]["apiVersion"] = api_version
    return obj


def faulty(prefix: str, status: int = 503) -> Callable[[str, str], int | None]:
    return lambda _method, path: status if path.startswith(prefix) else None


def names(cluster: Cluster) -> set[str]:
    return {run["spec"]["workloadRef"]["name"] for run in cluster.runs().values()}


@pytest.mark.parametrize("api_version", ["../healthz", "../../healthz", "a/../v1", "/v1", "v1?limit=1", "x y/v1", "V1"])
async def test_an_api_version_that_no_server_has_is_never_asked_for(cluster: Cluster, api_version: str) -> None:
    cluster.api.fault = faulty("/healthz", 500)
    cluster.api.requests.clear()
    await cluster.see(refused(owned(api_version)), running(verified(pod())))
    verdicts = {run["spec"]["workloadRef"]["kind"]: run["status"]["verdict"] for run in cluster.runs().values()}
    assert verdicts == {"Thing": "Refused", "Job": "Verified"}
    asked = {path for _, path in cluster.api.requests}
    assert not any("healthz" in path or "Thing" in path for path in asked)
    assert cluster.world.unplaced == {"ml": set()}


async def test_an_api_version_in_the_owner_of_an_owner_is_not_asked_for_either(cluster: Cluster) -> None:
    ref = {"apiVersion": "../healthz", "kind": "Thing", "name": "x", "uid": OTHER, "controller": True}
    cluster.api.objects[f"{JOBS}/train"]["metadata"]["ownerReferences"] = [ref]
    cluster.api.fault = faulty("/healthz", 500)
    await cluster.see(running(verified(pod())))
    assert cluster.run()["spec"]["workloadRef"]["kind"] == "Job"


async def test_nor_is_one_in_a_run_that_a_user_brought(cluster: Cluster) -> None:
    reference = {"apiVersion": "../healthz", "kind": "Thing", "name": "x", "uid": OTHER}
    await cluster.have(
        TRAINING_RUNS, {"metadata": {"name": "r", "namespace": "ml"}, "spec": {"workloadRef": reference}}
    )
    assert not any("healthz" in path for _, path in cluster.api.requests)
    assert cluster.run()["status"]["phase"] == "Pending"


async def test_a_version_that_crds_may_have_is_asked_for(cluster: Cluster) -> None:
    await cluster.see(owned("example.org/stable"))
    assert ("GET", "/apis/example.org/stable") in cluster.api.requests


async def test_an_owner_whose_server_is_down_holds_up_no_other_run(cluster: Cluster) -> None:
    cluster.api.fault = faulty(DOWN)
    cluster.end_job()
    await cluster.see(owned("metrics.example/v1"), ended(running(verified(pod()))))
    assert cluster.run()["status"]["phase"] == "Succeeded"
    assert len(cluster.ledger.entries("verdict")) == len(cluster.ledger.entries("run")) == 1


async def test_nor_does_one_that_is_still_being_asked(cluster: Cluster) -> None:
    await cluster.see(running(verified(pod())))
    cluster.world.pods["new"] = replace(next(iter(cluster.world.pods.values())), workload=None)
    cluster.world.unplaced["ml"].add("new")
    key = Key("trainingruns", "ml", pods.JOB)
    assert await work(cluster.world, key) == pytest.approx(0.5)
    cluster.wait(SHORT)
    assert await work(cluster.world, key) == pytest.approx(0.5)
    cluster.wait(SHORT)
    assert await work(cluster.world, key) is None


async def test_a_run_waits_for_another_pod_of_its_own_owner(cluster: Cluster) -> None:
    one, other = pod(), pod("train-y")
    cluster.api.fault = faulty(JOBS)
    await cluster.see(one, other)
    cluster.world.pods[one["metadata"]["uid"]].workload = cluster.world.pods[one["metadata"]["uid"]].observed.owner
    cluster.world.members["ml", pods.JOB] = {one["metadata"]["uid"]}
    assert await work(cluster.world, Key("trainingruns", "ml", pods.JOB)) == pytest.approx(0.5)


async def test_such_a_pod_gets_a_run_of_its_own_after_a_while(cluster: Cluster) -> None:
    cluster.api.fault = faulty(DOWN)
    await cluster.see(refused(owned("metrics.example/v1")))
    cluster.wait(SHORT)
    await cluster.settle()
    assert cluster.runs() == {}
    cluster.wait(LONG)
    await cluster.settle()
    assert cluster.run()["status"]["verdict"] == "Refused"
    assert [entry["subject"] for entry in cluster.ledger.entries("verdict")] == ["ml/Thing/bad"]
    assert cluster.world.unplaced == {"ml": set()}


async def test_the_api_server_itself_is_waited_for_as_long_as_it_takes(cluster: Cluster) -> None:
    cluster.api.fault = lambda _method, path: None if path == REGISTRATION else 503
    ref = {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "set", "uid": OTHER, "controller": True}
    cluster.api.objects[f"{JOBS}/train"]["metadata"]["ownerReferences"] = [ref]
    await cluster.see(running(verified(pod())))
    cluster.wait(LONG)
    await cluster.settle()
    cluster.api.fault = lambda _method, _path: None
    await cluster.settle()
    assert names(cluster) == {"set"}


async def test_a_verdict_is_recorded_although_its_owner_gives_no_answer(cluster: Cluster) -> None:
    one = pod()
    await cluster.see(one)
    cluster.api.fault = faulty(JOBS)
    await cluster.see(refused(one))
    assert (cluster.run()["status"]["phase"], len(cluster.ledger.entries("verdict"))) == ("Pending", 1)
    cluster.wait(LONG)
    await cluster.settle()
    assert cluster.run()["status"]["phase"] == "Pending"
    cluster.wait(timedelta(hours=2))
    await cluster.settle()
    assert (cluster.run()["status"]["phase"], len(cluster.ledger.entries("run"))) == ("Failed", 1)


@pytest.mark.parametrize("name", ["a:b", "a..b", "a.-b", "a" * 254])
async def test_a_name_that_no_workload_has_keeps_no_run_from_being_made(cluster: Cluster, name: str) -> None:
    plan = replace(pods.PLAN, owner_kind="Thing", owner_name=name, owner_uid=OTHER)
    await cluster.see(refused(pod("solo", plan=plan)))
    assert names(cluster) == {"solo"}


@pytest.mark.parametrize("text", ["ok", "[]", "{"])
async def test_an_answer_that_is_no_object_is_an_error_of_the_api(text: str) -> None:
    api = FakeApi()
    api.texts["/apis/metrics.example/v1"] = text
    async with connected(api) as kube:
        with pytest.raises(KubeError):
            await kube.discover("metrics.example/v1")
