"""A test run in several processes: who shares what, and what is stopped at the end."""

from pathlib import Path

import pytest
from e2e.cluster import lifecycle
from e2e.cluster.layout import Layout
from e2e.support import groups, setup
from e2e.support.run import Run

E2E = Path(__file__).resolve().parents[2] / "e2e"


def test_every_grouped_module_exists() -> None:
    assert groups.GROUPS.keys() <= {path.stem for path in E2E.glob("test_*.py")}


def test_a_module_that_is_not_listed_shares_the_release() -> None:
    assert groups.group("e2e/test_new.py::test_it[a::b]") == groups.RELEASE
    assert groups.group("e2e/test_crds.py::test_it[e2e/test_gate.py::x]") == groups.group("e2e/test_operator_killed.py")


def test_a_cluster_of_somebody_else_is_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[Layout] = []
    monkeypatch.setattr(lifecycle, "down", lambda layout, _progress: stopped.append(layout))
    layout = Layout(state=tmp_path / "ours", run=tmp_path / "run")
    monkeypatch.setattr(setup, "Layout", lambda: layout)
    setup.stop("cluster")
    layout.run.mkdir()
    layout.owner.write_text(str(tmp_path / "theirs"))
    setup.stop("cluster")
    assert stopped == []
    layout.owner.write_text(str(layout.state))
    setup.stop("cluster")
    assert stopped == [layout]


def test_what_was_started_is_stopped_last_in_first_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(setup, "stop", stopped.append)
    Run(tmp_path).stop()
    assert stopped == []
    for part in ("cluster", "sigstore"):
        Run(tmp_path).starting(part)
    Run(tmp_path).stop()
    Run(tmp_path).stop()
    assert stopped == ["sigstore", "cluster"]
