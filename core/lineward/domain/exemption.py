"""A ProvenanceException: an exact, expiring, announced hole in enforcement; counts only in Lineward's namespace.

The module is not called `exception` so that nobody takes it for Python's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lineward.domain.fields import Reader
from lineward.domain.reasons import Reason


class Excusable(StrEnum):
    """Reasons that an exception may set aside: doubts about evidence, never the rules that protect the gate itself."""

    NO_ATTESTATION = Reason.NO_ATTESTATION.value
    UNVOUCHED = Reason.UNVOUCHED.value
    WRONG_IDENTITY = Reason.WRONG_IDENTITY.value
    QUORUM_NOT_MET = Reason.QUORUM_NOT_MET.value
    OUTSIDE_VALIDITY = Reason.OUTSIDE_VALIDITY.value
    ATTESTATION_TOO_OLD = Reason.ATTESTATION_TOO_OLD.value
    CONSTRAINT_NOT_MET = Reason.CONSTRAINT_NOT_MET.value
    OUTPUT_NOT_ALLOWED = Reason.OUTPUT_NOT_ALLOWED.value
    SUBPATH_NOT_SUPPORTED = Reason.SUBPATH_NOT_SUPPORTED.value


@dataclass(frozen=True, slots=True)
class Exemption:
    """One exception. `claim` limits it to one claim of the workload; empty means any. `expires` is exclusive."""

    home: str
    """The namespace the object is in."""
    name: str
    namespace: str
    kind: str
    workload: str
    reasons: frozenset[Reason]
    justification: str
    expires: datetime
    claim: str = ""

    def excuses(self, reason: Reason, workload: tuple[str, str, str], claim: str, now: datetime) -> bool:
        """Tell whether it sets this objection to this claim aside at this moment.

        `workload` is the pod's namespace and the kind and name of its nearest owner, the only one that a pod names.
        """
        scope = (self.namespace, self.kind, self.workload) == workload
        return scope and reason in self.reasons and self.claim in {"", claim} and now < self.expires


def parse(obj: Mapping[str, Any]) -> Exemption:
    """Parse a ProvenanceException object; the caller ignores it unless `home` is Lineward's namespace.

    Raises InvalidInputError(RequestInvalid).
    """
    outer = Reader(obj, "", Reason.REQUEST_INVALID)
    meta, spec = outer.object("metadata"), outer.object("spec")
    workload = spec.object("workload")
    expires = spec.moment("expires")
    if expires is None:
        spec.fail("is missing", "expires")
    exemption = Exemption(
        home=meta.text("namespace", "", cap=63),
        name=meta.text("name", cap=253),
        namespace=spec.text("namespace", cap=63),
        kind=workload.text("kind", cap=63),
        workload=workload.text("name", cap=253),
        reasons=frozenset(_reason(spec, word) for word in spec.texts("reasons", length=64)),
        justification=spec.text("justification", cap=1024),
        expires=expires,
        claim=spec.text("claim", "", cap=253),
    )
    if not exemption.reasons:
        spec.fail("must not be empty", "reasons")
    workload.done()
    spec.done()
    return exemption


def _reason(spec: Reader, word: str) -> Reason:
    try:
        return Reason(Excusable(word).value)
    except ValueError:
        spec.fail(f"may hold only {', '.join(Excusable)}", "reasons")
