"""Reads what a verification needs from files: trust roots, policies, recalls, DatasetVersions and bundles.

What a file is, is told from its content, never from its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lineward.adapters import documents, trustroots
from lineward.domain import dataset, policy, recall, strictjson, trustroot
from lineward.domain.dataset import DatasetVersion
from lineward.domain.draft import API_VERSION
from lineward.domain.errors import InvalidInputError
from lineward.domain.evidence import KeyAnchor, TrustRoot
from lineward.domain.policy import Policy
from lineward.domain.reasons import Reason
from lineward.domain.recall import Recall

MAX_BUNDLE_FILE = 32 * 1024 * 1024
"""Bytes of a bundle given as a file; OMS signatures list every file, 220 bytes each, so this is 150,000 files."""
NAMELESS = ""
"""Name of a trust root that was read from a `trusted_root.json` or PEM file: it is what a policy's name stands for."""
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle"


@dataclass(slots=True)
class Inputs:
    """What is to be verified, and by what."""

    datasets: list[DatasetVersion] = field(default_factory=list)
    bundles: list[tuple[str, bytes]] = field(default_factory=list)
    """File name and content of bundles that stand alone."""
    policies: list[Policy] = field(default_factory=list)
    trust_roots: list[TrustRoot] = field(default_factory=list)
    recalls: list[Recall] = field(default_factory=list)
    given: Policy | None = None
    """The one of the policies that the command line stands for: it asks whose signature it is, and no more."""

    def add_object(self, obj: Mapping[str, Any]) -> bool:
        """Take an object of one of Lineward's kinds; other kinds are left alone. Raises InvalidInputError."""
        kind = obj.get("kind")
        if kind == "DatasetVersion":
            self.datasets.append(dataset.parse(obj))
        elif kind == "ProvenancePolicy":
            self.policies.append(policy.parse(obj))
        elif kind == "TrustRoot":
            self.trust_roots.append(trustroot.parse(obj))
        elif kind == "DatasetRecall":
            self.recalls.append(recall.parse(obj))
        else:
            return False
        return True

    def add_trust_root(self, path: Path, now: datetime) -> None:
        """Take what a trust root file holds, a bare key until `now`, the moment that is judged.

        Whoever names a PEM file believes its key at that moment; it says nothing of an end, so no stored TrustRoot can
        be made of it that counts without a time. Raises InvalidInputError(TrustRootInvalid).
        """
        for root in read_trust_root(path):
            if root.name == NAMELESS:
                self._add_nameless(root, now)
            else:
                self.trust_roots.append(root)

    def _add_nameless(self, root: TrustRoot, now: datetime) -> None:
        """Make one of bare keys and a trusted_root.json: together they stand for the trust root that is asked for."""
        added = tuple(replace(key, not_after=now) for key in root.keys)
        nameless = [each for each in self.trust_roots if each.name == NAMELESS]
        there = next((each for each in nameless if not (each.trusted_root_json and root.trusted_root_json)), None)
        if there is None:
            self.trust_roots.append(trustroot.make(NAMELESS, root.trusted_root_json, added))
            return
        known = {trustroot.key_digest(key.pem) for key in there.keys}
        keys = (*there.keys, *(key for key in added if trustroot.key_digest(key.pem) not in known))
        if len({key.name for key in keys}) != len(keys):
            raise InvalidInputError(Reason.TRUST_ROOT_INVALID, "two key files have one name, which names the key")
        both = trustroot.make(NAMELESS, there.trusted_root_json or root.trusted_root_json, keys)
        self.trust_roots[self.trust_roots.index(there)] = both

    def give(self, authorities: Sequence[Mapping[str, Any]]) -> None:
        """Add a policy that accepts what the command line names."""
        spec = {
            "match": {"namespaces": {"names": ["any"]}},
            "trustRootRef": {"name": "given"},
            "authorities": authorities,
        }
        self.given = policy.parse({"metadata": {"name": "command-line"}, "spec": spec})
        self.policies.append(self.given)

    def give_keys(self) -> None:
        """Add a policy that accepts the keys of the trust roots, where these have any."""
        keys = [key.name for root in self.trust_roots for key in root.keys]
        if keys:
            self.give([{"name": f"key-{i}", "key": {"name": key}} for i, key in enumerate(keys)])

    def trust_root_of(self, wanted: Policy) -> TrustRoot:
        """The trust root that a policy names, or the one given as a file without a name in it.

        Raises InvalidInputError(TrustRootMissing).
        """
        names = {wanted.trust_root, NAMELESS}
        found = {root.digest: root for root in self.trust_roots if wanted is self.given or root.name in names}
        if len(found) != 1:
            problem = f"policy {wanted.name} names the trust root {wanted.trust_root}; {len(found)} of it were given"
            raise InvalidInputError(Reason.TRUST_ROOT_MISSING, problem)
        return next(iter(found.values()))


