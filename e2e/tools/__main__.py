"""``python3 -m e2e.tools``: build the pinned programs, or say where they are."""

import argparse
import shutil
import sys

from e2e import command
from e2e.prerequisites import MissingPrerequisiteError
from e2e.tools import BuildError, DescriptionError, build, load_all


def main() -> int:
    arguments = _parser().parse_args()
    return command.run(lambda: _run(arguments), (BuildError, DescriptionError, MissingPrerequisiteError))


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "build":
            build(arguments.names)
        case "path":
            print(_path(arguments.name))
        case "list":
            _list()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="build what the cache lacks (all tools, or those named)")
    builder.add_argument("names", nargs="*", metavar="NAME")
    path = commands.add_parser("path", help="where a tool's folder, or a binary, is (built or not)")
    path.add_argument("name", metavar="NAME")
    commands.add_parser("list", help="tools, their binaries, and whether they are built")
    return parser


def _path(name: str) -> str:
    tools = load_all()
    for tool in tools.values():
        if name in tool.binaries:
            return str(tool.output / name)
    if name in tools:
        return str(tools[name].output)
    raise DescriptionError(f"no tool or binary named {name}")


def _list() -> None:
    width = shutil.get_terminal_size().columns
    for tool in load_all().values():
        state = "built" if tool.built else "not built"
        print(f"{tool.name:<12} {state:<10} {' '.join(tool.binaries)}"[:width])


if __name__ == "__main__":
    sys.exit(main())
