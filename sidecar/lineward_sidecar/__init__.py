"""What runs in the trainer's pod: `verify` before training starts, `main` (the sidecar) beside it."""
