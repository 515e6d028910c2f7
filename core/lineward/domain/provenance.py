"""The dataset-provenance predicate: what a signer says about a version of a data set.

Format: docs/formats/dataset-provenance-v1.md. A predicate is parsed once, when its bundle verifies; policies judge the
parsed values. Unknown members are refused: what is not in the format goes into `extensions`, and an extension that
`critical` lists must be understood or the statement is refused (the rule of RFC 5280 section 4.2 and RFC 7515 4.1.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lineward.domain.dataset import MAX_WORD, WORD, Integrity, integrity
from lineward.domain.fields import Reader
from lineward.domain.origins import (
    MAX_SOURCES,
    MAX_TRANSFORMATIONS,
    Reference,
    Source,
    Transformation,
    reference,
    source,
    transformation,
)
from lineward.domain.reasons import Reason

MAX_EXTENSIONS = 32
UNDERSTOOD: frozenset[str] = frozenset()
"""Critical extensions that this version understands."""


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
    schema: Reference | None = None
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
        schema=dataset.nested("schema", reference, None),
        integrity=integrity(raw.object("integrity")),
        sources=raw.each("sources", source, cap=MAX_SOURCES),
        collection_method=raw.nested("collection", _collection, ""),
        transformations=raw.each("transformations", transformation, cap=MAX_TRANSFORMATIONS),
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
