"""Reads and writes the YAML and JSON files that people keep: objects of the cluster and provenance.

Strict where YAML is lax, so that a file means what it shows: aliases (which "billion laughs" needs), tags, duplicate
keys and keys that are no text are refused, and times stay text. Nesting is measured before anything is built, since
libyaml's composer calls itself and a deep file would end the process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml

from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason
from lineward.domain.strictjson import MAX_DEPTH

MAX_FILE = 4 * 1024 * 1024
"""Bytes of one file: a DatasetVersion with all its bundles, or a ConfigMap with a manifest, in base64."""
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_TAGGED = (yaml.ScalarEvent, yaml.CollectionStartEvent)


class _Loader(_BASE):  # type: ignore[misc]
    """YAML 1.1 without times, numbers of base 60 and duplicate keys."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        made = super().construct_mapping(node, deep)
        if len(made) != len(node.value):
            raise yaml.YAMLError(f"duplicate key{node.start_mark}")
        if not all(isinstance(key, str) for key in made):
            raise yaml.YAMLError(f"a key is no text{node.start_mark}")
        return made

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Take no plain text with a colon for a number: kubectl takes none, and 1:59:59... costs its length squared."""
        if kind is yaml.ScalarNode and ":" in value:
            return "tag:yaml.org,2002:str"
        return super().resolve(kind, value, implicit)


def read_all(path: str | Path, reason: Reason = Reason.REQUEST_INVALID) -> list[dict[str, Any]]:
    """Every object of a YAML or JSON file; a Kubernetes List counts as its items.

    Raises InvalidInputError(`reason`) where the file cannot be read, is too large or holds anything but objects.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidInputError(reason, f"{path}: {error.strerror}") from error
    return parse_all(raw, str(path), reason)


def parse_all(raw: bytes, name: str, reason: Reason = Reason.REQUEST_INVALID) -> list[dict[str, Any]]:
    """Every object of YAML or JSON text. Raises as `read_all` does, with `name` in the message."""
    if len(raw) > MAX_FILE:
        raise InvalidInputError(reason, f"{name} is larger than {MAX_FILE} bytes")
    try:
        if problem := _unread(raw):
            raise InvalidInputError(reason, f"{name} {problem}")
        found = [item for item in yaml.load_all(raw, _Loader) if item is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInputError(reason, f"{name} is not YAML or JSON: {' '.join(str(error).split())}"[:300]) from error
    objects = [item for document in found for item in _items(document)]
    if not all(isinstance(item, dict) for item in objects):
        raise InvalidInputError(reason, f"{name} holds something that is no object")
    return objects


def read_one(path: str | Path, reason: Reason = Reason.REQUEST_INVALID, kind: str = "") -> dict[str, Any]:
    """The one object of a file, or its one object of a kind. Raises as `read_all` does, also for none or several."""
    found = [item for item in read_all(path, reason) if not kind or item.get("kind") == kind]
    if len(found) != 1:
        raise InvalidInputError(
            reason, f"{path} holds {len(found)} objects{f' of kind {kind}' if kind else ''}, not one"
        )
    return found[0]


def dump(objects: Sequence[Mapping[str, Any]]) -> bytes:
    """YAML documents, keys in the order given, long texts unbroken."""
    text: str = yaml.dump_all(
        objects, Dumper=_DUMPER, sort_keys=False, width=2**31 - 1, allow_unicode=True, explicit_start=len(objects) > 1
    )
    return text.encode()


def dump_like(path: Path, objects: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON where the name ends so, several objects as a Kubernetes List; YAML documents else."""
    if path.suffix != ".json":
        return dump(objects)
    return dump_json(objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": list(objects)})


def dump_json(value: Mapping[str, Any]) -> bytes:
    """Indented JSON with a line end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _unread(raw: bytes) -> str:
    """What of the text is not read, found in its events, which a stack makes and no recursion."""
    depth = 0
    for event in yaml.parse(raw, _BASE):
        if isinstance(event, yaml.AliasEvent):
            return "has aliases, which are not read"
        if isinstance(event, _TAGGED) and event.tag is not None:
            return f"has the tag {event.tag[:80]}, which is not read"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            return f"nests deeper than {MAX_DEPTH}"
    return ""


def _items(document: Any) -> list[Any]:
    if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        return list(document["items"])
    return [document]
