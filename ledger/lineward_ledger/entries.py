"""What an entry of the ledger is, and its canonical bytes: the leaf of the tree that the head commits to.

The format is `docs/formats/ledger-v1.md`. Untrusted JSON is parsed here, once.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from lineward.domain import lineage
from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

VERSION = 1
MAX_BODY_BYTES = 256 * 1024
"""Largest request body. OpenLineage events of Spark with full schemas reach tens of KiB."""
MAX_DEPTH = 32
"""OpenLineage's deepest standard facets reach 9."""
WRITER_KINDS = ("verdict", "run", "admission")
LINEAGE = "lineage"
KINDS = (*WRITER_KINDS, LINEAGE)
_ID = re.compile(r"[!-~]{1,200}")
_SUBJECT = re.compile(r"([a-z0-9.-]{0,63})/[A-Za-z0-9]{1,63}/[a-z0-9.:-]{1,253}")
_K8S = re.compile(r"k8s://[^/]+/([a-z0-9-]{1,63})")
_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Author:
    """Who sent an entry, as the API server's TokenReview says; `pod` and `pod_uid` are empty for unbound tokens."""

    username: str
    namespace: str
    service_account: str
    pod: str = ""
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before the ledger gave it a place. `trust` is `attested` (the writer) or `observed` (any pod).

    `run` and `parent` are UIDs to find the entry by, or empty; `namespace` is the subject's, or the author's for
    what was observed.
    """

    id: str
    kind: str
    trust: str
    namespace: str
    subject: str
    run: str
    parent: str
    author: Author
    body: Mapping[str, Any]

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of what is said and by which account; equal ids must have equal fingerprints.

        The pod does not count: an operator that was started anew may say again what its predecessor said.
        """
        return hashlib.sha256(_dump({**self._fields(), "author": self.author.username})).digest()

    def encode(self, seq: int, at: datetime) -> bytes:
        """Return the canonical bytes of the entry at place `seq` (the first is 1), received `at`."""
        return _dump({**self._fields(), "seq": seq, "at": lineage.timestamp(at)})

    def _fields(self) -> dict[str, Any]:
        author = {
            "username": self.author.username,
            "pod": self.author.pod,
            "podUid": self.author.pod_uid,
        }
        return {
            "v": VERSION,
            "id": self.id,
            "kind": self.kind,
            "trust": self.trust,
            "namespace": self.namespace,
            "subject": self.subject,
            "run": self.run,
            "parent": self.parent,
            "author": author,
            "body": self.body,
        }


def parse_json(data: bytes) -> Any:
    """Decode a request body strictly: no duplicate keys, no NaN or infinity, bounded depth.

    Raises InvalidInputError(RequestInvalid).
    """
    try:
        value = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
        _check_depth(value)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"the body is not acceptable JSON: {error}") from error
    return value


def lineage_draft(event: Any, author: Author, *, attested: bool) -> Draft:
    """Return the entry for an OpenLineage event; its id is the digest of event and author, so a repeat is the same.

    The author is the pod, but for the writer, which is one whatever pod it runs in.

    Raises InvalidInputError(RequestInvalid) for what is not a RunEvent.
    """
    found = lineage.summarise(event)
    pod = "" if attested else author.pod_uid
    identity = hashlib.sha256(_dump({"author": author.username, "pod": pod, "event": event})).hexdigest()
    named = _K8S.fullmatch(event["job"]["namespace"])
    namespace = named[1] if attested and named else author.namespace
    return Draft(
        id=f"lineage:{identity}",
        kind=LINEAGE,
        trust="attested" if attested else "observed",
        namespace=namespace,
        subject=found.job,
        run=found.run_id,
        parent=found.parent_run_id,
        author=author,
        body=event,
    )


def writer_draft(raw: Any, author: Author) -> Draft:
    """Return the entry for what the writer posted: `{id, kind, subject, run?, body}`.

    Raises InvalidInputError(RequestInvalid) naming the field that is wrong.
    """
    if not isinstance(raw, dict) or set(raw) - {"id", "kind", "subject", "run", "body"}:
        raise InvalidInputError(Reason.REQUEST_INVALID, "an entry has id, kind, subject, run and body, nothing else")
    if raw.get("kind") not in WRITER_KINDS:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"kind is none of {', '.join(WRITER_KINDS)}")
    if not isinstance(raw.get("body"), dict):
        raise InvalidInputError(Reason.REQUEST_INVALID, "body is not an object")
    identity = _matched(raw.get("id"), _ID, "id is not 1 to 200 printable ASCII characters without spaces")
    if identity.startswith(f"{LINEAGE}:"):
        raise InvalidInputError(Reason.REQUEST_INVALID, f"an id must not start with {LINEAGE}:")
    subject = _matched(raw.get("subject"), _SUBJECT, "subject is not <namespace>/<Kind>/<name>")
    return Draft(
        id=identity,
        kind=raw["kind"],
        trust="attested",
        namespace=subject.split("/", 1)[0],
        subject=subject,
        run=_matched(raw["run"], _RUN, "run is not a lower-case UUID") if raw.get("run") else "",
        parent="",
        author=author,
        body=raw["body"],
    )


def _matched(value: Any, pattern: re.Pattern[str], message: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidInputError(Reason.REQUEST_INVALID, message)
    return value


def _dump(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice")
    return made


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH}")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
