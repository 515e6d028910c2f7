"""Puts together what is going to be signed, and the objects that carry it into the cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from lineward.domain import mistakes
from lineward.domain import provenance as provenances
from lineward.domain.dataset import DNS_NAME
from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError, MistakesError
from lineward.domain.inheritance import over
from lineward.domain.manifest import Parameters, Summary
from lineward.domain.provenance import Provenance
from lineward.domain.reasons import Reason
from lineward.domain.statement import DATASET_PROVENANCE, MAX_STATEMENT, PAYLOAD_TYPE, Statement, build, parse

API_VERSION = "lineward.dev/v1alpha1"
MANIFEST_KEY = "manifest.lwm"
MAX_CONFIG_MAP = 900 * 1024
"""Bytes of a manifest that goes into a ConfigMap; Kubernetes allows 1 MiB of data in one."""
EXPECTED = (
    "dataset.issuer",
    "sources",
    "collection.method",
    "transformations",
    "use.purposes",
    "use.license",
    "use.classification",
    "use.personalData",
)
"""What an auditor will ask for; a statement without them is valid but says little."""
_FILLED_IN = frozenset({"integrity", "producer", "createdAt"})
_NOTHING: Mapping[str, Any] = MappingProxyType({})
UNHASHED = Summary(Digest(bytes(32)), Digest(bytes(32)), 0, 0, 0, Parameters())
"""Stands for what hashing will find, where the rest is checked before it."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a version is called, in its family and in the cluster."""

    dataset: str
    version: str
    namespace: str
    name: str

    @property
    def manifest(self) -> str:
        """Name of the ConfigMap with the manifest."""
        return f"{self.name[:240].rstrip('-.')}-manifest"


def object_name(dataset: str, version: str) -> str:
    """A name for the DatasetVersion object: RFC 1123, from data set and version.

    Raises InvalidInputError(ProvenanceInvalid) where nothing of them can be kept.
    """
    name = re.sub(r"[^a-z0-9.-]+", "-", f"{dataset}-{version}".lower())
    name = re.sub(r"[-.]*\.[-.]*", ".", name).strip("-.")[:240].rstrip("-.")
    if not re.fullmatch(DNS_NAME, name):
        raise InvalidInputError(Reason.PROVENANCE_INVALID, f"no object name can be made of {dataset} {version}")
    return name


def described(
    given: Mapping[str, Any], names: Names, flags: Mapping[str, Any], previous: Mapping[str, Any] = _NOTHING
) -> dict[str, Any]:
    """Merge what an earlier version says, a file and flags into the describing part of a predicate.

    Later ones win; flags add to lists, a file's lists replace the earlier version's (`inheritance.over`). Raises
    MistakesError(ProvenanceInvalid) with everything that is wrong with the file, or InvalidInputError where the earlier
    version is of another data set, or is this one.
    """
    said = {member: value for member, value in given.items() if value is not None}
    if wrong := [*_of_another(said, names), *_wrong_alone(said, names)]:
        raise MistakesError(Reason.PROVENANCE_INVALID, wrong)
    made = merged(over(previous, said), flags)
    dataset = made.get("dataset", {})
    if dataset.get("name", names.dataset) != names.dataset:
        problem = f"the earlier version is of {dataset['name']!r}, but {names.dataset!r} is being attested"
        raise InvalidInputError(Reason.PROVENANCE_INVALID, problem[:300])
    if dataset.get("previousVersion") == names.version:
        problem = f"version {names.version} cannot be its own previous one"
        raise InvalidInputError(Reason.PROVENANCE_INVALID, problem[:300])
    return {**made, "dataset": {**dataset, "name": names.dataset, "version": names.version}}


def _of_another(said: Mapping[str, Any], names: Names) -> list[str]:
    """Where the file is about another data set or version, or says what `attest` fills in."""
    wrong = [f"{member}: is filled in by attest, so leave it out" for member in said if member in _FILLED_IN]
    for member, asked in (("name", names.dataset), ("version", names.version)):
        there = _at(said, f"dataset.{member}")
        if there not in (None, asked):
            number = "" if isinstance(there, str) else " (no text: put it in quotes)"
            wrong.append(f"dataset.{member}: is {there!r:.80}{number}, but {asked!r} is being attested")
    return wrong


def _wrong_alone(said: Mapping[str, Any], names: Names) -> list[str]:
    """Mistakes of the file by itself, so that their paths are the file's own."""
    dataset = said.get("dataset", {})
    if isinstance(dataset, Mapping):
        dataset = {**dataset, "name": names.dataset, "version": names.version}
    own = {member: value for member, value in said.items() if member not in _FILLED_IN}
    filled_in = {"integrity": integrity(UNHASHED), "createdAt": "1970-01-01T00:00:00Z"}
    return mistakes.found({**own, "dataset": dataset, **filled_in})


