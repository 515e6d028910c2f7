"""The chart's copies of the definitions are what `make generate` makes of crds/."""

from __future__ import annotations

from charts import crds


def test_the_copies_match_their_source() -> None:
    assert {path: path.read_text() for path in crds.COPIES.iterdir()} == crds.copies(), "run: make generate"
