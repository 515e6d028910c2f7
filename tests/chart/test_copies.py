"""What `make generate` writes is up to date, and what Helm makes of the definitions is what is in crds/."""

from __future__ import annotations

import yaml
from charts import crds, reference
from tests.chart.rendering import kind


def test_the_copies_match_their_source() -> None:
    assert {path: path.read_text() for path in crds.COPIES.iterdir()} == crds.copies(), "run: make generate"


def test_the_reference_pages_are_current() -> None:
    assert {path: path.read_text() for path in reference.pages()} == reference.pages(), "run: make generate"


def test_helm_installs_the_definitions_unchanged_and_keeps_them() -> None:
    installed = {each["metadata"]["name"]: each for each in kind("CustomResourceDefinition")}
    for each in installed.values():
        assert each["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    sources = [yaml.safe_load(path.read_text()) for path in crds.SOURCE.iterdir()]
    assert installed == {source["metadata"]["name"]: source for source in sources}


def test_the_definitions_can_be_left_to_others() -> None:
    assert kind("CustomResourceDefinition", {"crds": {"install": False}}) == []
