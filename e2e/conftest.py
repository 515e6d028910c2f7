"""Fixtures of the end-to-end tests."""

from e2e.sigstore.fixture import cluster_kubeconfig, cosign, private_sigstore

__all__ = ["cluster_kubeconfig", "cosign", "private_sigstore"]
