"""``python3 -m e2e.cluster``: start, look at and stop the cluster."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from e2e import cache, command, images, tools
from e2e.cluster import lifecycle, runtime, target
from e2e.cluster.layout import Layout
from e2e.cluster.network import NetworkTakenError
from e2e.cluster.progress import Progress, TimedOutError
from e2e.prerequisites import MissingPrerequisiteError

_EXPECTED = (
    images.ImageError,
    MissingPrerequisiteError,
    NetworkTakenError,
    TimedOutError,
    lifecycle.NotPossibleError,
    runtime.LoadError,
    target.TargetRefusedError,
    tools.BuildError,
    tools.DescriptionError,
)


def main() -> int:
    arguments = _parser().parse_args()
    return command.run(lambda: int(arguments.run(arguments, Layout())), _EXPECTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("up", help="start the cluster (or say that it runs)").set_defaults(run=_up)
    commands.add_parser("down", help="stop it and remove all that it made").set_defaults(run=_down)
    commands.add_parser("status", help="what runs; exit code 1 if not all does").set_defaults(run=_status)
    logs = commands.add_parser("logs", help="logs of all parts, or of one")
    logs.add_argument("component", nargs="?", help="as status names it, for example apiserver")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.add_argument("-n", "--lines", type=int, default=20)
    logs.set_defaults(run=_logs)
    commands.add_parser("kubeconfig", help="path of the administrator's kubeconfig").set_defaults(run=_kubeconfig)
    commands.add_parser("target", help="kubeconfig of the cluster to act on; heeds CLUSTER=existing").set_defaults(
        run=_target
    )
    for name, run, text in (
        ("images", _images, "build the project's images (all, or those named) and print their archives"),
        ("load", _load, "build images and give the cluster those that it lacks; takes archives (FILE.tar) too"),
    ):
        made = commands.add_parser(name, help=text)
        made.add_argument("names", nargs="*", metavar="NAME")
        made.set_defaults(run=run)
    kubectl = commands.add_parser("kubectl", help="run kubectl on the cluster", add_help=False)
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)
    kubectl.set_defaults(run=_kubectl)
    return parser


def _up(_arguments: argparse.Namespace, layout: Layout) -> int:
    lifecycle.up(layout, Progress())
    print(f"export KUBECONFIG={layout.kubeconfig}")
    return 0


def _down(_arguments: argparse.Namespace, layout: Layout) -> int:
    left = lifecycle.down(layout, Progress())
    for item in left:
        print(f"left: {item}", file=sys.stderr)
    return 1 if left else 0


def _status(_arguments: argparse.Namespace, layout: Layout) -> int:
    status = lifecycle.status(layout)
    if not status.parts and not status.leftovers:
        print("no cluster")
        return 1
    for name, runs in status.parts.items():
        print(f"{name:<24} {'running' if runs else 'ended'}")
    print(f"{'API':<24} {'ready' if status.api else 'not ready'}")
    for name, ready in status.nodes.items():
        print(f"{'node ' + name:<24} {'ready' if ready else 'not ready'}")
    for item in status.leftovers:
        print(f"left: {item}")
    return 0 if status.running else 1


def _logs(arguments: argparse.Namespace, layout: Layout) -> int:
    names = sorted(path.stem for path in layout.logs.glob("*.log"))
    wanted = [
        name for name in names if arguments.component in (None, name) or name.startswith(f"{arguments.component}-")
    ]
    if not wanted:
        print(
            f"error: no log of {arguments.component or 'any part'}; there are: {', '.join(names) or 'none'}",
            file=sys.stderr,
        )
        return 1
    tail = ["tail", f"--lines={arguments.lines}", *(["--follow=name"] if arguments.follow else [])]
    return subprocess.call([*tail, *(str(layout.logs / f"{name}.log") for name in wanted)])


def _kubeconfig(_arguments: argparse.Namespace, layout: Layout) -> int:
    print(layout.kubeconfig)
    if not layout.kubeconfig.exists():
        print("no cluster is running; start it with: python3 -m e2e.cluster up", file=sys.stderr)
        return 1
    return 0


def _target(_arguments: argparse.Namespace, layout: Layout) -> int:
    print(target.kubeconfig(layout))
    return 0


def _images(arguments: argparse.Namespace, _layout: Layout) -> int:
    for archive in images.build_all(arguments.names):
        print(f"{archive.reference} {archive.path}")
    return 0


def _load(arguments: argparse.Namespace, layout: Layout) -> int:
    files = [Path(name) for name in arguments.names if name.endswith(".tar")]
    names = [name for name in arguments.names if not name.endswith(".tar")]
    built = images.build_all(names) if names or not files else []
    archives = [(archive.path, archive.key) for archive in built]
    archives += [(file, cache.files_key([file])) for file in files]
    progress = Progress()
    for (path, _), lacked in zip(archives, runtime.load_all(layout, archives), strict=True):
        progress.say(f"{path.stem} {'loaded' if lacked else 'is there already'}")
    return 0


def _kubectl(arguments: argparse.Namespace, layout: Layout) -> int:
    kubectl = tools.binary("kubectl")
    os.execve(kubectl, [kubectl, *arguments.arguments], os.environ | {"KUBECONFIG": str(layout.kubeconfig)})  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
