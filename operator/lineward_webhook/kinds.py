"""How each watched kind is read.

An object that cannot be read, whatever the exception, is kept as such: a policy or recall must never look as if it were
absent, and no tenant's object may stop a watch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lineward.adapters import trustroots
from lineward.domain import dataset, exemption, policy, quantity, recall, trustroot
from lineward.domain.dataset import DatasetVersion
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import TrustRoot
from lineward.domain.exemption import Exemption
from lineward.domain.plan import Refusal
from lineward.domain.policy import Mode, Policy
from lineward.domain.reasons import Reason
from lineward.domain.recall import Recall
from lineward.domain.world import Bounds, BrokenPolicy

Json = Mapping[str, Any]


def _why(error: Exception) -> str:
    return error.message if isinstance(error, LinewardError) else f"{type(error).__name__}: {error}"[:200]


@dataclass(frozen=True, slots=True)
class Broken:
    """An object that cannot be read, and why."""

    message: str


def read_dataset(obj: Json) -> DatasetVersion | Broken:
    """Read a DatasetVersion."""
    try:
        return dataset.parse(obj)
    except Exception as error:  # noqa: BLE001 - see the module's text
        return Broken(_why(error))


def read_policy(obj: Json) -> Policy | BrokenPolicy:
    """Read a ProvenancePolicy; where only its mode can be read, that still counts, and enforce otherwise."""
    try:
        return policy.parse(obj)
    except Exception as error:  # noqa: BLE001
        spec = obj.get("spec")
        said = spec.get("mode") if isinstance(spec, Mapping) else None
        mode = Mode(said) if said in list(Mode) else Mode.ENFORCE
        return BrokenPolicy(str(obj["metadata"]["name"]), mode, _why(error))


def read_trust_root(obj: Json) -> TrustRoot | Refusal:
    """Read a TrustRoot; one with a key or authority that cannot be used is none, as it is to the operator."""
    try:
        root = trustroot.parse(obj)
        trustroots.require_usable(root)
    except Exception as error:  # noqa: BLE001
        return Refusal(Reason.TRUST_ROOT_INVALID, f"TrustRoot {obj['metadata']['name']}: {_why(error)}"[:250])
    return root


def read_recall(obj: Json) -> Recall | Broken:
    """Read a DatasetRecall."""
    try:
        return recall.parse(obj)
    except Exception as error:  # noqa: BLE001
        return Broken(f"{obj['metadata']['name']}: {_why(error)}")


def read_exemption(obj: Json) -> Exemption | None:
    """Read a ProvenanceException; one that cannot be read excuses nothing."""
    try:
        return exemption.parse(obj)
    except Exception:  # noqa: BLE001
        return None


def read_labels(obj: Json) -> dict[str, str]:
    """Labels of a namespace."""
    return dict(obj["metadata"].get("labels") or {})


def read_block(obj: Json) -> bool | None:
    """True for a claim with volumeMode Block; others are not kept."""
    return True if (obj.get("spec") or {}).get("volumeMode") == "Block" else None


def read_bounds(obj: Json) -> Bounds:
    """What a LimitRange asks of each container, for cpu and memory; one that cannot be read asks nothing."""
    minimum: dict[str, Decimal] = {}
    maximum: dict[str, Decimal] = {}
    try:
        for item in (obj.get("spec") or {}).get("limits") or ():
            if item.get("type") == "Container":
                _tighten(minimum, item.get("min"), max)
                _tighten(maximum, item.get("max"), min)
    except Exception:  # noqa: BLE001
        return Bounds()
    return Bounds(minimum, maximum)


def merged(each: Sequence[Bounds]) -> Bounds:
    """What several LimitRanges ask together."""
    minimum: dict[str, Decimal] = {}
    maximum: dict[str, Decimal] = {}
    for bounds in each:
        _tighten(minimum, bounds.minimum, max)
        _tighten(maximum, bounds.maximum, min)
    return Bounds(minimum, maximum)


def _tighten(
    into: dict[str, Decimal], amounts: Mapping[str, Any] | None, choose: Callable[[Decimal, Decimal], Decimal]
) -> None:
    for name in ("cpu", "memory"):
        if amounts and name in amounts:
            value = amounts[name] if isinstance(amounts[name], Decimal) else quantity.parse(amounts[name])
            into[name] = choose(into[name], value) if name in into else value
