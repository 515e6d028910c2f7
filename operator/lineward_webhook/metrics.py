"""What the webhook tells Prometheus. Every label takes its values from a closed list."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "lineward_admission_requests",
    "Admission requests by what became of them.",
    ["operation", "decision", "mode", "reason"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "lineward_admission_seconds",
    "Time to answer an admission request, from its last byte on.",
    ["operation"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
    registry=REGISTRY,
)
EXCEPTIONS = Counter(
    "lineward_exceptions_used",
    "Objections that a ProvenanceException set aside.",
    ["reason"],
    registry=REGISTRY,
)
VERIFICATIONS = Counter("lineward_evidence_verifications", "Bundles verified.", ["result", "reason"], registry=REGISTRY)
QUEUED = Gauge("lineward_evidence_queued", "Bundles that wait to be verified.", registry=REGISTRY)
SYNCED = Gauge(
    "lineward_cache_synced",
    "Whether the cache of a kind holds a whole list (1) or not (0).",
    ["kind"],
    registry=REGISTRY,
)
AGE = Gauge(
    "lineward_cache_age_seconds", "Time since the API server was last heard of for a kind.", ["kind"], registry=REGISTRY
)
CERTIFICATE = Gauge(
    "lineward_webhook_certificate_expiry_seconds", "When the serving certificate expires, Unix time.", registry=REGISTRY
)
