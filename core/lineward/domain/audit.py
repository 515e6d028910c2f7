"""What `enforce` would have denied, read from the runs that `audit` and `warn` let through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lineward.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Finding:
    """One objection to one run. `volume` is empty where it is about the pod itself; `since` is RFC 3339."""

    namespace: str
    run: str
    workload: str
    mode: str
    volume: str
    reason: str
    message: str
    next_step: str
    docs: str
    since: str

    def to_json(self) -> dict[str, str]:
        """The finding with camelCase names."""
        return {"nextStep" if name == "next_step" else name: text for name, text in asdict(self).items()}


def findings(runs: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what would have been denied, run by run in the order given."""
    for run in runs:
        status = run.get("status") or {}
        workload = status.get("workload") or (run.get("spec") or {}).get("workloadRef") or {}
        for refusal in status.get("wouldDeny") or ():
            reason = _reason(str(refusal.get("reason", "")))
            yield Finding(
                namespace=str(run["metadata"].get("namespace", "")),
                run=str(run["metadata"]["name"]),
                workload=f"{workload.get('kind', '')}/{workload.get('name', '')}".strip("/"),
                mode=str(status.get("mode", "")),
                volume=str(refusal.get("volume", "")),
                reason=str(refusal.get("reason", "")),
                message=str(refusal.get("message", "")),
                next_step=reason.next_step if reason else "",
                docs=reason.docs() if reason else "",
                since=str(status.get("startedAt", "")),
            )


def _reason(text: str) -> Reason | None:
    try:
        return Reason(text)
    except ValueError:
        return None
