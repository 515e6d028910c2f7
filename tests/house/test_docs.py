"""Links between the project's pages lead somewhere, every decision record is listed, and pages agree with the code."""

import re
from pathlib import Path

import pytest
from e2e.tools.build import OLDEST_GO

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?:|mailto:)([\w./-]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    records = [path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")]
    assert [name for name in records if name not in index] == []


@pytest.mark.parametrize("page", ["README.md", "docs/contributing/cluster.md"])
def test_pages_ask_for_the_go_that_the_tools_take(page: str) -> None:
    assert re.findall(r"Go (1\.\d+)( or newer)?", (ROOT / page).read_text()) == [(f"1.{OLDEST_GO}", " or newer")]


def test_the_changelog_names_every_guard() -> None:
    guards = [path.stem for path in (ROOT / "charts" / "lineward" / "templates" / "guards").glob("*.yaml")]
    assert guards
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in guards if f"`lineward-{name}`" not in changes] == []
