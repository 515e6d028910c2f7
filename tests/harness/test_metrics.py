"""An end-to-end test that says that something was counted fails where it was not."""

from __future__ import annotations

import pytest
from e2e.support import metrics
from e2e.support.metrics import counted, total

TEXT = """\
# HELP requests_total Requests.
requests_total{decision="denied",reason="Unvouched"} 2.0
requests_total{decision="denied",reason="Recalled"} 1.0
requests_total{decision="allowed",reason="Unvouched"} 1e+01
requests_total{wide_decision="denied",reason="Unvouched"} 100
requests_totals{decision="denied",reason="Unvouched"} 1000
requests_total{decision="denied",reason="Unvouched"} 4.0
"""


def test_samples_with_the_labels_are_added_up_over_replicas() -> None:
    assert total(TEXT, "requests_total", decision="denied", reason="Unvouched") == 6
    assert total(TEXT, "requests_total", decision="denied") == 7
    assert total(TEXT, "requests_total", decision="patched") == 0


def test_what_counts_every_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_COUNTED_WITHIN", 0.1)
    counts = {"one": 5, "two": 0}
    with counted("both", lambda: counts["one"], lambda: counts["two"]):
        counts.update(one=6, two=1)
    with pytest.raises(TimeoutError, match="both"), counted("both", lambda: counts["one"], lambda: counts["two"]):
        counts["one"] += 1
