"""What ``tool.toml`` says, parsed once: a tool is a Go module and the binaries that come out of it."""

import platform
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e import cache

FOLDER = Path(__file__).parent
FILE = "tool.toml"
_FIELDS = {"binaries", "tags", "cgo", "ldflags", "needs"}
_MAJOR = re.compile(r"v\d+")
_VERSION = re.compile(r"\{([^{}]+)\}")


class DescriptionError(ValueError):
    """A ``tool.toml`` that can't be followed, or a name that no tool has."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One Go module and how to build it.

    ``binaries`` maps a binary's name to its package (``.`` is the module's own main); ``ldflags`` are complete, with
    versions filled in; ``needs`` maps commands or files that the build uses to their Debian packages.
    """

    folder: Path
    binaries: dict[str, str]
    tags: tuple[str, ...]
    cgo: bool
    ldflags: tuple[str, ...]
    needs: dict[str, str]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def key(self) -> str:
        """Changes with every file that decides what is built."""
        inputs = [self.folder / name for name in ("go.mod", "go.sum", FILE)] + list(self.folder.glob("*.go"))
        return cache.files_key((path for path in inputs if path.exists()), platform.machine())

    @property
    def output(self) -> Path:
        """The folder that holds the binaries once they are built."""
        return cache.root() / "bin" / f"{self.name}-{self.key}"

    @property
    def built(self) -> bool:
        return self.output.is_dir()


def load(folder: Path) -> Tool:
    """The tool described in ``folder``.

    Raises:
        DescriptionError: unknown field, wrong type, no binaries, or two that Go would give the same name.
    """
    try:
        raw = tomllib.loads((folder / FILE).read_text())
        return _parse(folder, raw)
    except (OSError, tomllib.TOMLDecodeError, DescriptionError) as error:
        raise DescriptionError(f"{folder.name}/{FILE}: {error}") from error


def load_all(folder: Path = FOLDER) -> dict[str, Tool]:
    """Every tool below ``folder``, by name."""
    return {path.parent.name: load(path.parent) for path in sorted(folder.glob(f"*/{FILE}"))}


def go_name(package: str, module: str) -> str:
    """The file name that ``go build`` gives a package's binary: the last element that is no major version."""
    parts = (module if package == "." else package).split("/")
    return parts[-2] if len(parts) > 1 and _MAJOR.fullmatch(parts[-1]) else parts[-1]


def _parse(folder: Path, raw: dict[str, Any]) -> Tool:
    if unknown := set(raw) - _FIELDS:
        raise DescriptionError(f"unknown field {', '.join(sorted(unknown))}")
    binaries = _strings_by_name(raw, "binaries")
    if not binaries:
        raise DescriptionError("no binaries")
    if len({go_name(package, folder.name) for package in binaries.values()}) < len(binaries):
        raise DescriptionError("two packages whose binaries Go gives the same name")
    cgo = raw.get("cgo", False)
    if not isinstance(cgo, bool):
        raise DescriptionError("cgo must be true or false")
    versions = _versions(folder / "go.mod")
    ldflags = tuple(_fill(flag, versions) for flag in _strings(raw, "ldflags"))
    return Tool(folder, binaries, _strings(raw, "tags"), cgo, ldflags, _strings_by_name(raw, "needs"))


def _strings(raw: dict[str, Any], field: str) -> tuple[str, ...]:
    value = raw.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DescriptionError(f"{field} must be a list of strings")
    return tuple(value)


def _strings_by_name(raw: dict[str, Any], field: str) -> dict[str, str]:
    value = raw.get(field, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise DescriptionError(f"{field} must be a table of strings")
    return dict(value)


def _versions(go_mod: Path) -> dict[str, str]:
    return dict(re.findall(r"^(?:require )?\s*([\w./-]+) (v\S+)", go_mod.read_text(), re.MULTILINE))


def _fill(flag: str, versions: dict[str, str]) -> str:
    """Replace ``{module}`` by the version that go.mod requires of it, so that a version is written once."""

    def version(match: re.Match[str]) -> str:
        if match[1] not in versions:
            raise DescriptionError(f"ldflags name {match[1]}, which go.mod does not require")
        return versions[match[1]]

    return _VERSION.sub(version, flag)
