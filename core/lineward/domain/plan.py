"""What the webhook tells the verify container and the sidecar to do, as it stands in the pod's spec.

The plan is an argument of an injected container, and container arguments cannot change after admission, so the operator
can later read from the pod itself what had been promised at admission.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

VERSION = 1
MAX_BYTES = 120 * 1024
"""Kubernetes caps one argument only by the size of the object; Linux by 128 KiB with its NUL (MAX_ARG_STRLEN)."""


@dataclass(frozen=True, slots=True)
class PlannedVolume:
    """A data volume to verify. `path` is where it is mounted in Lineward's containers.

    `root` is `sha256:<hex>`, empty where no accepted evidence vouches for the volume (audit and warn only).
    `manifest_path` is the mounted manifest, empty when there is none; it is trusted only if its digest equals
    `manifest_digest`.
    """

    volume: str
    path: str
    claim: str = ""
    resource: str = ""
    """Name of the DatasetVersion in the pod's namespace."""
    dataset: str = ""
    version: str = ""
    profile: str = "portable"
    chunk_bytes: int = 8 * 1024 * 1024
    root: str = ""
    manifest_digest: str = ""
    manifest_path: str = ""


@dataclass(frozen=True, slots=True)
class PlannedOutput:
    """A volume the pod may write; verify requires it to be empty (lost+found aside) at first use."""

    volume: str
    path: str
    claim: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One objection, ready for people: at most 300 characters."""

    reason: Reason
    message: str
    volume: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the injected containers need; `mode` is the strictest of the matching policies."""

    mode: str
    policies: tuple[str, ...]
    volumes: tuple[PlannedVolume, ...] = ()
    outputs: tuple[PlannedOutput, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    """What policies in audit or warn object to, and what an exception set aside."""
    exceptions: tuple[Refusal, ...] = ()
    """Volumes of data that nobody vouches for and that a ProvenanceException let through: never `Verified`."""
    timeout_seconds: int = 0
    """How long verification may take; 0 is for ever."""
    owner_kind: str = ""
    owner_name: str = ""
    owner_uid: str = ""

    def encode(self) -> str:
        """Canonical JSON: same plan, same text, so that injected containers can be compared exactly."""
        return json.dumps({"v": VERSION, **asdict(self)}, sort_keys=True, separators=(",", ":"))

    @property
    def fits(self) -> bool:
        """Tell whether one argument can hold it."""
        return len(self.encode()) <= MAX_BYTES

    def fitted(self) -> Plan:
        """The plan without as many of its refusals, last first, as keep it from fitting; the rest is never cut."""
        plan = self
        while plan.refusals and not plan.fits:
            plan = replace(plan, refusals=plan.refusals[:-1])
        return plan


def decode(text: str) -> Plan:
    """Parse a plan.

    Raises InvalidInputError(RequestInvalid) unless the text is what `Plan.encode` of this version writes.
    """
    try:
        if len(text.encode()) > MAX_BYTES:
            raise ValueError("plan too large")
        raw: dict[str, Any] = json.loads(text)
        if raw.pop("v") != VERSION:
            raise ValueError("unknown plan version")
        return Plan(
            **{
                **raw,
                "policies": tuple(raw["policies"]),
                "volumes": tuple(PlannedVolume(**v) for v in raw["volumes"]),
                "outputs": tuple(PlannedOutput(**o) for o in raw["outputs"]),
                **{
                    name: tuple(Refusal(Reason(r["reason"]), r["message"], r["volume"]) for r in raw[name])
                    for name in ("refusals", "exceptions")
                },
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"not a plan: {error}") from error
