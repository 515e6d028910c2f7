"""No command reaches a cluster that the user did not name for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.cluster.target import TargetRefusedError, choice

REPOSITORY = Path(__file__).parents[2]
KUBECTL = """#!/bin/sh
case "$*" in
  *jsonpath={.current-context}) printf '%s' "$FAKE_CONTEXT" ;;
  *jsonpath=*) printf 'https://api.example:6443' ;;
  *--flatten*) printf '{"pinned": "%s"}' "$FAKE_CONTEXT" ;;
esac
"""


def target(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command beside a kubectl that only answers what its current context is."""
    program = folder / "bin" / "kubectl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(KUBECTL)
    program.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CLUSTER", "KUBECONFIG"))}
    mine = {"PATH": f"{program.parent}:{os.environ['PATH']}", "LINEWARD_CACHE": str(folder), "PYTHONSAFEPATH": ""}
    command = [sys.executable, "-m", "e2e.cluster", "target"]
    return subprocess.run(
        command,
        env=clean | mine | environment,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_ambient_kubeconfig_selects_nothing(tmp_path: Path) -> None:
    done = target(tmp_path, KUBECONFIG="/etc/passwd", FAKE_CONTEXT="production")
    assert done.returncode == 1
    assert "make cluster" in done.stderr
    assert done.stdout == ""


def test_our_cluster_is_the_default(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "lineward" / "cluster" / "kubeconfig"
    kubeconfig.parent.mkdir(parents=True)
    kubeconfig.touch()
    done = target(tmp_path, KUBECONFIG="/elsewhere", FAKE_CONTEXT="production")
    assert done.stdout.strip() == str(kubeconfig)


def test_existing_without_a_terminal_needs_the_context_by_name(tmp_path: Path) -> None:
    done = target(tmp_path, CLUSTER="existing", FAKE_CONTEXT="production")
    assert done.returncode == 1
    assert "CLUSTER_CONTEXT=production" in done.stderr
    assert "https://api.example:6443" in done.stderr


def test_existing_with_another_context_than_the_current_is_refused(tmp_path: Path) -> None:
    done = target(tmp_path, CLUSTER="existing", CLUSTER_CONTEXT="staging", FAKE_CONTEXT="production")
    assert done.returncode == 1
    assert "production" in done.stderr


def test_existing_without_any_context_is_refused(tmp_path: Path) -> None:
    done = target(tmp_path, CLUSTER="existing", CLUSTER_CONTEXT="staging", FAKE_CONTEXT="")
    assert done.returncode == 1
    assert "no current context" in done.stderr


def test_existing_named_pins_that_context_in_a_private_file(tmp_path: Path) -> None:
    done = target(tmp_path, CLUSTER="existing", CLUSTER_CONTEXT="staging", FAKE_CONTEXT="staging")
    pinned = Path(done.stdout.strip())
    assert json.loads(pinned.read_text()) == {"pinned": "staging"}
    assert pinned.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", ["Existing", "yes", "production"])
def test_an_unknown_choice_is_refused(value: str) -> None:
    with pytest.raises(TargetRefusedError, match="CLUSTER="):
        choice({"CLUSTER": value})


def test_a_context_name_alone_chooses_nothing() -> None:
    assert not choice({"CLUSTER_CONTEXT": "production", "KUBECONFIG": "/x"}).existing
