"""What can be found out about where data is being attested: the CI run, and the Git checkout that the folder is in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_CI: Mapping[str, Mapping[str, str]] = {
    "GITHUB_ACTIONS": {
        "repository": "GITHUB_REPOSITORY",
        "commit": "GITHUB_SHA",
        "ref": "GITHUB_REF",
        "run": "GITHUB_RUN_ID",
        "workflow": "GITHUB_WORKFLOW_REF",
    },
    "GITLAB_CI": {
        "repository": "CI_PROJECT_URL",
        "commit": "CI_COMMIT_SHA",
        "ref": "CI_COMMIT_REF_NAME",
        "run": "CI_JOB_URL",
        "workflow": "CI_CONFIG_PATH",
    },
    "BUILDKITE": {
        "repository": "BUILDKITE_REPO",
        "commit": "BUILDKITE_COMMIT",
        "ref": "BUILDKITE_BRANCH",
        "run": "BUILDKITE_BUILD_URL",
    },
}
"""CI platform by the variable that shows it, and where it says what; documented by each platform."""
_GIT_SECONDS = 10


def describe(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Facts for `producer.environment`; those that cannot be found out are left out."""
    return {**_ci(environment), **_git(folder)}


def _ci(environment: Mapping[str, str]) -> dict[str, str]:
    for platform, names in _CI.items():
        if environment.get(platform) == "true":
            found = {f"ci.{fact}": environment.get(variable, "") for fact, variable in names.items()}
            return {"ci.platform": platform, **{fact: value for fact, value in found.items() if value}}
    return {}


def _git(folder: Path) -> dict[str, str]:
    commit = _run(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    remote = _run(folder, "config", "--get", "remote.origin.url")
    changed = _run(folder, "status", "--porcelain", "--", ".")
    found = {"git.commit": commit, "git.repository": _without_secret(remote), "git.clean": str(not changed).lower()}
    return {fact: value for fact, value in found.items() if value}


def _run(folder: Path, *command: str) -> str:
    """Standard output of a Git command; no hook, pager or configured program of the checkout is run."""
    safe = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *safe, *command],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _without_secret(remote: str) -> str:
    """Remove user and password from a remote's URL: people keep tokens there."""
    scheme, separator, rest = remote.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else remote
