"""The ledger: what was decided and observed about runs, append-only, as leaves of a Merkle tree."""
