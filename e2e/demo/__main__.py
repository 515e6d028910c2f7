"""`make demo`: sets everything up, then shows what Lineward admits and what it refuses.

Whatever this program started it stops again when it fails or is interrupted; only a finished demo
leaves the cluster up.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from e2e import command
from e2e.demo.cases import Show
from e2e.demo.data import german_credit
from e2e.demo.stage import Stage
from e2e.support import setup
from e2e.support.release import Release
from e2e.support.world import World

NAMESPACE = "ml"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.parse_args()
    command.heed()
    stage = Stage()
    try:
        with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
            target = setup.cluster(stage.task, _stopping(stack))
            _play(stage, target, stack, Path(scratch))
            stack.pop_all()
    except KeyboardInterrupt:
        command.tell("\ninterrupted; what the demo started is stopped")
        return 130
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        command.tell(f"\nthe demo failed: {error}")
        return 1
    return 0


def _play(stage: Stage, target: setup.Target, stack: ExitStack, scratch: Path) -> None:
    sigstore = setup.sigstore(stage.task, _stopping(stack), target)
    with stage.task("the data set: German credit, 1000 applications"):
        files = german_credit()
    release = Release(target.kubectl, target.helm)
    world = setup.world(target, sigstore, NAMESPACE)
    if not target.started:
        stack.callback(_remove, world, release if not release.status() else None)
    with stage.task("Lineward: helm upgrade --install lineward charts/lineward"):
        release.install([NAMESPACE], target.build)
    with stage.task("a namespace with data on a disk"):
        world.prepare()
        world.storage.start()
    team = setup.identity(sigstore, "data-team@bank.example")
    intern = setup.identity(sigstore, "intern@bank.example")
    show = Show(stage, world, files, team, intern, scratch)
    for case in (
        show.audit,
        show.admitted,
        show.unsigned,
        show.wrong_identity,
        show.tampered,
        show.undeclared,
        show.guards,
    ):
        case()
    _farewell(stage, target)


def _stopping(stack: ExitStack) -> setup.Starting:
    """Have the stack stop each part that is started."""
    return lambda part: stack.callback(setup.stop, part)


def _farewell(stage: Stage, target: setup.Target) -> None:
    stage.title("What to try next")
    stage.printed(f"""\
export KUBECONFIG={target.kubectl.kubeconfig}
kubectl -n {NAMESPACE} get dsv,trun                  # what was attested, what was trained
kubectl get provpol,troot                    # policy and trust root
kubectl -n {NAMESPACE} describe trun                 # verdict per pod and volume
. .venv/bin/activate && kubectl lineward ledger entries --kind verdict
kubectl explain datasetversion.spec.integrity
docs/README.md                               # a page for each reader""")
    stage.say(target.how_to_stop)


def _remove(world: World, release: Release | None) -> None:
    """Take an unfinished demo out of a cluster that goes on running; a release that was there before stays."""
    command.tell("removing what the demo made in the cluster ...")
    if release:
        release.uninstall()
    world.remove()


if __name__ == "__main__":
    sys.exit(main())
