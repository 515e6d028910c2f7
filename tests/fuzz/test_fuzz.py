"""A bounded run of every fuzz target; `make fuzz` goes on for as long as one likes."""

from __future__ import annotations

import random

import pytest
from tests.fuzz.targets import TARGETS

INPUTS = {"bundle": 1500}
OTHERS = 3000


class Seeded:
    """Reproducible choices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose

    def below(self, end: int) -> int:
        return self._random.randrange(end)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_promise(name: str) -> None:
    accepted = 0
    count = INPUTS.get(name, OTHERS)
    for seed in range(count):
        try:
            accepted += TARGETS[name](Seeded(seed))
        except BaseException as error:
            error.add_note(f"target {name}, seed {seed}")
            raise
    assert 0 < accepted < count, "a target that accepts all or nothing tries nothing"
