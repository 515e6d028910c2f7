"""Metrics that outlive pods. Labels are bounded: verdicts, reasons, assurance levels, modes, phases."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from lineward.domain.assurance import Assurance
from lineward.domain.podstatus import PodRecord
from lineward.domain.runs import Phase

SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
"""From a small folder to terabytes at disk speed."""


class Metrics:
    """All metrics of the operator, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.verifications = Counter(
            "lineward_verifications",
            "Verdicts on pods, by the weakest assurance of their volumes",
            ("verdict", "reason", "assurance", "mode"),
            registry=self.registry,
        )
        self.bytes = Counter("lineward_verified_bytes", "Bytes hashed by verify containers", registry=self.registry)
        self.seconds = Histogram(
            "lineward_verification_seconds",
            "Time a verify container took to hash one volume",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.runs = Gauge("lineward_runs", "TrainingRuns that exist", ("phase",), registry=self.registry)
        self.queue = Gauge("lineward_operator_queue", "Keys that wait for work or for a retry", registry=self.registry)
        self.certificate = Gauge(
            "lineward_webhook_certificate_expiry_seconds",
            "When the webhook's certificate ends, in seconds since 1970",
            registry=self.registry,
        )
        self.registered = Gauge(
            "lineward_webhook_registered", "1 while both webhook configurations are in place", registry=self.registry
        )
        self.ledger = Counter(
            "lineward_ledger_requests",
            "What the operator sent to the ledger and to the OpenLineage receiver",
            ("receiver", "result"),
            registry=self.registry,
        )

    def verdict(self, pod: PodRecord) -> None:
        """Count a verdict that was not known before."""
        if pod.verdict is None:
            return
        weakest = max((volume.assurance for volume in pod.volumes), key=list(Assurance).index, default="none")
        self.verifications.labels(pod.verdict.value, pod.reason.value, str(weakest), pod.mode).inc()
        for volume in pod.volumes:
            self.bytes.inc(max(0, volume.bytes))
            if volume.seconds > 0:
                self.seconds.observe(volume.seconds)

    def phases(self, phases: Iterable[str]) -> None:
        """Set the number of runs in each phase."""
        counted = Count(phases)
        for phase in Phase:
            self.runs.labels(phase.value).set(counted[phase.value])
