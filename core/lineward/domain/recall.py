"""A DatasetRecall: withdrawal of trust, taking effect at the next decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineward.domain.dataset import MAX_WORD, DatasetVersion
from lineward.domain.digest import Digest
from lineward.domain.evidence import Signer
from lineward.domain.fields import Reader
from lineward.domain.provenance import Provenance
from lineward.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Recall:
    """What is withdrawn; all given fields must match. `issuer` and `subject` (either or both) name a signer."""

    name: str
    reason: str
    dataset: str = ""
    version: str = ""
    root: Digest | None = None
    source: str = ""
    consent: str = ""
    issuer: str = ""
    subject: str = ""

    @property
    def names_signer(self) -> bool:
        """Tell whether it withdraws a signer's word rather than the data."""
        return bool(self.issuer or self.subject)

    def covers(self, dataset: DatasetVersion, provenance: Provenance | None, signer: Signer) -> bool:
        """Tell whether a version, as this signer attested it, is withdrawn."""
        facts = (
            (self.dataset, dataset.dataset),
            (self.version, dataset.version),
            (self.issuer, signer.issuer),
            (self.subject, signer.subject or signer.key),
        )
        if any(asked and asked != there for asked, there in facts):
            return False
        if self.root is not None and self.root != dataset.integrity.root:
            return False
        sources = provenance.sources if provenance else ()
        if self.source and all(source.uri != self.source for source in sources):
            return False
        return not self.consent or any(s.consent and s.consent.document_id == self.consent for s in sources)


def parse(obj: Mapping[str, Any]) -> Recall:
    """Parse a DatasetRecall object.

    Raises InvalidInputError(RequestInvalid), also where it names nothing and would withdraw everything.
    """
    outer = Reader(obj, "", Reason.REQUEST_INVALID)
    spec = outer.object("spec")
    signer = spec.object("signer") if spec.has("signer") else None
    recall = Recall(
        name=outer.object("metadata").text("name", cap=253),
        reason=spec.text("reason", cap=1024),
        dataset=spec.text("dataset", "", cap=MAX_WORD),
        version=spec.text("version", "", cap=MAX_WORD),
        root=spec.digest("root") if spec.has("root") else None,
        source=spec.text("source", ""),
        consent=spec.text("consent", "", cap=512),
        issuer=signer.text("issuer", "", cap=1024) if signer else "",
        subject=signer.text("subject", "", cap=1024) if signer else "",
    )
    if not (recall.dataset or recall.root or recall.source or recall.consent or recall.names_signer):
        spec.fail("must name a dataset, root, source, consent or signer")
    if signer:
        signer.done()
    spec.done()
    return recall
