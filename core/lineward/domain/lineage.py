"""OpenLineage events about training runs, so that catalogues learn what a run read and whether it was verified.

Two runs exist for one piece of work: the workload's own (run id = UID of the top owner, events from the operator) and
one per pod (run id = pod UID, START and RUNNING from the sidecar, COMPLETE or FAIL from the operator, with the
workload's run as `parent`). A bare pod is its own workload and has no parent.

Source: OpenLineage core 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json, and facets named below. It has no
facet for integrity, so Lineward brings its own: `docs/formats/openlineage-integrity-facet.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from lineward import __version__
from lineward.domain.errors import InvalidInputError
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume
from lineward.domain.reasons import Reason
from lineward.domain.verdict import Verdict, VolumeVerdict

PRODUCER = f"https://lineward.dev/releases/{__version__}"
SCHEMA_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
OWN_FACETS = "https://lineward.dev/formats/1-0-0/openlineage-integrity-facet.json#/$defs/"
_FACETS = "https://openlineage.io/spec/facets/"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MAX_TEXT = 1024
"""Longest identifier taken from a foreign event; Kubernetes names end at 253 characters, job names in practice too."""

Json = dict[str, Any]


class EventType(StrEnum):
    """States of a run in OpenLineage; every run has one START and one of COMPLETE, ABORT, FAIL."""

    START = "START"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one job. `run_id` is a UUID; `namespace` is `k8s://<cluster>/<namespace>`."""

    run_id: str
    namespace: str
    job: str
    job_type: str
    parent: Run | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """What a stat walk of a mounted volume saw; `changed` = names, sizes or times differ from the run's first walk."""

    files: int
    bytes: int
    changed: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class EventSummary:
    """What the ledger indexes of an event that somebody sent."""

    run_id: str
    parent_run_id: str
    job: str
    event_type: str


def workload_run(cluster: str, namespace: str, kind: str, name: str, uid: str) -> Run:
    """Return the run of a whole workload, such as a Job; `uid` is that of the top owner."""
    return Run(uid, _job_namespace(cluster, namespace), f"{kind}/{name}", kind.upper())


def pod_run(cluster: str, namespace: str, plan: Plan, pod_name: str, pod_uid: str) -> Run:
    """Return the run of one pod of the workload that `plan` names; a bare pod has no parent.

    The job is `<Kind>/<name>.pod`: pod names change with every run, and a job is what stays.
    """
    if plan.owner_kind in {"", "Pod"} or not plan.owner_uid:
        return Run(pod_uid, _job_namespace(cluster, namespace), f"Pod/{pod_name}", "POD")
    owner = workload_run(cluster, namespace, plan.owner_kind, plan.owner_name, plan.owner_uid)
    return Run(pod_uid, owner.namespace, f"{owner.job}.pod", "POD", owner)


