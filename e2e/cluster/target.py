"""Which cluster a command acts on: ours, unless the user names the current context of their own, knowingly."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e import tools
from e2e.cluster.layout import Layout


class TargetRefusedError(RuntimeError):
    """No cluster was chosen clearly enough; the message says how to choose."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the environment asks for: ``existing`` is ``CLUSTER=existing``, ``named`` is ``CLUSTER_CONTEXT``."""

    existing: bool
    named: str


def choice(environment: Mapping[str, str]) -> Choice:
    """Read the choice; an ambient KUBECONFIG is no part of it.

    Raises:
        TargetRefusedError: ``CLUSTER`` is neither empty nor ``existing``.
    """
    asked = environment.get("CLUSTER", "")
    if asked not in ("", "existing"):
        raise TargetRefusedError(
            f"CLUSTER={asked} is unknown; leave it out, or use CLUSTER=existing for the current context"
        )
    return Choice(asked == "existing", environment.get("CLUSTER_CONTEXT", ""))


def kubeconfig(layout: Layout) -> Path:
    """The kubeconfig to use: our cluster's, or with ``CLUSTER=existing`` a copy that holds the current context alone.

    A copy, so that a context switched elsewhere in the meantime doesn't move later commands to another cluster.

    Raises:
        TargetRefusedError: our cluster does not run; there is no current context; or it was not agreed to.
    """
    asked = choice(os.environ)
    if not asked.existing:
        if not layout.kubeconfig.exists():
            raise TargetRefusedError("no cluster is running; start it with: make cluster")
        return layout.kubeconfig
    context = _current("{.current-context}")
    if not context:
        raise TargetRefusedError("CLUSTER=existing, and kubectl has no current context")
    _agree(asked, context, _current("{.clusters[0].cluster.server}"))
    pinned = layout.state.parent / "existing.kubeconfig"
    pinned.parent.mkdir(parents=True, exist_ok=True)
    pinned.unlink(missing_ok=True)
    pinned.touch(mode=0o600)
    pinned.write_text(_kubectl("config", "view", "--minify", "--flatten", "--raw"))
    return pinned


def _agree(asked: Choice, context: str, server: str) -> None:
    if asked.named:
        if asked.named != context:
            raise TargetRefusedError(f"CLUSTER_CONTEXT={asked.named}, but the current context is {context}")
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise TargetRefusedError(
            f"the current context is {context} ({server}); without a terminal, agree by CLUSTER_CONTEXT={context}"
        )
    print(
        f"The current context is {context}, at {server}.\nInstall and run there? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise TargetRefusedError("nothing was done")


def _current(field: str) -> str:
    try:
        return _kubectl("config", "view", "--minify", "--output", f"jsonpath={field}")
    except TargetRefusedError:
        return ""


def _kubectl(*arguments: str) -> str:
    command = [shutil.which("kubectl") or str(tools.binary("kubectl")), *arguments]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise TargetRefusedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
