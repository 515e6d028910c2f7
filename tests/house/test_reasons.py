"""Every reason is explained where people look for it, with the next step that messages give."""

from pathlib import Path

import pytest

from lineward.domain.reasons import Reason

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reasons.md").read_text()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_section(reason: Reason) -> None:
    section = PAGE.partition(f"\n## {reason.value}\n")[2].partition("\n## ")[0]
    assert f"*Next step:* {reason.next_step}." in section
    assert len(section.split("*Next step:*")[0].split()) > 5


def test_the_page_explains_no_reason_that_is_gone() -> None:
    titles = {line[3:] for line in PAGE.splitlines() if line.startswith("## ")}
    assert titles == {reason.value for reason in Reason}
