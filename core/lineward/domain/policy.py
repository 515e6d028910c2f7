"""A ProvenancePolicy as the API server stores it: whose signature counts, on what, for which pods.

Unknown fields are refused: a misspelt constraint must not become a policy without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from lineward.domain import constraints, pattern, policy_volumes, selector
from lineward.domain.assurance import Assurance
from lineward.domain.constraints import NO_CONSTRAINTS, Constraints
from lineward.domain.dataset import DNS_NAME
from lineward.domain.evidence import Signer
from lineward.domain.fields import Reader
from lineward.domain.pattern import Pattern
from lineward.domain.policy_volumes import NO_VOLUMES, VolumeLists
from lineward.domain.reasons import Reason
from lineward.domain.selector import EVERYTHING, Selector
from lineward.domain.statement import DATASET_PROVENANCE
from lineward.domain.trustroot import MAX_PEM, key_digest

MAX_AUTHORITIES = 32
MAX_REQUIREMENTS = 16
MAX_SUBJECT = 1024
"""Characters of a certificate's SAN that a pattern is tried on."""
MAX_PATTERN = 512
DEFAULT_TIMEOUT = timedelta(hours=1)
MAX_TIMEOUT = timedelta(days=7)
CLAIMS = {
    "buildSignerURI": "1.3.6.1.4.1.57264.1.9",
    "buildSignerDigest": "1.3.6.1.4.1.57264.1.10",
    "runnerEnvironment": "1.3.6.1.4.1.57264.1.11",
    "sourceRepositoryURI": "1.3.6.1.4.1.57264.1.12",
    "sourceRepositoryDigest": "1.3.6.1.4.1.57264.1.13",
    "sourceRepositoryRef": "1.3.6.1.4.1.57264.1.14",
    "sourceRepositoryIdentifier": "1.3.6.1.4.1.57264.1.15",
    "sourceRepositoryOwnerURI": "1.3.6.1.4.1.57264.1.16",
    "sourceRepositoryOwnerIdentifier": "1.3.6.1.4.1.57264.1.17",
    "buildConfigURI": "1.3.6.1.4.1.57264.1.18",
    "buildConfigDigest": "1.3.6.1.4.1.57264.1.19",
    "buildTrigger": "1.3.6.1.4.1.57264.1.20",
    "runInvocationURI": "1.3.6.1.4.1.57264.1.21",
    "sourceRepositoryVisibility": "1.3.6.1.4.1.57264.1.22",
    "tokenSubject": "1.3.6.1.4.1.57264.1.24",
}
"""Certificate extensions by name (https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md)."""


class Mode(StrEnum):
    """What a refusal does, weakest first."""

    AUDIT = "audit"
    WARN = "warn"
    ENFORCE = "enforce"


class Sidecar(StrEnum):
    """Whether the lineage sidecar is injected."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class Authority:
    """Whose signature a policy accepts: an identity (`issuer` with `subject` or `subject_pattern`) or a key.

    A key is named as the TrustRoot names it (`key`) or pinned by its content (`key_digest`, of the DER
    SubjectPublicKeyInfo). `claims` are Fulcio extensions by OID that must be there with exactly these values.
    """

    name: str
    issuer: str = ""
    subject: str = ""
    subject_pattern: Pattern | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    key_digest: str = ""

    def accepts(self, signer: Signer) -> bool:
        """Tell whether the signer is this authority; identities match in full, never by prefix or search."""
        if self.key:
            return signer.key == self.key
        if self.key_digest:
            return signer.key_digest == self.key_digest
        if signer.key or not signer.subject or signer.issuer != self.issuer:
            return False
        return self._named(signer.subject) and all(signer.claims.get(k) == v for k, v in self.claims.items())

    def _named(self, subject: str) -> bool:
        if self.subject_pattern is None:
            return subject == self.subject
        return len(subject) <= MAX_SUBJECT and self.subject_pattern.matches(subject)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A predicate type that must be attested, how old it may be, and what its predicate must say."""

    predicate_type: str
    max_age: timedelta | None = None
    constraints: Constraints = NO_CONSTRAINTS


