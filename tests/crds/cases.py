"""Example objects, and changes that break them; read by the schema tests here and by those on a real API server."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CRDS = ROOT / "crds"


@dataclass(frozen=True)
class Case:
    """One change to an example, and a fragment of what the API server says to it."""

    example: str
    path: str
    change: dict[str, Any]
    says: str
    structural: bool = False
    stored: bool = False

    def __str__(self) -> str:
        value = str(self.change.get("set", "removed" if "remove" in self.change else "repeated"))
        return f"{self.example}-{self.path}-{value[:40]}{'-stored' if self.stored else ''}"

    def broken(self) -> dict[str, Any]:
        changed = copy.deepcopy(example(self.example))
        parent: Any = changed
        *parts, last = (int(part) if part.isdigit() else part for part in self.path.split("."))
        for part in parts:
            parent = parent[part]
        if "remove" in self.change:
            del parent[last]
        elif "repeat" in self.change:
            times, value = self.change["repeat"]
            parent[last] = times * value if isinstance(value, str) else times * [value]
        else:
            parent[last] = self.change["set"]
        return changed


def examples() -> list[str]:
    return sorted(path.stem for path in (HERE / "examples").glob("*.yaml"))


def example(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((HERE / "examples" / f"{name}.yaml").read_text())
    return loaded


def definition(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CRDS / f"{name}.yaml").read_text())
    return loaded


def broken() -> list[Case]:
    return [
        Case(
            example=raw["example"],
            path=raw["path"],
            change={key: raw[key] for key in ("set", "remove", "repeat") if key in raw},
            says=raw["says"],
            structural=raw.get("structural", False),
            stored=raw.get("stored", False),
        )
        for raw in yaml.safe_load((HERE / "broken.yaml").read_text())
    ]
