"""The private Sigstore as a pytest fixture; ``e2e/conftest.py`` makes it known to all end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.sigstore import cluster_issuer
from e2e.sigstore.cosign import Cosign
from e2e.sigstore.stack import Stack


@pytest.fixture(scope="session")
def private_sigstore() -> Iterator[Stack]:
    """A running private Sigstore: the one that runs already, else one of its own, stopped at the end."""
    stack = Stack.default()
    ran = stack.running
    stack.up()
    try:
        yield stack
    finally:
        if not ran:
            stack.down()


@pytest.fixture(scope="session")
def cosign(private_sigstore: Stack) -> Cosign:
    """cosign, set up for the private Sigstore."""
    return Cosign.of(private_sigstore.layout)


@pytest.fixture(scope="session")
def cluster_kubeconfig(private_sigstore: Stack) -> Path:
    """The kubeconfig of our own cluster, whose service accounts the private Sigstore accepts; skips without one."""
    kubeconfig = cluster_issuer.OWN_KUBECONFIG
    if not kubeconfig.exists():
        pytest.skip("no cluster is running; start it with: make cluster")
    private_sigstore.up()  # the cluster may be younger than what runs
    return kubeconfig
