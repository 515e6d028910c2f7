"""The dataset-provenance predicate: what a signer says about a version of a data set.

Format: docs/formats/dataset-provenance-v1.md. A predicate is parsed once, when its bundle verifies; policies judge the
parsed values. Unknown members are refused: what is not in the format goes into `extensions`, and an extension that
`critical` lists must be understood or the statement is refused (the rule of RFC 5280 section 4.2 and RFC 7515 4.1.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lineward.domain.dataset import MAX_WORD, WORD, Integrity, integrity
from lineward.domain.fields import Reader
from lineward.domain.pins import Pin, pin
from lineward.domain.reasons import Reason

MAX_SOURCES = 256
MAX_TRANSFORMATIONS = 256
MAX_EXTENSIONS = 32
UNDERSTOOD: frozenset[str] = frozenset()
"""Critical extensions that this version understands."""


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


@dataclass(frozen=True, slots=True)
class Use:
    """What the data may be used for. `personal_data` is None where the signer did not say."""

    purposes: tuple[str, ...] = ()
    prohibited: tuple[str, ...] = ()
    license: str = ""
    classification: str = ""
    personal_data: bool | None = None
    special_categories: bool | None = None
    privacy_techniques: tuple[str, ...] = ()
    storage_geographies: tuple[str, ...] = ()
    processing_geographies: tuple[str, ...] = ()
    not_before: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One quality check and how it went."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Quality:
    """What is known about fitness: checks, and the words that EU AI Act Annex IV 2(d) and Article 10 ask for."""

    checks: tuple[Check, ...] = ()
    labelling: str = ""
    cleaning: str = ""
    assumptions: str = ""
    known_biases: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """A parsed predicate; `integrity.manifest` is always there, its digest is the statement's subject."""

    name: str
    version: str
    integrity: Integrity
    created_at: datetime
    previous_version: str = ""
    description: str = ""
    documentation: str = ""
    issuer: str = ""
    owners: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    collection_method: str = ""
    transformations: tuple[Transformation, ...] = ()
    use: Use = Use()
    quality: Quality = Quality()


_NO_USE, _NO_QUALITY = Use(), Quality()


def parse(predicate: Mapping[str, Any]) -> Provenance:
    """Parse a predicate.

    Raises InvalidInputError(EvidenceInvalid) where it is malformed, unknown members and critical extensions included.
    """
    return read(Reader(predicate, "predicate", Reason.EVIDENCE_INVALID))


def read(raw: Reader) -> Provenance:
    """Read a predicate with a reader of one's own. Raises InvalidInputError with the reader's reason."""
    dataset = raw.object("dataset")
    parsed = Provenance(
        name=dataset.text("name", cap=MAX_WORD, pattern=WORD),
        version=dataset.text("version", cap=MAX_WORD, pattern=WORD),
        previous_version=dataset.text("previousVersion", "", cap=MAX_WORD),
        description=dataset.text("description", ""),
        documentation=dataset.text("documentation", "", cap=2048),
        issuer=dataset.text("issuer", ""),
        owners=dataset.texts("owners"),
        integrity=integrity(raw.object("integrity")),
        sources=raw.each("sources", _source, cap=MAX_SOURCES),
        collection_method=raw.nested("collection", _collection, ""),
        transformations=raw.each("transformations", _step, cap=MAX_TRANSFORMATIONS),
        use=raw.nested("use", _use, _NO_USE),
        quality=raw.nested("quality", _quality, _NO_QUALITY),
        created_at=_created(raw),
    )
    dataset.done()
    if parsed.integrity.manifest is None:
        raw.fail("is missing", "integrity.manifest")
    raw.nested("producer", _producer, None)
    _extensions(raw)
    raw.done()
    return parsed


def _created(raw: Reader) -> datetime:
    created = raw.moment("createdAt")
    if created is None:
        raw.fail("is missing", "createdAt")
    return created


def _source(raw: Reader) -> Source:
    origin = raw.object("origin") if raw.has("origin") else None
    system = raw.text("system", "", cap=64)
    read = Source(
        uri=raw.text("uri"),
        system=system,
        pin=raw.nested("pin", lambda inner: pin(inner, system), None),
        digest=str(raw.digest("digest")) if raw.has("digest") else "",
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


def _collection(raw: Reader) -> str:
    method = raw.text("method")
    raw.text("format", "")
    raw.nested("period", _period, None)
    raw.done()
    return method


def _period(raw: Reader) -> None:
    raw.moment("start")
    raw.moment("end")
    raw.done()


def _step(raw: Reader) -> Transformation:
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


def _use(raw: Reader) -> Use:
    read = Use(
        purposes=raw.texts("purposes"),
        prohibited=raw.texts("prohibited"),
        license=raw.text("license", "", cap=512),
        classification=raw.text("classification", "", cap=128),
        personal_data=raw.flag("personalData"),
        special_categories=raw.flag("specialCategories"),
        privacy_techniques=raw.texts("privacyTechniques"),
        storage_geographies=raw.texts("storageGeographies"),
        processing_geographies=raw.texts("processingGeographies"),
        not_before=raw.moment("notBefore"),
        expires=raw.moment("expires"),
    )
    raw.done()
    return read


def _quality(raw: Reader) -> Quality:
    read = Quality(
        checks=raw.each("checks", _check),
        labelling=raw.text("labelling", ""),
        cleaning=raw.text("cleaning", ""),
        assumptions=raw.text("assumptions", ""),
        known_biases=raw.texts("knownBiases"),
        gaps=raw.texts("gaps"),
    )
    raw.pairs("statistics")
    raw.done()
    return read


def _check(raw: Reader) -> Check:
    name, passed, detail = raw.text("name", cap=512), raw.flag("passed"), raw.text("detail", "")
    raw.done()
    if passed is None:
        raw.fail("is missing", "passed")
    return Check(name, passed, detail)


def _producer(raw: Reader) -> None:
    raw.text("tool", cap=128)
    raw.text("version", "", cap=128)
    raw.pairs("environment", cap=64)
    raw.done()


def _extensions(raw: Reader) -> None:
    critical = raw.texts("critical", cap=MAX_EXTENSIONS, length=512)
    there = raw.value("extensions") if raw.has("extensions") else {}
    if not isinstance(there, Mapping) or len(there) > MAX_EXTENSIONS:
        raw.fail(f"must be an object of at most {MAX_EXTENSIONS} members", "extensions")
    unknown = [name for name in critical if name not in UNDERSTOOD]
    if unknown:
        raw.fail(f"lists extensions that this version does not understand: {', '.join(unknown)[:200]}", "critical")
