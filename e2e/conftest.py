"""Fixtures of the end-to-end tests: one cluster, one private Sigstore and one release for the whole run.

What the run started it stops at its end, also when tests fail or it is interrupted; what ran before stays. That is the
business of the process that the user started: with `-n` there are others, which may be killed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e import command
from e2e.demo.data import german_credit
from e2e.sigstore.fixture import cluster_kubeconfig, cosign, private_sigstore
from e2e.sigstore.stack import Stack
from e2e.support import groups, setup
from e2e.support.release import Release
from e2e.support.run import Run
from e2e.support.world import Identity, World

__all__ = ["cluster_kubeconfig", "cosign", "private_sigstore"]
NAMESPACE = "ml-e2e"
_FOLDER = "lineward_run"
_RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    folder = _worker(config).get(_FOLDER)
    if folder is None:
        command.heed()
    config.stash[_RUN] = Run(Path(folder or tempfile.mkdtemp(prefix="lineward-e2e-")))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist is about to start a worker."""
    node.workerinput[_FOLDER] = str(node.config.stash[_RUN].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> groups.ByGroup:
    return groups.ByGroup(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _worker(item.config):
        groups.give_way(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop everything, once all workers have ended and before the closing line."""
    if not _worker(session.config):
        session.config.stash[_RUN].stop()


def pytest_unconfigure(config: pytest.Config) -> None:
    """The same where something else went wrong before it."""
    if not _worker(config):
        config.stash[_RUN].stop()
        shutil.rmtree(config.stash[_RUN].folder)


def _worker(config: pytest.Config) -> dict[str, Any]:
    """What a worker was given; empty in the process that the user started."""
    return dict(getattr(config, "workerinput", {}))


@pytest.fixture(scope="session")
def this_run(request: pytest.FixtureRequest) -> Run:
    return request.config.stash[_RUN]


@pytest.fixture(scope="session")
def target(this_run: Run) -> setup.Target:
    """The cluster, with the project's images in it."""
    with this_run.one_at_a_time("cluster"):
        return setup.cluster(_task, this_run.starting)


@pytest.fixture(scope="module")
def release(target: setup.Target) -> Release:
    """Lineward, installed to guard `NAMESPACE`, whatever the module before left of it."""
    release = Release(target.kubectl, target.helm)
    with _task("helm upgrade --install"):
        release.install([NAMESPACE], target.build)
    return release


@pytest.fixture(scope="module")
def world(target: setup.Target, private_sigstore: Stack, release: Release) -> World:
    """The guarded namespace, empty, with a disk behind its claims."""
    world = setup.world(target, private_sigstore, NAMESPACE)
    world.prepare()
    world.storage.start()
    return world


@pytest.fixture(scope="session")
def team(private_sigstore: Stack) -> Identity:
    return setup.identity(private_sigstore, "data-team@bank.example")


@pytest.fixture(scope="session")
def intern(private_sigstore: Stack) -> Identity:
    return setup.identity(private_sigstore, "intern@bank.example")


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    return german_credit()


@contextmanager
def _task(what: str) -> Iterator[None]:
    begun = time.monotonic()
    print(f"\n-- {what} ...", flush=True)
    yield
    print(f"-- {what}: {time.monotonic() - begun:.0f} s", flush=True)
