"""The private Sigstore as a pytest fixture; ``e2e/conftest.py`` makes it known to all end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.sigstore.cosign import Cosign
from e2e.sigstore.stack import Stack
from e2e.support.run import Run
from e2e.support.setup import Target


@pytest.fixture(scope="session")
def private_sigstore(this_run: Run) -> Stack:
    """A running private Sigstore: the one that runs already, else one of the test run's own."""
    stack = Stack.default()
    with this_run.one_at_a_time("sigstore"), stack.undisturbed():
        if not stack.running:
            this_run.starting("sigstore")
        stack.up()
    return stack


@pytest.fixture(scope="session")
def cosign(private_sigstore: Stack) -> Cosign:
    """cosign, set up for the private Sigstore."""
    return Cosign.of(private_sigstore.layout)


@pytest.fixture(scope="session")
def cluster_kubeconfig(private_sigstore: Stack, target: Target) -> Path:
    """The kubeconfig of our own cluster, whose service accounts the private Sigstore accepts."""
    if not target.ours:
        pytest.skip("the private Sigstore knows the service accounts of our own cluster only")
    with private_sigstore.disturbing():
        private_sigstore.up()  # the cluster's authority may be younger than what runs
    return target.kubectl.kubeconfig
