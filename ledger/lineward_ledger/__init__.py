"""The ledger: what was verified and observed, append-only."""
