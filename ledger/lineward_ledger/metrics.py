"""The ledger's metrics; every label comes from a closed list."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]
SIZE = Gauge("lineward_ledger_size", "Entries in the ledger")
ENTRIES = Counter("lineward_ledger_entries", "Entries received", ["kind", "trust", "outcome"])
APPEND_SECONDS = Histogram("lineward_ledger_append_seconds", "Time of one transaction, fsync included")
WRITE_FAILURES = Counter("lineward_ledger_write_failures", "Transactions that the disk did not take")
REQUESTS = Counter("lineward_ledger_requests", "API requests", ["endpoint", "code"])