def input_dataset(
    cluster: str,
    namespace: str,
    volume: PlannedVolume,
    found: VolumeVerdict | None = None,
    census: Census | None = None,
) -> Json:
    """Return an InputDataset for a data volume, with what verify found and the last census saw, where known.

    What is true of the version itself is a dataset facet; what this run found is an input facet, so that no run
    overwrites in a catalogue what another one found.
    """
    facets: Json = {}
    if volume.version:
        facets["version"] = _standard("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=volume.version)
    if volume.root:
        facets["lineward_integrity"] = _integrity(volume)
    inputs: Json = {}
    if found is not None:
        inputs["lineward_verification"] = _verification(found)
        if found.verdict is Verdict.VERIFIED:
            inputs["inputStatistics"] = _standard(
                "1-0-0", "InputStatisticsInputDatasetFacet", size=found.bytes, fileCount=found.files
            )
    if census is not None:
        inputs["lineward_census"] = _census(census)
    claim = _claim_identity(cluster, namespace, volume.claim)
    if volume.dataset:
        dataset = {"namespace": _job_namespace(cluster, namespace), "name": volume.dataset}
        if volume.claim:
            link = {**claim, "type": "VOLUME"}
            facets["symlinks"] = _standard("1-0-1", "SymlinksDatasetFacet", identifiers=[link])
    elif volume.claim:
        dataset = claim
    else:
        dataset = {"namespace": _job_namespace(cluster, namespace), "name": f"volume/{volume.volume}"}
    return {**dataset, "facets": facets, "inputFacets": inputs}


def output_dataset(cluster: str, namespace: str, output: PlannedOutput) -> Json:
    """Return an OutputDataset for a volume the pod may write."""
    return {**_claim_identity(cluster, namespace, output.claim), "facets": {}, "outputFacets": {}}


def run_event(
    event_type: EventType,
    run: Run,
    at: datetime,
    inputs: Sequence[Json] = (),
    outputs: Sequence[Json] = (),
) -> Json:
    """Return a RunEvent; `at` has a time zone.

    Raises ValueError for a time without zone.
    """
    if at.tzinfo is None:
        raise ValueError("an event's time needs a zone")
    facets: Json = {}
    if run.parent is not None:
        parent = {"run": {"runId": run.parent.run_id}, "job": _job(run.parent)}
        facets["parent"] = _standard("1-2-0", "ParentRunFacet", **parent, root=parent)
    kind = _standard("2-0-4", "JobTypeJobFacet", processingType="BATCH", integration="KUBERNETES", jobType=run.job_type)
    return {
        "eventType": event_type.value,
        "eventTime": timestamp(at),
        "producer": PRODUCER,
        "schemaURL": SCHEMA_URL,
        "run": {"runId": run.run_id, "facets": facets},
        "job": {**_job(run), "facets": {"jobType": kind}},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


def with_error(event: Json, message: str) -> Json:
    """Return a FAIL or ABORT event that also says why."""
    facet = _standard("1-0-1", "ErrorMessageRunFacet", message=message, programmingLanguage="UNKNOWN")
    return {**event, "run": {**event["run"], "facets": {**event["run"]["facets"], "errorMessage": facet}}}


def summarise(event: Any) -> EventSummary:
    """Check that a decoded JSON value has what OpenLineage requires of a RunEvent, and return what to index.

    Raises InvalidInputError(RequestInvalid) saying which field is missing or malformed.
    """
    top = _object(event, "the event")
    for field in ("eventTime", "producer", "schemaURL"):
        _text(top, field, "")
    run, job = _object(top.get("run"), "run"), _object(top.get("job"), "job")
    run_id = _uuid(run, "run.")
    namespace, name = _text(job, "namespace", "job."), _text(job, "name", "job.")
    parent_id = ""
    parent = _object(run.get("facets", {}), "run.facets").get("parent")
    if parent is not None:
        parent_run = _object(_object(parent, "run.facets.parent").get("run"), "run.facets.parent.run")
        parent_id = _uuid(parent_run, "run.facets.parent.run.")
    kind = top.get("eventType", EventType.OTHER.value)
    if kind not in list(EventType):
        raise InvalidInputError(Reason.REQUEST_INVALID, "eventType is none of OpenLineage's")
    return EventSummary(run_id, parent_id, f"{namespace}/{name}", kind)


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _job_namespace(cluster: str, namespace: str) -> str:
    return f"k8s://{cluster}/{namespace}"


def _claim_identity(cluster: str, namespace: str, claim: str) -> Json:
    return {"namespace": f"pvc://{cluster}/{namespace}", "name": claim}


def _job(run: Run) -> Json:
    return {"namespace": run.namespace, "name": run.job}


def _standard(version: str, name: str, **fields: Any) -> Json:
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}{version}/{name}.json#/$defs/{name}", **fields}


def _own(name: str, **fields: Any) -> Json:
    return {"_producer": PRODUCER, "_schemaURL": OWN_FACETS + name, **fields}


def _integrity(volume: PlannedVolume) -> Json:
    facet = _own(
        "LinewardIntegrityDatasetFacet",
        algorithm="sha256",
        profile=volume.profile,
        chunkBytes=volume.chunk_bytes,
        root=volume.root,
    )
    return {**facet, "manifestDigest": volume.manifest_digest} if volume.manifest_digest else facet


def _verification(found: VolumeVerdict) -> Json:
    return _own(
        "LinewardVerificationInputDatasetFacet",
        volume=found.volume,
        verdict=found.verdict.value,
        reason=found.reason.value,
        assurance=found.assurance.value,
        observedRoot=found.observed,
        files=found.files,
        bytes=found.bytes,
        seconds=found.seconds,
    )


def _census(census: Census) -> Json:
    facet = _own(
        "LinewardCensusInputDatasetFacet",
        files=census.files,
        bytes=census.bytes,
        changed=census.changed,
        at=timestamp(census.at),
    )
    return {**facet, "reason": Reason.DATA_CHANGED_DURING_RUN.value} if census.changed else facet


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{where} is not an object")
    return value


def _text(holder: Mapping[str, Any], field: str, where: str) -> str:
    value = holder.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{where}{field} is not a text of 1 to {MAX_TEXT} characters")
    return value


def _uuid(holder: Mapping[str, Any], where: str) -> str:
    value = _text(holder, "runId", where)
    if not _UUID.fullmatch(value):
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{where}runId is not a UUID")
    return value.lower()
