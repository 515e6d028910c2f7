"""What runs and Events tell people is short enough to be read, whatever names and findings it is made of."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.shell.operator import pods
from tests.shell.operator.stage import NOW

from lineward.domain.dataset import DNS_NAME
from lineward.domain.messages import MAX_MESSAGE, cut
from lineward.domain.podstatus import Owner, PodRecord
from lineward.domain.reasons import Reason
from lineward.domain.runs import RunFacts, WorkloadState, conditions, judge
from lineward.domain.verdict import Verdict
from lineward_operator.events import event

JOB = Owner("Job", "train", pods.JOB, "batch/v1")
NAME = "n" * 245 + "-rank-17"
"""As long as a pod's name can be (RFC 1123 subdomain)."""
DOCS = "https://wiki.example/" + "d" * 59
"""As long as the chart's schema lets `docsUrl` be."""
FOUND = "modified " + "a" * 282 + "/part.csv"
BAD = PodRecord(NAME, "u-1", "Failed", verdict=Verdict.REFUSED, reason=Reason.CONTENT_DIFFERS, message=FOUND)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("about", [JOB, Owner("Pod", NAME, "u-1", "v1")], ids=["workload", "pod"])
def test_the_longest_event_is_short_and_whole_at_both_ends(reason: Reason, about: Owner) -> None:
    note = event("ml", replace(BAD, reason=reason), about, NOW, DOCS)["message"]
    assert len(note) <= MAX_MESSAGE
    assert note.endswith(f". Next step: {reason.next_step}. See {reason.docs(DOCS)}")
    assert "modified aaaaaaaaaaaaaaaa" in note
    assert "a.... Next step" in note
    assert about.kind == "Pod" or "-rank-17: modified" in note


def test_a_short_event_is_not_cut() -> None:
    pod = replace(BAD, name="train-0", message="modified a.csv.")
    step = f"Next step: {Reason.CONTENT_DIFFERS.next_step}. See docs/reasons.md#contentdiffers"
    assert event("ml", pod, JOB, NOW)["message"] == f"pod train-0: modified a.csv. {step}"


@pytest.mark.parametrize("end", ["-", "."])
def test_an_events_name_is_valid_whatever_is_cut_off_it(end: str) -> None:
    about = replace(JOB, name="n" * 199 + end + "tail")
    name = event("ml", BAD, about, NOW)["metadata"]["name"]
    assert re.fullmatch(DNS_NAME, name)


@pytest.mark.parametrize("name", ["train-0", NAME])
def test_a_run_tells_its_worst_pod_in_one_short_message(name: str) -> None:
    judgement = judge(RunFacts(JOB, WorkloadState.FAILED, (replace(BAD, name=name),)))
    assert judgement.message.startswith(f"pod {name}: modified aaaa")
    assert judgement.message.endswith("...")
    assert {len(judgement.message), len(conditions(judgement, 1)[0].message)} == {MAX_MESSAGE}


def test_a_run_that_read_much_says_so_in_one_short_message() -> None:
    volumes = tuple(replace(pods.GOOD, volume=f"v{i}", dataset=f"{i}" * 40) for i in range(9))
    good = PodRecord("a", "u-1", "Succeeded", started=True, verdict=Verdict.VERIFIED, volumes=volumes)
    judgement = judge(RunFacts(JOB, WorkloadState.SUCCEEDED, (good, replace(BAD, name="b"))))
    assert len(judgement.message) == MAX_MESSAGE
    assert judgement.message.startswith("1 pod read 0000")
    assert judgement.message.endswith("...; 1 stopped before")


@pytest.mark.parametrize(("room", "said"), [(5, "abcde"), (4, "a..."), (3, "..."), (0, "...")])
def test_a_message_gives_way_and_says_so(room: int, said: str) -> None:
    assert cut("abcde", room) == said
