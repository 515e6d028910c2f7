"""Kubernetes quantities: `1500m`, `2Gi`, `1e3`.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Any

from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason

_QUANTITY = re.compile(r"([+-]?(?:\d{1,32}(?:\.\d{0,32})?|\.\d{1,32}))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,2}|)")
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_SCALES = {
    "": Decimal(1),
    **_BINARY,
    **dict(zip("num", (Decimal(10) ** -9, Decimal(10) ** -6, Decimal(10) ** -3), strict=True)),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
}


def parse(text: Any) -> Decimal:
    """Value of a quantity.

    Raises InvalidInputError(RequestInvalid).
    """
    found = _QUANTITY.fullmatch(str(text)) if isinstance(text, str | int) else None
    if not found:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{str(text)[:40]!r} is no quantity")
    number, suffix = found.groups()
    if suffix in _SCALES:
        return Decimal(number) * _SCALES[suffix]
    return Decimal(number).scaleb(int(suffix[1:]))


def cpu(value: Decimal) -> str:
    """Cores as the API server writes them: whole, or in thousandths, rounded up."""
    milli = int((value * 1000).to_integral_value(ROUND_CEILING))
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def memory(value: Decimal) -> str:
    """Whole bytes, in the largest binary unit that divides them."""
    count = int(value.to_integral_value(ROUND_CEILING))
    for unit, scale in reversed(_BINARY.items()):
        if count and count % int(scale) == 0:
            return f"{count // int(scale)}{unit}"
    return str(count)
