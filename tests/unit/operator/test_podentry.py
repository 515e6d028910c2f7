"""What a TrainingRun remembers of its pods survives a restart of the operator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.shell.operator import pods

from lineward.domain import podentry, runs
from lineward.domain.errors import InvalidInputError
from lineward.domain.podstatus import PodRecord, observe

SEEN = observe(pods.ended(pods.running(pods.verified(pods.pod()))))
assert SEEN
FULL = replace(SEEN.record, message="m")


@pytest.mark.parametrize("pod", [FULL, PodRecord("train-0", "u-1")], ids=["all", "least"])
def test_an_entry_is_read_back_as_it_was(pod: PodRecord) -> None:
    assert podentry.decode(podentry.encode(pod)) == pod


@pytest.mark.parametrize(
    "damage", [{"name": None}, {"verdict": "Perhaps"}, {"volumes": [1]}, {"volumes": [{"volume": "v"}]}], ids=str
)
def test_a_damaged_entry_is_left_out(damage: dict[str, Any]) -> None:
    entry = {key: value for key, value in {**podentry.encode(FULL), **damage}.items() if value is not None}
    with pytest.raises(InvalidInputError):
        podentry.decode(entry)
    assert runs.known({"pods": [entry, podentry.encode(FULL)]}) == ((FULL,), ())
