"""Fixtures of the end-to-end tests: one cluster, one private Sigstore and one release for the whole run.

What the run started it stops at its end, also when tests fail; what ran before stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from e2e.demo.data import german_credit
from e2e.sigstore.fixture import cluster_kubeconfig, cosign, private_sigstore
from e2e.sigstore.stack import Stack
from e2e.support import setup
from e2e.support.release import Release
from e2e.support.world import Identity, World

__all__ = ["cluster_kubeconfig", "cosign", "private_sigstore"]
NAMESPACE = "ml-e2e"


@pytest.fixture(scope="session")
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def target(started: ExitStack) -> setup.Target:
    """The cluster, with the project's images in it."""
    return setup.cluster(_task, started)


@pytest.fixture(scope="session")
def sigstore(started: ExitStack, target: setup.Target) -> Stack:
    return setup.sigstore(_task, started, target)


@pytest.fixture(scope="session")
def release(target: setup.Target, started: ExitStack) -> Release:
    """Lineward, freshly installed to guard `NAMESPACE`."""
    release = Release(target.kubectl, target.helm)
    with _task("helm upgrade --install"):
        release.install([NAMESPACE], target.build)
    return release


@pytest.fixture(scope="session")
def world(target: setup.Target, sigstore: Stack, release: Release) -> World:
    """The guarded namespace, empty, with a disk behind its claims."""
    world = setup.world(target, sigstore, NAMESPACE)
    world.prepare()
    world.storage.start()
    return world


@pytest.fixture(scope="session")
def team(sigstore: Stack) -> Identity:
    return setup.identity(sigstore, "data-team@bank.example")


@pytest.fixture(scope="session")
def intern(sigstore: Stack) -> Identity:
    return setup.identity(sigstore, "intern@bank.example")


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    return german_credit()


@contextmanager
def _task(what: str) -> Iterator[None]:
    begun = time.monotonic()
    print(f"\n-- {what} ...", flush=True)
    yield
    print(f"-- {what}: {time.monotonic() - begun:.0f} s", flush=True)
