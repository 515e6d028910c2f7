"""What a policy may demand of a verified predicate: typed rules, each a function to at most one objection.

No expression language: each rule is bounded by the caps of the predicate it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lineward.domain.fields import Reader
from lineward.domain.provenance import Provenance


class Demand(StrEnum):
    """`Required` must be there."""

    REQUIRED = "Required"


class PersonalData(StrEnum):
    """`Forbidden` refuses unless the signer said that there is none."""

    ALLOWED = "Allowed"
    FORBIDDEN = "Forbidden"


class Checks(StrEnum):
    """`Passed` needs at least one quality check and no failed one."""

    PASSED = "Passed"


@dataclass(frozen=True, slots=True)
class Constraints:
    """Rules over a predicate; an empty one demands nothing."""

    licenses: frozenset[str] = frozenset()
    classifications: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    source_systems: frozenset[str] = frozenset()
    consent_required: bool = False
    sources_required: bool = False
    code_required: bool = False
    personal_data_forbidden: bool = False
    checks_passed: bool = False

    def objection(self, provenance: Provenance, now: datetime) -> str:
        """Say what is not met; empty where all is."""
        rules = (_licence, _classification, _purpose, _systems, _sources, _code, _personal, _checks)
        said = next((said for rule in rules if (said := rule(self, provenance))), "")
        return said or _consent(self, provenance, now)


NO_CONSTRAINTS = Constraints()


def parse(raw: Reader) -> Constraints:
    """Parse `constraints` of a policy. Raises InvalidInputError with the reader's reason."""
    read = Constraints(
        licenses=_words(raw, "licenses", 512),
        classifications=_words(raw, "classifications", 128),
        purposes=_words(raw, "purposes", 512),
        source_systems=_words(raw, "sourceSystems", 64),
        sources_required=raw.has("sources") and raw.choice("sources", Demand) is Demand.REQUIRED,
        consent_required=raw.has("consent") and raw.choice("consent", Demand) is Demand.REQUIRED,
        code_required=raw.has("codeCommit") and raw.choice("codeCommit", Demand) is Demand.REQUIRED,
        personal_data_forbidden=raw.choice("personalData", PersonalData, PersonalData.ALLOWED)
        is PersonalData.FORBIDDEN,
        checks_passed=raw.has("qualityChecks") and raw.choice("qualityChecks", Checks) is Checks.PASSED,
    )
    raw.done()
    return read


def _words(raw: Reader, name: str, length: int) -> frozenset[str]:
    words = frozenset(raw.texts(name, length=length))
    if raw.has(name) and not words:
        raw.fail("must not be empty: an empty list would allow everything", name)
    return words


def _licence(rule: Constraints, said: Provenance) -> str:
    if not rule.licenses or said.use.license in rule.licenses:
        return ""
    return f"licence {said.use.license or '(none)'} is not one of {_some(rule.licenses)}"


def _classification(rule: Constraints, said: Provenance) -> str:
    if not rule.classifications or said.use.classification in rule.classifications:
        return ""
    return f"classification {said.use.classification or '(none)'} is not one of {_some(rule.classifications)}"


def _purpose(rule: Constraints, said: Provenance) -> str:
    if not rule.purposes:
        return ""
    if prohibited := rule.purposes & set(said.use.prohibited):
        return f"the signer prohibits {_some(prohibited)}"
    return "" if rule.purposes & set(said.use.purposes) else f"no purpose of {_some(rule.purposes)} is allowed"


def _systems(rule: Constraints, said: Provenance) -> str:
    if not rule.source_systems:
        return ""
    if not said.sources:
        return "no source is named"
    other = {source.system or "(none)" for source in said.sources} - rule.source_systems
    return f"source system {_some(other)} is not one of {_some(rule.source_systems)}" if other else ""


def _sources(rule: Constraints, said: Provenance) -> str:
    return "no source is named" if rule.sources_required and not said.sources else ""


def _consent(rule: Constraints, said: Provenance, now: datetime) -> str:
    if not rule.consent_required:
        return ""
    if not said.sources:
        return "no source with a consent is named"
    for source in said.sources:
        if source.consent is None:
            return f"source {source.uri[:80]} names no consent document"
        if not source.consent.holds(now):
            return f"consent {source.consent.document_id[:80]} is withdrawn or outside its validity"
    return ""


def _code(rule: Constraints, said: Provenance) -> str:
    if not rule.code_required:
        return ""
    if not said.transformations:
        return "no transformation with a code commit is named"
    missing = [step.name for step in said.transformations if not step.code_commit]
    return f"transformation {missing[0][:80]} names no code commit" if missing else ""


def _personal(rule: Constraints, said: Provenance) -> str:
    if not rule.personal_data_forbidden or said.use.personal_data is False:
        return ""
    return "it holds personal data" if said.use.personal_data else "the signer does not say it is free of personal data"


def _checks(rule: Constraints, said: Provenance) -> str:
    if not rule.checks_passed:
        return ""
    failed = [check.name for check in said.quality.checks if not check.passed]
    if failed:
        return f"quality check {failed[0][:80]} failed"
    return "" if said.quality.checks else "no quality check is named"


def _some(words: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(words)[:4])[:120]
