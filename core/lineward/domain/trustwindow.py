"""How long the keys of a trust root are good for, as rows for people and warnings before they run out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lineward.domain.evidence import SigningTime


@dataclass(frozen=True, slots=True)
class Window:
    """One key or authority: what it is for, who it is, and when it may sign (both ends included)."""

    kind: str
    name: str
    start: datetime | None
    end: datetime | None
    signing_time: SigningTime | None = None
    """What the trust root asks of bundles that it signed; None for authorities, whose bundles always have a time."""

    def valid(self, now: datetime) -> bool:
        """Tell whether it may sign now."""
        return (self.start is None or self.start <= now) and (self.end is None or now <= self.end)

    @property
    def role(self) -> str:
        """Whom it can stand in for: an authority or log for others of its kind, a key, which is a signer, for none."""
        return f"key {self.name}" if self.kind == "key" else self.kind


def warnings(windows: Sequence[Window], now: datetime, within: timedelta) -> list[str]:
    """Say which roles nobody fills now, or beyond `within`; old authorities beside valid ones are normal."""
    said: list[str] = []
    for role in dict.fromkeys(window.role for window in windows):
        valid = [window for window in windows if window.role == role and window.valid(now)]
        if not valid:
            said.append(f"no {role} is valid now: nothing signed with it from now on will verify")
        elif not any(window.end is None or window.end > now + within for window in valid):
            last = max(window.end for window in valid if window.end is not None)
            said.append(f"the last {role} ends at {last:%Y-%m-%dT%H:%M:%SZ}")
    return said
