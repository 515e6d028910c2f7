"""What a decision needs to know of the cluster, gathered by the shell from its caches before it asks.

Values only: a decision reads no clock, waits for nothing and can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from lineward.domain.dataset import DatasetVersion, VolumeIdentity
from lineward.domain.digest import Digest
from lineward.domain.evidence import Evidence, TrustRoot
from lineward.domain.exemption import Exemption
from lineward.domain.plan import Refusal
from lineward.domain.policy import Mode, Policy
from lineward.domain.recall import Recall

_PSS_LABEL = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True, slots=True)
class BrokenPolicy:
    """A ProvenancePolicy that cannot be read. Nobody knows whom it was meant for, so it matches every pod."""

    name: str
    mode: Mode
    message: str


@dataclass(frozen=True, slots=True)
class Writer:
    """An unfinished pod that mounts a claim writable. `audited`: its own audit or warn plan takes the claim for data,
    so under enforce its mount would have been made read-only.
    """

    pod: str
    audited: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the LimitRanges of a namespace ask of one container, by resource."""

    minimum: Mapping[str, Decimal] = field(default_factory=dict)
    maximum: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """One namespace and the cluster around it, at one moment."""

    namespace: str
    now: datetime
    namespace_labels: Mapping[str, str] | None = None
    """None while the namespace has not been seen."""
    policies: Sequence[Policy | BrokenPolicy] = ()
    trust_roots: Mapping[str, TrustRoot | Refusal] = field(default_factory=dict)
    datasets: Mapping[VolumeIdentity, Sequence[DatasetVersion]] = field(default_factory=dict)
    """The namespace's DatasetVersions by each volume that they name."""
    broken_datasets: Mapping[str, str] = field(default_factory=dict)
    """Names of DatasetVersions of the namespace that cannot be read, and why."""
    evidence: Mapping[tuple[Digest, Digest], Evidence | Refusal] = field(default_factory=dict)
    """By digest of the bundle and digest of the trust root; what is not there is still being verified."""
    recalls: Sequence[Recall] = ()
    broken_recalls: Sequence[str] = ()
    exemptions: Sequence[Exemption] = ()
    """Of Lineward's own namespace only."""
    block_claims: frozenset[str] = frozenset()
    """Claims of the namespace with volumeMode Block."""
    writers: Mapping[str, Sequence[Writer]] = field(default_factory=dict)
    """By claim, in this namespace."""
    protected_readers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By claim: unfinished pods of the namespace that were admitted under enforce with it as data."""
    bounds: Bounds = Bounds()

    @property
    def restricted(self) -> bool:
        """Tell whether Pod Security Admission holds the namespace's pods to the restricted profile."""
        return (self.namespace_labels or {}).get(_PSS_LABEL) == "restricted"