def read_target(path: Path, inputs: Inputs) -> bool:
    """Read a DatasetVersion or a bundle; False where the file holds ConfigMaps only, as `attest` writes for manifests.

    Raises InvalidInputError(DatasetInvalid or EvidenceInvalid).
    """
    raw = _read(path, MAX_BUNDLE_FILE, Reason.DATASET_INVALID, Reason.EVIDENCE_TOO_LARGE)
    if _is_bundle(raw):
        inputs.bundles.append((path.name, raw))
        return True
    problem = InvalidInputError(Reason.DATASET_INVALID, f"{path} is no DatasetVersion and no Sigstore bundle")
    try:
        objects = documents.parse_all(raw, str(path), Reason.DATASET_INVALID)
    except InvalidInputError as error:
        objects, problem = [], error
    found = [obj for obj in objects if obj.get("kind") == "DatasetVersion"]
    if objects and all(obj.get("kind") == "ConfigMap" for obj in objects):
        return False
    if not found and _BUNDLE_TYPE.encode() in raw:  # one that is broken, which its verifier says best
        inputs.bundles.append((path.name, raw))
    elif not found:
        raise problem
    for obj in found:
        require_ours(obj, path, Reason.DATASET_INVALID)
        inputs.datasets.append(dataset.parse(obj))
    return True


def _is_bundle(raw: bytes) -> bool:
    """Tell a whole bundle, wherever its media type stands."""
    try:
        value = strictjson.parse(raw, cap=MAX_BUNDLE_FILE, what="the file")
    except InvalidInputError:
        return False
    return isinstance(value, dict) and str(value.get("mediaType")).startswith(_BUNDLE_TYPE)


def read_policies(path: Path, inputs: Inputs) -> None:
    """Read ProvenancePolicies, and the TrustRoots that stand beside them. Raises InvalidInputError."""
    read_objects(path, inputs, "ProvenancePolicy", Reason.POLICY_INVALID)
    if any(obj.get("kind") == "TrustRoot" for obj in documents.read_all(path, Reason.POLICY_INVALID)):
        inputs.trust_roots += read_trust_root(path)


def read_objects(path: Path, inputs: Inputs, kind: str, reason: Reason) -> None:
    """Read the objects of a kind; others in the file are left alone. Raises InvalidInputError(`reason`) for none."""
    found = [obj for obj in documents.read_all(path, reason) if obj.get("kind") == kind]
    if not found:
        raise InvalidInputError(reason, f"{path} holds no {kind}")
    for obj in found:
        require_ours(obj, path, reason)
        inputs.add_object(obj)


def require_ours(obj: Mapping[str, Any], path: Path, reason: Reason) -> None:
    """Refuse an object of another group or version: what its fields mean there is not what is read here.

    Raises InvalidInputError(`reason`).
    """
    if obj.get("apiVersion") != API_VERSION:
        said = f"{path} holds a {obj['kind']} of apiVersion {obj.get('apiVersion')!r}, not {API_VERSION}"
        raise InvalidInputError(reason, said[:300])


def read_trust_root(path: Path) -> list[TrustRoot]:
    """Read TrustRoot objects, a trusted_root.json, a client trust config, or a PEM public key.

    Raises InvalidInputError(TrustRootInvalid), also where one key or authority of it cannot be used.
    """
    roots = _trust_roots(path)
    for root in roots:
        trustroots.require_usable(root)
    return roots


def _trust_roots(path: Path) -> list[TrustRoot]:
    raw = _read(path, documents.MAX_FILE, Reason.TRUST_ROOT_INVALID)
    text = raw.decode(errors="replace")
    if "BEGIN PUBLIC KEY" in text and "kind:" not in text and not text.lstrip().startswith("{"):
        return [trustroot.make(NAMELESS, "", (KeyAnchor(path.stem, text),))]
    value: object = None
    broken: InvalidInputError | None = None
    try:
        value = strictjson.parse(raw, cap=documents.MAX_FILE, what=str(path), reason=Reason.TRUST_ROOT_INVALID)
    except InvalidInputError as error:
        broken = error if text.lstrip("\ufeff \t\r\n").startswith("{") else None
    if isinstance(value, dict) and "mediaType" in value:
        inner = value.get("trustedRoot", value)
        return [trustroot.make(NAMELESS, json.dumps(inner) if inner is not value else text)]
    return _trust_root_objects(path, broken)


def read_pem(path: Path) -> str:
    """Read the text of a PEM public key, unparsed. Raises InvalidInputError(TrustRootInvalid)."""
    return _read(path, trustroot.MAX_PEM, Reason.TRUST_ROOT_INVALID).decode(errors="replace")


def _trust_root_objects(path: Path, broken: InvalidInputError | None) -> list[TrustRoot]:
    """Read TrustRoot objects; where there are none, `broken` says what is wrong with what seems to be JSON."""
    inputs = Inputs()
    try:
        read_objects(path, inputs, "TrustRoot", Reason.TRUST_ROOT_INVALID)
    except InvalidInputError as error:
        raise broken or error from error
    return inputs.trust_roots


def _read(path: Path, cap: int, reason: Reason, too_large: Reason | None = None) -> bytes:
    """Read a file whole; one that says it is too large is not read at all."""
    try:
        with path.open("rb") as file:
            raw = b"" if (size := os.fstat(file.fileno()).st_size) > cap else file.read(cap + 1)
    except OSError as error:
        raise InvalidInputError(reason, f"{path}: {error.strerror}") from error
    if max(size, len(raw)) > cap:
        raise InvalidInputError(too_large or reason, f"{path} is larger than {cap} bytes")
    return raw
