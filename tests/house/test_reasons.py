"""One word says why, wherever people or programs meet it, and is explained where they look for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.crds.cases import definition, examples

from lineward.domain import conditions
from lineward.domain.conditions import Condition, Status, Type
from lineward.domain.decision import render
from lineward.domain.plan import Refusal
from lineward.domain.podspec import Owner as PodOwner
from lineward.domain.podspec import Pod
from lineward.domain.podstatus import Owner, PodRecord
from lineward.domain.reasons import Reason
from lineward.domain.runs import Judgement, Phase, RunFacts, WorkloadState
from lineward.domain.verdict import Verdict
from lineward_ledger.entries import Author, writer_draft
from lineward_operator.events import event
from lineward_operator.metrics import Metrics
from lineward_operator.outbox import Outbox

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reasons.md").read_text()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
WORKLOAD = Owner("Job", "train", "5f8d3c1e-0000-4000-8000-000000000001", "batch/v1")


def record(reason: Reason) -> PodRecord:
    uid = "5f8d3c1e-0000-4000-8000-000000000002"
    return PodRecord("train-0", uid, mode="enforce", verdict=Verdict.REFUSED, reason=reason, message="why")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_section(reason: Reason) -> None:
    section = PAGE.partition(f"\n## {reason.value}\n")[2].partition("\n## ")[0]
    assert f"*Next step:* {reason.next_step}." in section
    assert len(section.split("*Next step:*")[0].split()) > 5


def test_the_page_explains_no_reason_that_is_gone() -> None:
    titles = {line[3:] for line in PAGE.splitlines() if line.startswith("## ")}
    assert titles == {reason.value for reason in Reason}


@pytest.mark.parametrize("reason", Reason)
def test_a_denial_gives_it_with_the_next_step_and_where_to_read(reason: Reason) -> None:
    message = render(Refusal(reason, "why", "data"), Pod({}, {}, PodOwner(), (), ()))
    assert f": {reason.value}: why. " in message
    assert reason.next_step[1:] in message
    assert message.endswith(f"#{reason.value.lower()}")


@pytest.mark.parametrize("reason", Reason)
def test_every_kind_takes_it_as_the_reason_of_a_condition(reason: Reason) -> None:
    (made,) = conditions.merged([], [Condition(Type.VERIFIED, Status.FALSE, reason)], 1, NOW)
    assert made["reason"] == reason.value
    for name in examples():
        status = definition(name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        pattern = status["properties"]["conditions"]["items"]["properties"]["reason"]["pattern"]
        assert re.search(pattern, reason.value)


@pytest.mark.parametrize("reason", Reason)
def test_an_event_gives_it_with_the_next_step(reason: Reason) -> None:
    made = event("ml", record(reason), WORKLOAD, NOW)
    assert made["reason"] == reason.value
    assert reason.next_step in made["message"]


@pytest.mark.parametrize("reason", Reason)
def test_it_labels_the_metric_of_verdicts(reason: Reason) -> None:
    metrics = Metrics()
    metrics.verdict(record(reason))
    labels = {"verdict": "Refused", "reason": reason.value, "assurance": "none", "mode": "enforce"}
    assert metrics.registry.get_sample_value("lineward_verifications_total", labels) == 1


@pytest.mark.parametrize("reason", Reason)
def test_the_ledger_is_told_it(reason: Reason) -> None:
    facts = RunFacts(WORKLOAD, WorkloadState.FAILED, (record(reason),))
    judgement = Judgement(Phase.FAILED, Verdict.REFUSED, reason, "why", agreement=True)
    told = [message.body for message in Outbox("c", "ml", facts, judgement).messages() if not message.lineage]
    drafts = [writer_draft(body, Author("operator", "lineward-system", "operator")) for body in told]
    assert {draft.kind: draft.body["reason"] for draft in drafts} == {"verdict": reason.value, "run": reason.value}
