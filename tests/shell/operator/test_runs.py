"""From a pod's status to people and the ledger, through crashes, outages and lies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.shell.operator import pods
from tests.shell.operator.pods import ended, pod, refused, running, verified
from tests.shell.operator.stage import EVENTS, JOBS, REGISTRATION, RUNS, Cluster

from lineward.domain.plan import Refusal
from lineward.domain.reasons import Reason
from lineward_operator.kubeio import TRAINING_RUNS


async def test_a_verified_job_becomes_a_verified_run(cluster: Cluster) -> None:
    one = pod()
    await cluster.see(one)
    assert cluster.run()["status"]["phase"] == "Pending"
    assert "verdict" not in cluster.run()["status"]
    await cluster.see(running(verified(one)))
    cluster.end_job()
    await cluster.see(ended(running(verified(one))))
    run = cluster.run()
    status = run["status"]
    assert (status["phase"], status["verdict"], status["mode"]) == ("Succeeded", "Verified", "enforce")
    assert status["finishedAt"] == "2026-11-22T12:01:00Z"
    volume = status["pods"][0]["volumes"][0]
    assert (volume["root"], volume["bytes"], volume["dataset"]) == (pods.ROOT, 12, "credit")
    assert run["spec"]["workloadRef"] == {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": pods.JOB}
    assert run["spec"]["datasets"] == [{"ref": "credit-1", "volume": "data"}]
    assert "ownerReferences" not in run["metadata"]
    assert cluster.condition("Verified")["status"] == "True"
    assert cluster.condition("Recorded")["status"] == "True"
    assert cluster.condition("Complete")["status"] == "True"


async def test_a_refused_pod_is_announced_on_pod_and_job(cluster: Cluster) -> None:
    await cluster.see(refused(pod()))
    events = [obj for path, obj in cluster.api.objects.items() if path.startswith(EVENTS)]
    assert {event["involvedObject"]["kind"] for event in events} == {"Pod", "Job"}
    assert all(event["type"] == "Warning" and event["reason"] == "ContentDiffers" for event in events)
    assert all("modified a.csv" in event["message"] and "Next step" in event["message"] for event in events)
    assert cluster.run()["status"]["verdict"] == "Refused"
    assert cluster.condition("Verified")["status"] == "False"


@pytest.mark.parametrize("page", ["", "https://wiki.example/reasons"])
async def test_an_event_says_where_to_read(cluster: Cluster, page: str) -> None:
    cluster.world.settings = replace(cluster.world.settings, docs_url=page)
    await cluster.see(refused(pod()))
    events = [obj for path, obj in cluster.api.objects.items() if path.startswith(EVENTS)]
    assert all(e["message"].endswith(f" See {page or 'docs/reasons.md'}#contentdiffers") for e in events)
    assert events


async def test_ledger_gets_verdict_run_and_lineage_once(cluster: Cluster) -> None:
    one = pod()
    uid = one["metadata"]["uid"]
    await cluster.see(running(verified(one)))
    cluster.end_job()
    await cluster.see(ended(running(verified(one))))
    assert len(cluster.ledger.entries("verdict")) == 1
    entry = cluster.ledger.entries("verdict")[0]
    assert (entry["subject"], entry["run"], entry["body"]["verdict"]) == ("ml/Job/train", pods.JOB, "Verified")
    assert len(cluster.ledger.entries("run")) == 1
    assert cluster.ledger.lineage() == [(pods.JOB, "START"), (pods.JOB, "COMPLETE"), (uid, "COMPLETE")]
    assert cluster.ledger.tokens == {"Bearer secret-token"}
    finals = [body for _, body in cluster.ledger.received if body.get("eventType") == "COMPLETE"]
    assert finals[1]["run"]["facets"]["parent"]["run"]["runId"] == pods.JOB
    assert finals[0]["inputs"][0]["name"] == "credit"
    assert finals[0]["outputs"][0]["name"] == "model"


async def test_a_failed_run_fails_in_the_lineage(cluster: Cluster) -> None:
    cluster.end_job("Failed")
    await cluster.see(refused(pod()))
    assert (pods.JOB, "FAIL") in cluster.ledger.lineage()
    failed = [body for _, body in cluster.ledger.received if body.get("eventType") == "FAIL"]
    assert "modified a.csv" in failed[0]["run"]["facets"]["errorMessage"]["message"]


async def test_a_restart_writes_nothing(cluster: Cluster) -> None:
    cluster.end_job()
    await cluster.see(ended(running(verified(pod()))), refused(pod("train-y")))
    before = (list(cluster.api.writes), len(cluster.ledger.received), dict(cluster.api.objects))
    cluster.restart()
    await cluster.prime()
    assert cluster.api.writes == before[0]
    assert len(cluster.ledger.received) == before[1]
    assert cluster.api.objects == before[2]


async def test_what_the_ledger_missed_is_sent_after_a_restart_without_the_pods(cluster: Cluster) -> None:
    cluster.ledger.down = True
    cluster.end_job()
    done = ended(running(verified(pod())))
    await cluster.see(done)
    assert cluster.condition("Recorded")["reason"] == "LedgerUnavailable"
    await cluster.see(done, gone=True)
    cluster.restart()
    cluster.ledger.down = False
    await cluster.prime()
    assert cluster.condition("Recorded")["status"] == "True"
    assert len(cluster.ledger.entries("verdict")) == len(cluster.ledger.entries("run")) == 1
    assert {kind for _, kind in cluster.ledger.lineage()} == {"START", "COMPLETE"}


async def test_a_crash_after_the_ledger_and_before_the_status_repeats_the_same_ids(cluster: Cluster) -> None:
    cluster.end_job()
    cluster.api.fault = lambda method, path: 500 if method == "PATCH" and path.endswith("/status") else None
    await cluster.see(ended(running(verified(pod()))))
    said = {entry["id"]: entry["body"] for entry in cluster.ledger.entries("verdict") + cluster.ledger.entries("run")}
    assert len(said) == 2
    cluster.api.fault = lambda _method, _path: None
    cluster.restart()
    await cluster.prime()
    again = cluster.ledger.entries("verdict") + cluster.ledger.entries("run")
    assert len(again) == 4
    assert {entry["id"]: entry["body"] for entry in again} == said
    assert cluster.api.count("/events/") == 2
    assert cluster.run()["status"]["verdict"] == "Verified"


async def test_one_rejected_entry_does_not_hold_up_the_others(cluster: Cluster) -> None:
    cluster.ledger.reject = "'kind': 'verdict'"
    cluster.end_job()
    await cluster.see(ended(running(verified(pod()))))
    assert len(cluster.ledger.entries("run")) == 1
    assert cluster.condition("Recorded")["status"] == "False"
    assert "400" in cluster.condition("Recorded")["message"]


async def test_a_job_that_deletes_its_pod_still_leaves_the_verdict(cluster: Cluster) -> None:
    one = pod()
    await cluster.see(one)
    await cluster.see(refused(one), gone=True)
    assert cluster.run()["status"]["pods"][0]["reason"] == "ContentDiffers"
    assert cluster.world.pods == {}
    assert cluster.world.members == {}


async def test_a_pod_deleted_while_the_operator_was_away_is_not_pending_for_ever(cluster: Cluster) -> None:
    one = pod()
    await cluster.see(one)
    cluster.api.objects.pop(f"/api/v1/namespaces/ml/pods/{one['metadata']['name']}")
    cluster.end_job("Failed")
    cluster.restart()
    await cluster.prime()
    status = cluster.run()["status"]
    assert (status["phase"], status["verdict"]) == ("Failed", "Unknown")
    assert status["pods"][0]["phase"] == "Failed"


async def test_pods_of_one_job_are_one_run_and_must_agree(cluster: Cluster) -> None:
    other = replace(pods.PLAN, volumes=(replace(pods.PLAN.volumes[0], root=pods.OTHER),))
    lying = replace(pods.GOOD, expected=pods.OTHER, observed=pods.OTHER)
    await cluster.see(running(verified(pod("a"))), running(verified(pod("b"))))
    assert cluster.condition("Agreement")["status"] == "True"
    found = replace(pods.VERIFIED, volumes=(lying,))
    await cluster.see(running(verified(pod("c", plan=other), found)))
    assert cluster.run()["status"]["verdict"] == "Unknown"
    assert cluster.run()["status"]["reason"] == "RanksDisagree"
    assert cluster.condition("Agreement")["status"] == "False"
    assert len(cluster.run()["status"]["pods"]) == 3


async def test_a_retry_that_trains_decides_and_the_refused_try_stays_listed(cluster: Cluster) -> None:
    await cluster.see(refused(pod("first")))
    assert cluster.run()["status"]["verdict"] == "Refused"
    await cluster.see(running(verified(pod("second"))))
    status = cluster.run()["status"]
    assert (status["verdict"], len(status["pods"])) == ("Verified", 2)
    assert "1 stopped before" in status["message"]


async def test_audit_lists_what_would_have_been_denied(cluster: Cluster) -> None:
    plan = replace(pods.AUDIT, refusals=(Refusal(Reason.UNVOUCHED, "nobody vouches", "extra"),))
    found = replace(pods.REFUSED, mode="audit")
    await cluster.see(running(verified(pod(plan=plan), found)))
    status = cluster.run()["status"]
    assert (status["mode"], status["verdict"]) == ("audit", "Refused")
    assert status["wouldDeny"] == [
        {"reason": "Unvouched", "message": "nobody vouches", "volume": "extra"},
        {"reason": "ContentDiffers", "message": "modified a.csv", "volume": "data"},
    ]


@pytest.mark.parametrize("namespace", ["elsewhere", "lineward-system"])
async def test_a_handmade_container_where_nobody_intercepts_counts_nothing(cluster: Cluster, namespace: str) -> None:
    forged = verified(pod())
    forged["metadata"]["namespace"] = namespace
    await cluster.see(forged)
    assert cluster.api.writes == []
    assert cluster.ledger.received == []


async def test_a_container_from_another_image_counts_nothing(cluster: Cluster) -> None:
    forged = running(verified(pod()))
    forged["spec"]["initContainers"][0]["image"] = "evil/lineward-sidecar:1"
    await cluster.see(forged)
    assert cluster.api.count(RUNS) == 0


@pytest.mark.parametrize("since", ["2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z", None])
async def test_a_pod_older_than_the_registration_counts_nothing(cluster: Cluster, since: str | None) -> None:
    del cluster.api.objects[REGISTRATION]
    if since:
        cluster.api.put(REGISTRATION, {"metadata": {"creationTimestamp": since}})
    await cluster.see(running(verified(pod())))
    assert cluster.api.count(RUNS) == 0


async def test_a_second_plan_behind_the_first_counts_nothing(cluster: Cluster) -> None:
    forged = running(verified(pod()))
    forged["spec"]["initContainers"][0]["args"] = ["--plan", replace(pods.PLAN, volumes=()).encode()]
    await cluster.see(forged)
    assert cluster.api.count(RUNS) == 0


async def test_a_pod_once_counted_stays_counted_when_its_owner_is_edited_away(cluster: Cluster) -> None:
    one = pod()
    await cluster.see(one)
    moved = refused(one)
    moved["metadata"] = {**moved["metadata"], "ownerReferences": []}
    cluster.restart()
    cluster.api.put("/api/v1/namespaces/ml/pods/train-x", moved)
    await cluster.prime()
    assert cluster.run()["status"]["verdict"] == "Refused"


async def test_a_jobset_is_the_run_and_a_cronjob_is_not(cluster: Cluster) -> None:
    above = "22222222-2222-4222-8222-222222222222"
    job = cluster.api.objects[f"{JOBS}/train"]
    ref = {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "set", "uid": above, "controller": True}
    job["metadata"]["ownerReferences"] = [ref]
    cluster.api.put("/apis/jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets/set", {"metadata": {"uid": above}})
    await cluster.see(running(verified(pod())))
    assert cluster.run()["spec"]["workloadRef"]["kind"] == "JobSet"


async def test_each_start_of_a_cronjob_is_its_own_run(cluster: Cluster) -> None:
    job = cluster.api.objects[f"{JOBS}/train"]
    ref = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": pods.JOB[::-1], "controller": True}
    job["metadata"]["ownerReferences"] = [ref]
    await cluster.see(running(verified(pod())))
    assert cluster.run()["spec"]["workloadRef"]["kind"] == "Job"


async def test_an_api_server_that_does_not_answer_never_splits_a_run(cluster: Cluster) -> None:
    cluster.api.fault = lambda _method, path: 503 if "/jobs/" in path else None
    await cluster.see(running(verified(pod())))
    assert cluster.api.count(RUNS) == 0
    cluster.api.fault = lambda _method, _path: None
    await cluster.settle()
    assert cluster.run()["status"]["verdict"] == "Verified"


async def test_a_bare_pod_is_its_own_run_and_ends_once(cluster: Cluster) -> None:
    plan = replace(pods.PLAN, owner_kind="", owner_name="", owner_uid="")
    one = pod("solo", plan=plan)
    await cluster.see(ended(running(verified(one))))
    assert cluster.run()["status"]["phase"] == "Succeeded"
    uid = one["metadata"]["uid"]
    assert cluster.ledger.lineage() == [(uid, "START"), (uid, "COMPLETE")]


async def test_a_run_that_a_user_brought_is_adopted(cluster: Cluster) -> None:
    mine = {
        "metadata": {"name": "my-run", "namespace": "ml"},
        "spec": {"model": "credit-model", "workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "train"}},
    }
    await cluster.have(TRAINING_RUNS, mine)
    await cluster.see(running(verified(pod())))
    run = cluster.run()
    assert run["metadata"]["name"] == "my-run"
    assert (run["spec"]["model"], run["status"]["verdict"]) == ("credit-model", "Verified")
    assert run["status"]["workload"]["uid"] == pods.JOB


async def test_an_adopted_run_is_not_given_to_the_next_job_of_that_name(cluster: Cluster) -> None:
    mine = {
        "metadata": {"name": "my-run", "namespace": "ml"},
        "spec": {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "train"}},
    }
    await cluster.have(TRAINING_RUNS, mine)
    await cluster.see(running(verified(pod())))
    later = replace(pods.PLAN, owner_uid="33333333-3333-4333-8333-333333333333")
    await cluster.see(refused(pod("again", plan=later)))
    verdicts = {
        path.rsplit("/", 1)[1]: obj["status"]["verdict"] for path, obj in cluster.api.objects.items() if RUNS in path
    }
    assert verdicts == {"my-run": "Verified", "train-33333333": "Refused"}


async def test_a_squatter_on_the_name_of_a_run_gets_nothing(cluster: Cluster) -> None:
    squatter = {
        "metadata": {"name": "train-11111111", "namespace": "ml"},
        "spec": {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "other", "uid": pods.JOB[::-1]}},
    }
    await cluster.have(TRAINING_RUNS, squatter)
    await cluster.see(running(verified(pod())))
    assert "verdict" not in (cluster.api.objects[f"{RUNS}/train-11111111"].get("status") or {})
    assert cluster.api.objects[f"{RUNS}/train-{pods.JOB}"]["status"]["verdict"] == "Verified"


async def test_verdicts_are_counted_once(cluster: Cluster) -> None:
    one = running(verified(pod()))
    await cluster.see(one)
    await cluster.see(one)
    labels = {"verdict": "Verified", "reason": "Verified", "assurance": "full", "mode": "enforce"}
    registry = cluster.world.metrics.registry
    assert registry.get_sample_value("lineward_verifications_total", labels) == 1
    assert registry.get_sample_value("lineward_verified_bytes_total") == 12