def missing(description: Mapping[str, Any]) -> list[str]:
    """What `EXPECTED` asks for and the description does not say, as dotted paths."""
    return [path for path in EXPECTED if _at(description, path) in (None, "", [], {})]


def predicate(
    description: Mapping[str, Any], summary: Summary, producer: Mapping[str, Any], created: datetime
) -> dict[str, Any]:
    """The whole predicate. Raises InvalidInputError(ProvenanceInvalid) unless verifiers will take it."""
    made = {
        **description,
        "integrity": integrity(summary),
        "producer": dict(producer),
        "createdAt": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    check(made)
    return made


def check(made: Mapping[str, Any]) -> Provenance:
    """Read a predicate as verifiers will. Raises MistakesError(ProvenanceInvalid) with all that they would refuse."""
    try:
        return provenances.parse(made)
    except InvalidInputError as error:
        raise MistakesError(Reason.PROVENANCE_INVALID, mistakes.found(made) or [error.message]) from error


def statement(made: Mapping[str, Any], names: Names, manifest: Digest) -> bytes:
    """The statement about a manifest. Raises InvalidInputError(ProvenanceInvalid) unless verifiers read it."""
    try:
        encoded = build(Statement(f"{names.dataset}@{names.version}", manifest, DATASET_PROVENANCE, made))
    except UnicodeEncodeError as error:
        raise InvalidInputError(Reason.PROVENANCE_INVALID, "an extension holds text that UTF-8 cannot hold") from error
    if len(encoded) > MAX_STATEMENT:
        problem = f"the statement has {len(encoded)} bytes; at most {MAX_STATEMENT} are verified"
        raise InvalidInputError(Reason.PROVENANCE_INVALID, problem)
    try:
        parse(PAYLOAD_TYPE, encoded)
    except InvalidInputError as error:
        raise InvalidInputError(Reason.PROVENANCE_INVALID, error.message) from error
    return encoded


def integrity(summary: Summary) -> dict[str, Any]:
    """The signed integrity block of a manifest."""
    return {
        "algorithm": "sha256",
        "profile": str(summary.parameters.profile),
        "chunkBytes": summary.parameters.chunk_bytes,
        "root": str(summary.root),
        "files": summary.files,
        "bytes": summary.bytes,
        "manifest": {"digest": str(summary.manifest), "size": summary.manifest_bytes},
    }


def dataset_version(
    names: Names, summary: Summary, volumes: Sequence[Mapping[str, Any]], bundle: bytes, previous: str = ""
) -> dict[str, Any]:
    """The DatasetVersion object; it points to the ConfigMap where the manifest fits into one."""
    said = integrity(summary)
    if summary.manifest_bytes <= MAX_CONFIG_MAP:
        said["manifest"]["configMap"] = {"name": names.manifest, "key": MANIFEST_KEY}
    spec: dict[str, Any] = {"dataset": names.dataset, "version": names.version}
    if previous:
        spec["previousVersion"] = previous
    spec |= {"integrity": said, "volumes": list(volumes), "attestations": [{"bundle": bundle.decode()}]}
    return {"apiVersion": API_VERSION, "kind": "DatasetVersion", "metadata": _metadata(names, names.name), "spec": spec}


def config_map(names: Names, manifest_base64: str) -> dict[str, Any]:
    """The ConfigMap with the manifest; nothing trusts it but by the signed digest."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(names, names.manifest),
        "immutable": True,
        "binaryData": {MANIFEST_KEY: manifest_base64},
    }


def _metadata(names: Names, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": names.namespace, "labels": {"app.kubernetes.io/created-by": "lineward"}}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, at every depth: what `over` does not mention stays, what it says wins, and lists are added to."""
    made = dict(base)
    for member, value in over.items():
        there = made.get(member)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            made[member] = merged(there, value)
        elif isinstance(value, list) and isinstance(there, list):
            made[member] = [*there, *(item for item in value if not _among(item, there))]
        else:
            made[member] = value
    return made


def _among(item: Any, there: Sequence[Any]) -> bool:
    """Whether a list says it already, perhaps with more: a source that is named by its URI alone."""
    mappings = (each for each in there if isinstance(each, Mapping) and isinstance(item, Mapping))
    return item in there or any(item.items() <= each.items() for each in mappings)


def _at(value: Any, path: str) -> Any:
    for member in path.split("."):
        value = value.get(member) if isinstance(value, Mapping) else None
    return value
