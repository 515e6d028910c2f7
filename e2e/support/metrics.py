"""Counters of what the tests make happen: an absolute value may be an earlier test's, so only growth counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from e2e.support.kubectl import Kubectl, wait_for
from e2e.support.release import Release

Read = Callable[[], float]
ADMISSIONS = "lineward_admission_requests_total"
VERDICTS = "lineward_verifications_total"
GUARDS = "apiserver_validating_admission_policy_check_total"
_SAMPLE = re.compile(r"([a-z_]+)\{(.*)\} ([0-9.e+-]+)")
_COUNTED_WITHIN = 30.0


def total(text: str, name: str, **labels: str) -> float:
    """Sum of a metric's samples that carry these labels."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    found = (_SAMPLE.fullmatch(line) for line in text.splitlines() if line.startswith(name))
    return sum(
        float(sample[3]) for sample in found if sample and sample[1] == name and wanted <= set(sample[2].split(","))
    )


def admissions(release: Release, decision: str, mode: str, reason: str) -> Read:
    """Creations that all the webhook's replicas answered so."""
    labels = {"operation": "validate-create", "decision": decision, "mode": mode, "reason": reason}
    return lambda: total(release.metrics("webhook"), ADMISSIONS, **labels)


def verdicts(release: Release, verdict: str, mode: str, reason: str) -> Read:
    """Verdicts on pods that the operator read."""
    return lambda: total(release.metrics("operator"), VERDICTS, verdict=verdict, mode=mode, reason=reason)


def refusals(kubectl: Kubectl, guard: str) -> Read:
    """Requests that the API server refused by a guard: a ValidatingAdmissionPolicy of the chart."""
    return lambda: total(kubectl("get", "--raw", "/metrics"), GUARDS, policy=guard, enforcement_action="deny")


@contextmanager
def counted(what: str, *counters: Read) -> Iterator[None]:
    """What happens within moves each of these counters. Raises TimeoutError if one stands still."""
    before = [read() for read in counters]
    yield
    for read, was in zip(counters, before, strict=True):
        wait_for(f"{what} to be counted", lambda read=read, was=was: read() > was, _COUNTED_WITHIN)  # type: ignore[misc]
