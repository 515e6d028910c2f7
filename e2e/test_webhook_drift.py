"""Whoever narrows the registered webhooks on a real API server finds them as they were at the operator's next look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chart import rendering
from tests.shell.operator.drifts import DRIFTS, Drift

from e2e.support.controlplane import ControlPlane, control_plane
from lineward.domain.settings import Settings
from lineward_operator.kubeio import MUTATING, VALIDATING, Kube, Resource
from lineward_operator.webhooks import WebhookKeeper

SYSTEM = rendering.NAMESPACE
Json = dict[str, Any]
Look = Callable[[], str]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as started:
        started.call("POST", "/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
        ports = {"ports": [{"port": 443}]}
        started.call(
            "POST", f"/api/v1/namespaces/{SYSTEM}/services", {"metadata": {"name": "lineward-webhook"}, "spec": ports}
        )
        for name in ("lineward-webhook-tls", "lineward-webhook-ca"):
            secret = rendering.one("Secret", name)
            started.call("POST", f"/api/v1/namespaces/{SYSTEM}/secrets", secret)
        yield started


@pytest.fixture(scope="module")
def look(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Look:
    """One look of the operator at the templates of the real chart; its webhook answers."""
    folder = tmp_path_factory.mktemp("webhooks")
    for name, text in rendering.one("ConfigMap", "lineward-webhooks", {"namespaces": ["ml"]})["data"].items():
        (folder / name).write_text(text)
    return lambda: asyncio.run(_look(plane, folder))


async def _look(plane: ControlPlane, folder: Path) -> str:
    kube = await Kube.connect(str(plane.kubeconfig))
    try:
        return await WebhookKeeper(kube, Settings(intercepted_namespaces=("ml",)), folder, probe=_answers).reconcile()
    finally:
        await kube.close()


async def _answers(_host: str, _port: int, _name: str, _bundle: str) -> None:
    return None


@pytest.mark.parametrize("resource", [MUTATING, VALIDATING], ids=["mutating", "validating"])
@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
def test_whoever_narrows_the_gate_finds_it_mended(
    plane: ControlPlane, look: Look, resource: Resource, drift: Drift
) -> None:
    look()
    assert look() == "unchanged"
    path = resource.path("", "lineward")
    before = plane.call("GET", path)
    plane.call("PUT", path, {**before, "webhooks": drift(before["webhooks"][0])})
    narrowed = plane.call("GET", path)
    assert narrowed.get("webhooks") != before["webhooks"]
    assert look() == "registered"
    assert plane.call("GET", path)["webhooks"] == before["webhooks"]
    assert look() == "unchanged"
