"""A primed operator against a fake API server and a fake ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio
from tests.shell.operator import pods
from tests.shell.operator.fakeapi import FakeApi, connected, serving
from tests.shell.operator.stage import JOBS, NOW, REGISTRATION, SETTINGS, Cluster, FakeLedger, FakeVerifier, policy

from lineward.domain.settings import Settings
from lineward_operator.kubeio import Kube
from lineward_operator.ledger import Ledger
from lineward_operator.metrics import Metrics
from lineward_operator.owners import Owners
from lineward_operator.world import World


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A primed world with one policy for namespace ml and a Job called train."""
    api, ledger, verifier = FakeApi(), FakeLedger(), FakeVerifier()
    token = tmp_path / "token"
    token.write_text("secret-token\n")
    made: list[World] = []
    async with AsyncExitStack() as stack:
        kube: Kube = await stack.enter_async_context(connected(api))
        url = await stack.enter_async_context(serving(ledger.app()))
        settings = Settings(**SETTINGS, ledger_url=url)

        def again() -> World:
            metrics = Metrics()
            world = World(
                settings, kube, Ledger(url, "", token, metrics), metrics, Owners(kube), verifier, now=lambda: NOW
            )
            made.append(world)
            return world

        api.put(f"{JOBS}/train", {"metadata": {"uid": pods.JOB}, "status": {}})
        api.put(REGISTRATION, {"metadata": {"creationTimestamp": "2026-11-22T11:00:00Z"}})
        api.put("/apis/lineward.dev/v1alpha1/provenancepolicies/training", policy())
        cluster = Cluster(api, ledger, verifier, again(), again)
        await cluster.prime()
        api.writes.clear()
        yield cluster
        for world in made:
            await world.ledger.close()