@dataclass(frozen=True, slots=True)
class Match:
    """Which pods: `names` and `namespaces` must both hold where both are given."""

    names: frozenset[str] = frozenset()
    namespaces: Selector | None = None
    pods: Selector = EVERYTHING
    workloads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """One ProvenancePolicy. `require` always demands dataset provenance: it alone binds a root to a signature."""

    name: str
    match: Match
    mode: Mode
    trust_root: str
    authorities: tuple[Authority, ...]
    quorum: int = 1
    require: tuple[Requirement, ...] = (Requirement(DATASET_PROVENANCE),)
    volumes: VolumeLists = NO_VOLUMES
    assurance: Assurance = Assurance.FULL
    sidecar: Sidecar = Sidecar.ENABLED
    timeout: timedelta = DEFAULT_TIMEOUT

    def matches(
        self, namespace: str, namespace_labels: Mapping[str, str], pod_labels: Mapping[str, str], kind: str
    ) -> bool:
        """Tell whether a pod is under this policy; `kind` is one of its `workload_kinds`."""
        match = self.match
        if not self.covers(namespace, namespace_labels):
            return False
        return match.pods.matches(pod_labels) and (not match.workloads or kind in match.workloads)

    def covers(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Tell whether pods of a namespace can be under this policy."""
        match = self.match
        if match.names and namespace not in match.names:
            return False
        return match.namespaces is None or match.namespaces.matches(labels)


def parse(obj: Mapping[str, Any]) -> Policy:
    """Parse a ProvenancePolicy object.

    Raises InvalidInputError(PolicyInvalid); a policy without authority is invalid, never permissive.
    """
    outer = Reader(obj, "", Reason.POLICY_INVALID)
    spec = outer.object("spec")
    authorities = tuple(_authority(item) for item in spec.objects("authorities", cap=MAX_AUTHORITIES))
    policy = Policy(
        name=outer.object("metadata").text("name", cap=253, pattern=DNS_NAME),
        match=_match(spec.object("match")),
        mode=spec.choice("mode", Mode, Mode.AUDIT),
        trust_root=_reference(spec.object("trustRootRef")),
        authorities=authorities,
        quorum=spec.whole("quorum", 1, low=1, high=max(1, len(authorities))),
        require=_requirements(spec.objects("require", cap=MAX_REQUIREMENTS)),
        volumes=policy_volumes.parse(spec.object("volumes")) if spec.has("volumes") else NO_VOLUMES,
        assurance=spec.choice("assurance", Assurance, Assurance.FULL),
        sidecar=spec.choice("sidecar", Sidecar, Sidecar.ENABLED),
        timeout=_timeout(spec.object("verification")) if spec.has("verification") else DEFAULT_TIMEOUT,
    )
    if not authorities:
        spec.fail("must not be empty", "authorities")
    if len({authority.name for authority in authorities}) != len(authorities):
        spec.fail("has two authorities of one name", "authorities")
    spec.done()
    return policy


def _match(raw: Reader) -> Match:
    namespaces = raw.object("namespaces")
    names = frozenset(namespaces.texts("names", length=63))
    chosen = selector.parse(namespaces.object("selector")) if namespaces.has("selector") else None
    if not names and chosen is None:
        namespaces.fail("must have names, selector or both")
    namespaces.done()
    read = Match(
        names=names,
        namespaces=chosen,
        pods=selector.parse(raw.object("pods")) if raw.has("pods") else EVERYTHING,
        workloads=frozenset(raw.texts("workloads", length=63)),
    )
    raw.done()
    return read


def _reference(raw: Reader) -> str:
    name = raw.text("name", cap=253, pattern=DNS_NAME)
    raw.done()
    return name


def _authority(raw: Reader) -> Authority:
    name = raw.text("name", cap=253, pattern=DNS_NAME)
    kind = raw.one_of("keyless", "key")
    inner = raw.object(kind)
    read = _keyless(inner, name) if kind == "keyless" else _key(inner, name)
    inner.done()
    raw.done()
    return read


def _keyless(raw: Reader, name: str) -> Authority:
    kind = raw.one_of("subject", "subjectRegExp")
    claims = raw.pairs("claims", cap=len(CLAIMS))
    if raw.has("claims") and not claims:
        raw.fail("must not be empty", "claims")
    for claimed in claims:
        if claimed not in CLAIMS:
            raw.fail(f"has unknown claim {claimed}; known: {', '.join(CLAIMS)}", "claims")
    return Authority(
        name=name,
        issuer=raw.text("issuer", cap=1024),
        subject=raw.text("subject", cap=MAX_SUBJECT) if kind == "subject" else "",
        subject_pattern=_pattern(raw) if kind == "subjectRegExp" else None,
        claims={CLAIMS[claimed]: value for claimed, value in claims.items()},
    )


def _pattern(raw: Reader) -> Pattern:
    try:
        return pattern.parse(raw.text("subjectRegExp", cap=MAX_PATTERN))
    except ValueError as error:
        raw.fail(str(error), "subjectRegExp")


def _key(raw: Reader, name: str) -> Authority:
    if raw.one_of("name", "pem") == "name":
        return Authority(name=name, key=raw.text("name", cap=253, pattern=DNS_NAME))
    try:
        return Authority(name=name, key_digest=key_digest(raw.text("pem", cap=MAX_PEM)))
    except ValueError:
        raw.fail("is no PEM public key", "pem")


def _requirements(items: tuple[Reader, ...]) -> tuple[Requirement, ...]:
    read = tuple(_requirement(item) for item in items)
    if any(requirement.predicate_type == DATASET_PROVENANCE for requirement in read):
        return read
    return (Requirement(DATASET_PROVENANCE), *read)


def _requirement(raw: Reader) -> Requirement:
    read = Requirement(
        predicate_type=raw.text("predicateType", cap=512),
        max_age=raw.duration("maxAge"),
        constraints=constraints.parse(raw.object("constraints")) if raw.has("constraints") else NO_CONSTRAINTS,
    )
    if read.constraints != NO_CONSTRAINTS and read.predicate_type != DATASET_PROVENANCE:
        raw.fail(f"can only be given for {DATASET_PROVENANCE}", "constraints")
    raw.done()
    return read


def _timeout(raw: Reader) -> timedelta:
    timeout = raw.duration("timeout") or DEFAULT_TIMEOUT
    if timeout > MAX_TIMEOUT:
        raw.fail(f"must be at most {MAX_TIMEOUT.days * 24}h", "timeout")
    raw.done()
    return timeout
