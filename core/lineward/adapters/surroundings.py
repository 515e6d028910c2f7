"""What can be found out about where data is being attested: the CI run, and the Git checkout that the folder is in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

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
_REMOTE = "remote.origin.url"


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
    """Facts of the checkout; `git.clean` says nothing about the inside of submodules."""
    place = ("--show-toplevel", "--git-path", "objects", "--git-path", "index")
    found = _run(folder, "rev-parse", "--path-format=absolute", *place, "HEAD")
    if found is None or len(lines := found.splitlines()) != 4:
        return {}
    top, objects, index, commit = lines
    facts = {"git.commit": commit, "git.repository": _without_secret(_run(folder, "config", _REMOTE) or "")}
    if (changed := _changed(folder, top, objects, index, commit)) is not None:
        facts["git.clean"] = str(not changed).lower()
    return {fact: value for fact, value in facts.items() if value}


def _changed(folder: Path, top: str, objects: str, index: str, commit: str) -> str | None:
    """What differs from the commit, told by a repository of our own that borrows the checkout's objects and index.

    It has no configuration, so a filter that `.gitattributes` names is no program here.
    """
    with TemporaryDirectory(prefix="lineward-git-") as own:
        (Path(own) / "refs").mkdir()
        (Path(own) / "HEAD").write_text(f"{commit}\n")
        borrowed = {
            "GIT_DIR": own,
            "GIT_WORK_TREE": top,
            "GIT_OBJECT_DIRECTORY": objects,
            "GIT_INDEX_FILE": index,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "HOME": own,
            "XDG_CONFIG_HOME": own,
        }
        return _run(folder, "status", "--porcelain", "--ignore-submodules=dirty", "--", ".", environment=borrowed)


def _run(folder: Path, *command: str, environment: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """Standard output of a Git command, None where it fails.

    A checkout may have come with the data, and its configuration names programs: it is shown only to commands that run
    none. Git itself refuses checkouts of other users (safe.directory).
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    safe = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit")
    try:
        done = subprocess.run(
            ["git", "--no-pager", "--no-optional-locks", "-C", str(folder), *safe, *command],
            env={**inherited, "GIT_NO_LAZY_FETCH": "1", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _without_secret(remote: str) -> str:
    """Remove user and password from a remote's URL: people keep tokens there."""
    scheme, separator, rest = remote.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else remote
