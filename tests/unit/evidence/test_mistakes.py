"""All mistakes of a predicate are found together, by the verifier's parser, and what no pod could use is foreseen."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.evidence.samples import NOW, PREDICATE, a_dataset, a_policy, an_evidence, changed
from tests.unit.evidence.test_format import FULL

from lineward.domain import mistakes, provenance
from lineward.domain.errors import MAX_MISTAKES, MistakesError
from lineward.domain.judge import judge
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE
from lineward.domain.verdict import Verdict

WRONG: dict[str, object] = {
    "dataset/owners": "x",
    "dataset/description": 7,
    "sources/0/uri": "",
    "sources/0/consent/status": "maybe",
    "sources/0/consent/digest": "sha1:00",
    "sources/1/pin": {"svn": {}},
    "sources/0/origin/geography": "x\x00",
    "sources/2/digest": "y",
    "sources/3": "no object",
    "sources/2/pin/kafka/ranges/0/end": 99,
    "sources/4/pin/dvc/md5": ...,
    "collection/method": ...,
    "collection/period/start": "2027",
    "transformations/0/code/commit": "HEAD",
    "transformations/0/environment": {"n": 1},
    "transformations/0/inputs": ["x", None],
    "use/personalData": "yes",
    "use/licence": "MIT",
    "quality/checks/0/name": "x" * 513,
    "quality/statistics": {"rows": 1},
    "extensions": [],
}


def where(path: str) -> str:
    """The path of a sample as messages have it."""
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split("/")).lstrip(".")


def paths(predicate: dict[str, Any]) -> list[str]:
    return [mistake.split(": ")[0] for mistake in mistakes.found(predicate)]


@pytest.mark.parametrize("path", WRONG)
def test_one_mistake_is_one_line(path: str) -> None:
    found = paths(changed(FULL, path, WRONG[path]))
    assert len(found) == 1
    assert found[0].startswith(where(path))


def test_none_hides_another() -> None:
    wrong = FULL
    for path, value in WRONG.items():
        wrong = changed(wrong, path, value)
    found = paths(wrong)
    assert len(found) == len(WRONG)
    assert all(any(each.startswith(where(path)) for each in found) for path in WRONG)


def test_what_verifiers_take_has_no_mistakes() -> None:
    assert mistakes.found(FULL) == mistakes.found(PREDICATE) == []


def test_so_many_are_told_and_how_many_more_there_are() -> None:
    error = MistakesError(Reason.PROVENANCE_INVALID, ["x" * 1000] * (MAX_MISTAKES + 1))
    assert error.mistakes == ("x" * 300,) * MAX_MISTAKES + ("and 1 more",)
    assert MistakesError(Reason.PROVENANCE_INVALID, ["x"] * MAX_MISTAKES).mistakes == ("x",) * MAX_MISTAKES


def verdict(predicate: dict[str, Any], days: int, **constraints: str) -> Verdict:
    policy = a_policy(require=[{"predicateType": DATASET_PROVENANCE, "constraints": constraints}])
    return judge(a_dataset(), [an_evidence(predicate)], policy, (), NOW + timedelta(days=days)).verdict


ALWAYS = range(0, 400_000, 1000)


@pytest.mark.parametrize(
    ("use", "usable"),
    [
        ({"expires": "2026-06-01T11:59:59Z"}, False),
        ({"expires": "2026-06-01T12:00:00Z"}, True),
        ({"expires": "2030-01-01T00:00:00Z", "notBefore": "2030-01-02T00:00:00Z"}, False),
        ({"notBefore": "2028-01-01T00:00:00Z"}, True),
        ({}, True),
    ],
)
def test_it_is_foreseen_that_the_judge_refuses_for_ever(use: dict[str, str], usable: bool) -> None:  # noqa: FBT001
    predicate = {**PREDICATE, "use": use}
    assert any(verdict(predicate, days) is Verdict.VERIFIED for days in ALWAYS) is usable
    refused = (
        contextlib.nullcontext() if usable else pytest.raises(MistakesError, match=r"^ProvenanceInvalid: use\.expires")
    )
    with refused:
        mistakes.require_usable(provenance.parse(predicate), NOW)


@pytest.mark.parametrize(
    ("consent", "doubted"),
    [
        ({"status": "granted", "validUntil": "2026-06-01T11:59:59Z"}, True),
        ({"status": "notRequired", "validUntil": "2026-06-01T11:59:59Z"}, True),
        ({"status": "withdrawn"}, True),
        ({"status": "granted", "validFrom": "2030-01-02T00:00:00Z", "validUntil": "2030-01-01T00:00:00Z"}, True),
        ({"status": "granted", "validFrom": "2028-01-01T00:00:00Z"}, False),
        ({"status": "notRequired"}, False),
    ],
)
def test_a_consent_is_doubted_where_a_policy_that_asks_for_it_refuses_for_ever(
    consent: dict[str, str],
    doubted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    predicate = {**PREDICATE, "use": {}, "sources": [{"uri": "x", "consent": {"documentId": "c", **consent}}]}
    assert all(verdict(predicate, days, consent="Required") is Verdict.REFUSED for days in ALWAYS) is doubted
    assert verdict(predicate, 0) is Verdict.VERIFIED
    assert bool(mistakes.doubtful(provenance.parse(predicate), NOW)) is doubted
