"""Lineage events are what OpenLineage's own schemas ask for, and say who read what with which verdict."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from lineward.domain import lineage
from lineward.domain.errors import InvalidInputError
from lineward.domain.lineage import Census, EventType, Json
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 11, 22, 18, 0, 0, 123456, UTC)
POD = "6f1c0e0e-4f0d-4d3c-9a44-3f7f1f3f9a01"
JOB = "0b8f2f6e-93c5-4c86-8f0e-0d7f3b8ad302"
DIGEST = "sha256:" + "ab" * 32
VOLUME = PlannedVolume(
    volume="data",
    path="/lineward/data/data",
    claim="credit",
    dataset="german-credit",
    version="1.0.0",
    root=DIGEST,
    manifest_digest=DIGEST,
)
UNVOUCHED = PlannedVolume(volume="more", path="/lineward/data/more", claim="other")
BARE = PlannedVolume(volume="image", path="/lineward/data/image")
PLAN = Plan("enforce", ("p",), (VOLUME,), owner_kind="Job", owner_name="train", owner_uid=JOB)
FOUND = VolumeVerdict("data", Verdict.VERIFIED, Reason.VERIFIED, observed=DIGEST, files=3, bytes=70, seconds=0.5)


@pytest.fixture(scope="session")
def schemas(vectors: Path) -> Registry[Any]:
    files = [*(vectors / "openlineage").rglob("*.json"), ROOT / "docs/formats/openlineage-integrity-facet.json"]
    documents = [json.loads(path.read_text()) for path in files]
    return Registry().with_resources((each["$id"], Resource.from_contents(each)) for each in documents)


def validate(schemas: Registry[Any], reference: str, value: Any) -> None:
    Draft202012Validator({"$ref": reference}, registry=schemas, format_checker=FormatChecker()).validate(value)


def facets_of(event: Json) -> list[tuple[str, Mapping[str, Any]]]:
    holders = [event["run"]["facets"], event["job"]["facets"]]
    for dataset in (*event["inputs"], *event["outputs"]):
        holders += [value for key, value in dataset.items() if key.lower().endswith("facets")]
    return [(name, facet) for holder in holders for name, facet in holder.items()]


def pod_event(event_type: EventType, *inputs: Json) -> Json:
    run = lineage.pod_run("c1", "ml", PLAN, "train-x", POD)
    output = lineage.output_dataset("c1", "ml", PlannedOutput("out", "/lineward/outputs/out", "model-out"))
    return lineage.run_event(event_type, run, AT, inputs, [output])


def full_inputs() -> list[Json]:
    refused = VolumeVerdict("more", Verdict.REFUSED, Reason.UNVOUCHED)
    return [
        lineage.input_dataset("c1", "ml", VOLUME, FOUND, Census(3, 70, changed=True, at=AT)),
        lineage.input_dataset("c1", "ml", UNVOUCHED, refused, Census(1, 1, changed=False, at=AT)),
        lineage.input_dataset("c1", "ml", BARE),
    ]


@pytest.mark.parametrize("event_type", list(EventType))
def test_every_event_and_every_facet_keeps_its_schema(schemas: Registry[Any], event_type: EventType) -> None:
    event = lineage.with_error(pod_event(event_type, *full_inputs()), "exit code 1")
    validate(schemas, lineage.SCHEMA_URL, event)
    facets = facets_of(event)
    assert {name for name, _ in facets} >= {
        "parent",
        "errorMessage",
        "jobType",
        "version",
        "symlinks",
        "inputStatistics",
        "lineward_integrity",
        "lineward_verification",
        "lineward_census",
    }
    for _, facet in facets:
        validate(schemas, facet["_schemaURL"], facet)
    assert datetime.fromisoformat(event["eventTime"]) == AT.replace(microsecond=123000)
    assert json.loads(json.dumps(event)) == event


def test_pod_is_a_child_of_its_workload() -> None:
    workload = lineage.workload_run("c1", "ml", "Job", "train", JOB)
    pod = lineage.pod_run("c1", "ml", PLAN, "train-x", POD)
    assert (pod.run_id, pod.parent) == (POD, workload)
    assert (workload.namespace, workload.job, pod.job) == ("k8s://c1/ml", "Job/train", "Job/train.pod")


def test_bare_pod_has_no_parent() -> None:
    plan = Plan("audit", ("p",), owner_kind="Pod", owner_name="alone")
    run = lineage.pod_run("c1", "ml", plan, "alone", POD)
    assert (run.run_id, run.job, run.parent) == (POD, "Pod/alone", None)
    assert "parent" not in lineage.run_event(EventType.START, run, AT)["run"]["facets"]


def test_datasets_are_named_by_what_is_known_of_them() -> None:
    named, claimed, bare = full_inputs()
    assert (named["namespace"], named["name"]) == ("k8s://c1/ml", "german-credit")
    assert named["facets"]["symlinks"]["identifiers"] == [
        {"namespace": "pvc://c1/ml", "name": "credit", "type": "VOLUME"}
    ]
    assert (claimed["namespace"], claimed["name"]) == ("pvc://c1/ml", "other")
    assert (bare["namespace"], bare["name"]) == ("k8s://c1/ml", "volume/image")


def test_only_verified_bytes_count_as_read() -> None:
    _, refused, _ = full_inputs()
    assert "inputStatistics" not in refused["inputFacets"]
    assert refused["inputFacets"]["lineward_verification"]["verdict"] == "Refused"


def test_change_during_the_run_carries_its_reason() -> None:
    changed, same, _ = full_inputs()
    assert changed["inputFacets"]["lineward_census"]["reason"] == "DataChangedDuringRun"
    assert "reason" not in same["inputFacets"]["lineward_census"]


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        lineage.run_event(EventType.START, lineage.workload_run("c", "n", "Job", "j", JOB), AT.replace(tzinfo=None))


def test_own_events_can_be_summarised() -> None:
    assert lineage.summarise(pod_event(EventType.START)) == lineage.EventSummary(
        POD, JOB, "k8s://c1/ml/Job/train.pod", "START"
    )


def broken(**changes: Any) -> Json:
    return {**pod_event(EventType.START), **changes}


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "x",
        {},
        broken(eventTime=5),
        broken(producer=""),
        broken(schemaURL=None),
        broken(run=[]),
        broken(run={"runId": "not-a-uuid"}),
        broken(run={"runId": POD + "0"}),
        broken(run={"runId": POD, "facets": []}),
        broken(run={"runId": POD, "facets": {"parent": {}}}),
        broken(run={"runId": POD, "facets": {"parent": {"run": {"runId": "x"}}}}),
        broken(job={"namespace": "n"}),
        broken(job={"namespace": "n", "name": "x" * 2000}),
        broken(job={"namespace": "n", "name": "esc\x1b[2J"}),
        broken(eventType="DONE"),
        broken(eventType=[]),
    ],
)
def test_what_is_not_a_run_event_is_refused(event: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        lineage.summarise(event)
    assert caught.value.reason is Reason.REQUEST_INVALID


def test_run_ids_are_compared_in_lower_case() -> None:
    assert lineage.summarise(broken(run={"runId": POD.upper()})).run_id == POD
