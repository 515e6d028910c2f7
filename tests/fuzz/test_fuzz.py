"""A bounded run of every fuzz target; `make fuzz` goes on for as long as one likes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.fuzz.originals import SUITES_STATEMENTS, originals
from tests.fuzz.targets import TARGETS
from tests.private_sigstore.entries import DSSE, HASHEDREKORD, INTOTO, REKOR_V2

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


def test_every_form_of_a_bundle_is_fuzzed() -> None:
    materials = [json.loads(original.subject.text)["verificationMaterial"] for original in originals()]
    assert {name for material in materials for name in material} == {
        "certificate",
        "x509CertificateChain",
        "publicKey",
        "tlogEntries",
        "timestampVerificationData",
    }
    entries = [entry for material in materials for entry in material["tlogEntries"]]
    kinds = {tuple(entry["kindVersion"].values()) for entry in entries if "inclusionPromise" in entry}
    assert kinds == {DSSE, HASHEDREKORD, INTOTO}
    assert REKOR_V2 in {tuple(entry["kindVersion"].values()) for entry in entries if "inclusionPromise" not in entry}


def test_others_bundles_are_fuzzed_too(vectors: Path) -> None:
    assert (vectors / "sigstore-conformance").is_dir()
    assert sum(original.root.name == "suite" for original in originals()) == len(SUITES_STATEMENTS)
