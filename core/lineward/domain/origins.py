"""Where data came from and what was done to it: sources with their consent, and the steps that made a version.

Part of the dataset-provenance predicate (docs/formats/dataset-provenance-v1.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lineward.domain.fields import Reader
from lineward.domain.pins import Pin, pin

MAX_SOURCES = 256
MAX_TRANSFORMATIONS = 256


@dataclass(frozen=True, slots=True)
class Reference:
    """A document by the digest of its bytes, `sha256:<hex>`, and where it is, if that was said."""

    digest: str
    uri: str = ""


class ConsentStatus(StrEnum):
    """Whether the people whose data it is agreed."""

    GRANTED = "granted"
    WITHDRAWN = "withdrawn"
    NOT_REQUIRED = "notRequired"


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent document and the time it covers; `sha256` is the document's digest."""

    document_id: str
    status: ConsentStatus
    uri: str = ""
    sha256: str = ""
    basis: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Tell whether the consent covers the moment; `notRequired` holds within its window too."""
        begun = self.valid_from is None or self.valid_from <= now
        ended = self.valid_until is not None and now > self.valid_until
        return self.status is not ConsentStatus.WITHDRAWN and begun and not ended


@dataclass(frozen=True, slots=True)
class Source:
    """Where data came from: a URI, the system it names and the exact state there."""

    uri: str
    system: str = ""
    pin: Pin | None = None
    digest: str = ""
    attestation: Reference | None = None
    organization: str = ""
    geography: str = ""
    consent: Consent | None = None


@dataclass(frozen=True, slots=True)
class Transformation:
    """One step that made this version, with the code it ran and where."""

    name: str
    orchestrator: str = ""
    run_id: str = ""
    code_repository: str = ""
    code_commit: str = ""
    code_digest: str = ""
    parameters_digest: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


def reference(raw: Reader) -> Reference:
    """Parse `{digest, uri}`. Raises InvalidInputError with the reader's reason, as the next ones do."""
    read = Reference(str(raw.digest("digest")), raw.text("uri", "", cap=2048))
    raw.done()
    return read


def source(raw: Reader) -> Source:
    """Parse an item of `sources`."""
    origin = raw.object("origin") if raw.has("origin") else None
    system = raw.text("system", "", cap=64)
    read = Source(
        uri=raw.text("uri"),
        system=system,
        pin=raw.nested("pin", lambda inner: pin(inner, system), None),
        digest=str(raw.digest("digest")) if raw.has("digest") else "",
        attestation=raw.nested("attestation", reference, None),
        organization=origin.text("organization", "") if origin else "",
        geography=origin.text("geography", "") if origin else "",
        consent=raw.nested("consent", _consent, None),
    )
    if origin:
        origin.done()
    raw.done()
    return read


def _consent(raw: Reader) -> Consent:
    read = Consent(
        document_id=raw.text("documentId", cap=512),
        status=raw.choice("status", ConsentStatus),
        uri=raw.text("uri", "", cap=2048),
        sha256=str(raw.digest("digest")) if raw.has("digest") else "",
        basis=raw.text("basis", ""),
        valid_from=raw.moment("validFrom"),
        valid_until=raw.moment("validUntil"),
    )
    raw.done()
    return read


def transformation(raw: Reader) -> Transformation:
    """Parse an item of `transformations`."""
    code = raw.object("code") if raw.has("code") else None
    read = Transformation(
        name=raw.text("name", cap=512),
        orchestrator=raw.text("orchestrator", "", cap=128),
        run_id=raw.text("runId", "", cap=512),
        code_repository=code.text("repository", "", cap=2048) if code else "",
        code_commit=code.text("commit", "", cap=128, pattern=r"[0-9a-f]{7,128}") if code else "",
        code_digest=str(code.digest("digest")) if code and code.has("digest") else "",
        parameters_digest=str(raw.digest("parametersDigest")) if raw.has("parametersDigest") else "",
        inputs=raw.texts("inputs"),
        outputs=raw.texts("outputs"),
        environment=raw.pairs("environment", cap=64),
        started_at=raw.moment("startedAt"),
        finished_at=raw.moment("finishedAt"),
    )
    if code:
        code.done()
    raw.done()
    return read
