"""From objects in the API to decisions: what the watches bring is what the next request is judged by."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.shell.webhook.fakeapi import FakeApi, running, until
from tests.shell.webhook.reviews import review
from tests.shell.webhook.test_server import write_pair
from tests.unit.evidence.samples import DATASET, POLICY, an_evidence
from tests.unit.evidence.test_key_bundles import pem
from tests.unit.gate.pods import SETTINGS, a_pod, a_world, mutated, of_another_version, with_change

from lineward.domain.evidence import TrustRoot
from lineward.domain.reasons import Reason
from lineward_webhook import reflector
from lineward_webhook import review as reviews
from lineward_webhook.cache import OURS, Cache
from lineward_webhook.evidence import EvidenceStore, Result

Json = dict[str, Any]
TRUSTED_ROOT = dumps(PrivateSigstore().trusted_root()).decode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "BACKOFF", (0.01, 0.05))


def believing(_: bytes, __: TrustRoot) -> Result:
    return an_evidence()


def in_threads() -> Executor:
    return ThreadPoolExecutor(1)


@asynccontextmanager
async def cached(api: FakeApi) -> AsyncIterator[Cache]:
    evidence = EvidenceStore(in_threads, believing)
    async with api.served() as client:
        cache = Cache(client, SETTINGS, evidence)
        async with running(evidence.run(), *(one.run() for one in cache.reflectors)):
            await until(lambda: not cache.stale() and evidence.idle)
            yield cache


async def a_cluster() -> FakeApi:
    api = FakeApi()
    await api.put("/api/v1/namespaces", "ml")
    await api.put(f"{OURS}/trustroots", "default", spec={"trustedRoot": TRUSTED_ROOT})
    outputs = {"outputs": [{"persistentVolumeClaim": {"name": "model-out"}}]}
    await api.put(f"{OURS}/provenancepolicies", "training", spec={**POLICY["spec"], "volumes": outputs})
    await api.put(f"{OURS}/datasetversions", "german-credit-1.0.0", "ml", spec=copy.deepcopy(DATASET["spec"]))
    return api


def asked(cache: Cache, pod: Json | None = None) -> tuple[list[Reason], Json]:
    """Reasons for refusing a pod, and the pod after the mutating pass."""
    pod = pod or a_pod()
    request = reviews.parse(json.dumps(review(pod)).encode())
    for operation in reviews.mutate(request, cache, SETTINGS).patch:
        pod = {**pod, "spec": {**pod["spec"], operation["path"].removeprefix("/spec/"): operation["value"]}}
    request = reviews.parse(json.dumps(review(pod)).encode())
    return [denial.reason for denial in reviews.validate(request, cache, SETTINGS).denials], pod


async def becomes(cache: Cache, *reasons: Reason) -> None:
    await until(lambda: asked(cache)[0] == list(reasons))


async def test_a_pod_is_admitted_by_what_the_watches_brought() -> None:
    async with cached(await a_cluster()) as cache:
        reasons, pod = asked(cache)
        assert reasons == []
        assert pod["spec"]["initContainers"][0]["name"] == "lineward-verify"


async def test_changes_count_at_once() -> None:
    api = await a_cluster()
    async with cached(api) as cache:
        await api.put(f"{OURS}/datasetrecalls", "r", spec={"reason": "consent", "dataset": "german-credit"})
        await becomes(cache, Reason.RECALLED)
        await api.delete(f"{OURS}/datasetrecalls", "r")
        await becomes(cache)
        await api.delete(f"{OURS}/datasetversions", "german-credit-1.0.0", "ml")
        await becomes(cache, Reason.UNVOUCHED)
        await api.delete(f"{OURS}/provenancepolicies", "training")
        await becomes(cache)


async def test_a_forged_status_changes_nothing() -> None:
    api = await a_cluster()
    await api.delete(f"{OURS}/datasetversions", "german-credit-1.0.0", "ml")
    unsigned = {**DATASET["spec"], "attestations": []}
    status = {"conditions": [{"type": "Verified", "status": "True"}]}
    await api.put(f"{OURS}/datasetversions", "forged", "ml", spec=unsigned, status=status)
    async with cached(api) as cache:
        assert asked(cache)[0] == [Reason.NO_ATTESTATION]


async def test_a_dataset_of_another_namespace_vouches_for_nothing() -> None:
    api = await a_cluster()
    await api.delete(f"{OURS}/datasetversions", "german-credit-1.0.0", "ml")
    await api.put(f"{OURS}/datasetversions", "german-credit-1.0.0", "other", spec=DATASET["spec"])
    async with cached(api) as cache:
        assert asked(cache)[0] == [Reason.UNVOUCHED]


async def test_what_cannot_be_read_never_looks_absent() -> None:
    api = await a_cluster()
    async with cached(api) as cache:
        await api.put(f"{OURS}/datasetrecalls", "r", spec={"reason": "x", "newField": 1})
        await becomes(cache, Reason.POLICY_INVALID)
        await api.delete(f"{OURS}/datasetrecalls", "r")
        await api.put(f"{OURS}/provenancepolicies", "p2", spec={"mode": "enforce", "newField": 1})
        await becomes(cache, Reason.POLICY_INVALID)
        await api.put(f"{OURS}/provenancepolicies", "p2", spec={"mode": "audit", "newField": 1})
        await becomes(cache)
        good = {"name": "a", "pem": pem(ec.generate_private_key(ec.SECP256R1()))}
        odd = {"name": "b", "pem": pem(rsa.generate_private_key(65537, 2048))}
        for broken in ({}, {"trustedRoot": "{}"}, {"trustedRoot": TRUSTED_ROOT, "keys": [good, odd]}):
            await api.put(f"{OURS}/trustroots", "default", spec=broken)
            await becomes(cache, Reason.TRUST_ROOT_INVALID)
            await api.put(f"{OURS}/trustroots", "default", spec={"trustedRoot": TRUSTED_ROOT, "keys": [good]})
            await becomes(cache)


async def test_the_census_sees_writers_and_readers() -> None:
    api = await a_cluster()
    protected = mutated(a_pod())
    async with cached(api) as cache:
        await api.put("/api/v1/pods", "notebook", "ml", spec=a_pod()["spec"])
        await becomes(cache, Reason.DATA_WRITABLE)
        await api.put("/api/v1/pods", "notebook", "ml", spec=a_pod()["spec"], status={"phase": "Succeeded"})
        await becomes(cache)
        await api.put("/api/v1/pods", "notebook", "other", spec=a_pod()["spec"])
        await api.put("/api/v1/pods", "rank-0", "ml", spec=protected["spec"])
        await becomes(cache)
        await api.delete(f"{OURS}/provenancepolicies", "training")
        await becomes(cache, Reason.DATA_WRITABLE)


async def test_a_pod_with_a_plan_of_another_version_reads_all_its_claims() -> None:
    api = await a_cluster()
    other = with_change(of_another_version, mutated(a_pod(), a_world(mode="audit")))
    for mount in other["spec"]["containers"][0]["volumeMounts"]:
        mount["readOnly"] = True
    async with cached(api) as cache:
        await api.delete(f"{OURS}/provenancepolicies", "training")
        await becomes(cache)
        await api.put("/api/v1/pods", "rank-0", "ml", spec=other["spec"])
        await becomes(cache, Reason.DATA_WRITABLE, Reason.DATA_WRITABLE)


async def test_a_pod_that_cannot_be_read_counts_as_a_writer() -> None:
    api = await a_cluster()
    async with cached(api) as cache:
        odd = with_change(lambda p: p["spec"].update(containers=[{}]))
        await api.put("/api/v1/pods", "odd", "ml", spec=odd["spec"])
        await becomes(cache, Reason.DATA_WRITABLE)


async def test_exceptions_count_in_linewards_namespace_only() -> None:
    api = await a_cluster()
    await api.delete(f"{OURS}/datasetversions", "german-credit-1.0.0", "ml")
    spec = {
        "namespace": "ml",
        "workload": {"kind": "Job", "name": "train"},
        "reasons": ["Unvouched"],
        "justification": "x",
        "expires": "2099-01-01T00:00:00Z",
    }
    async with cached(api) as cache:
        await api.put(f"{OURS}/namespaces/ml/provenanceexceptions", "e", "ml", spec=spec)
        await api.put(f"{OURS}/namespaces/lineward-system/provenanceexceptions", "torn", "lineward-system", spec={})
        assert asked(cache)[0] == [Reason.UNVOUCHED]
        await api.put(f"{OURS}/namespaces/lineward-system/provenanceexceptions", "e", "lineward-system", spec=spec)
        await becomes(cache)


async def test_block_claims_and_limit_ranges_are_known() -> None:
    api = await a_cluster()
    await api.put("/api/v1/limitranges", "l", "ml", spec={"limits": [{"type": "Container", "min": {"cpu": "50m"}}]})
    await api.put("/api/v1/limitranges", "torn", "ml", spec={"limits": [{"type": "Container", "min": {"cpu": "x"}}]})
    async with cached(api) as cache:
        sidecar = asked(cache)[1]["spec"]["initContainers"][1]
        assert sidecar["resources"]["requests"]["cpu"] == "50m"
        await api.put("/api/v1/persistentvolumeclaims", "credit", "ml", spec={"volumeMode": "Block"})
        await becomes(cache, Reason.BLOCK_DEVICE)


async def test_stale_until_every_kind_is_synced() -> None:
    api = await a_cluster()
    async with api.served() as client:
        cache = Cache(client, SETTINGS, EvidenceStore(in_threads, believing))
        for one in cache.reflectors:
            assert cache.stale()
            async with running(one.run()):
                await until(one.synced.is_set)
        assert cache.stale() == ""
        cache.reflectors[0].heard -= 10_000
        assert cache.stale() == "provenancepolicies stale"


async def fetch(url: str, body: Json | None = None) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.request("POST" if body else "GET", url, json=body, ssl=False) as response:
                return response.status, await response.text()
        except aiohttp.ClientError as error:
            return 0, str(error)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


async def test_the_whole_process_starts_serves_and_drains(tmp_path: Path) -> None:
    """Not ready without a certificate, then serving, then out of service before it closes."""
    api = await a_cluster()
    port, health = free_port(), free_port()
    (tmp_path / "config.yaml").write_text("sidecarImage: registry.example/sidecar\n")
    tls = tmp_path / "tls"
    tls.mkdir()
    async with api.served() as client:
        kubeconfig = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": client.configuration.host}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        command = [sys.executable, "-m", "lineward_webhook.main", "--config", str(tmp_path / "config.yaml")]
        command += ["--host", "127.0.0.1", "--port", str(port), "--health-port", str(health), "--tls-dir", str(tls)]
        process = subprocess.Popen(  # noqa: ASYNC220
            [*command, "--kubeconfig", str(tmp_path / "kubeconfig")], stderr=subprocess.PIPE, env=dict(os.environ)
        )
        try:

            async def ready() -> tuple[int, str]:
                return await fetch(f"http://127.0.0.1:{health}/readyz")

            deadline = time.monotonic() + 60
            while (await ready()) != (503, "no serving certificate yet"):
                assert time.monotonic() < deadline, await ready()
                await asyncio.sleep(0.1)
            write_pair(tls, "webhook")
            while (await ready())[0] != 200:
                assert time.monotonic() < deadline, await ready()
                await asyncio.sleep(0.1)
            status, text = await fetch(f"https://127.0.0.1:{port}/validate", review(a_pod()))
            assert (status, json.loads(text)["response"]["allowed"]) == (200, False)
            process.send_signal(signal.SIGTERM)
            while (await ready()) != (503, "shutting down"):
                assert time.monotonic() < deadline, await ready()
                await asyncio.sleep(0.05)
            status, _ = await fetch(f"https://127.0.0.1:{port}/validate", review(a_pod()))
            assert status == 200
            assert await asyncio.to_thread(process.wait, 30) == 0
        finally:
            process.kill()
            process.wait()
            assert process.stderr
            log = process.stderr.read().decode()
            process.stderr.close()
    lines = [json.loads(line) for line in log.splitlines()]
    assert "serving" in {line["message"] for line in lines}


@pytest.mark.parametrize("text", ["unknownSetting: 1", "[]", "sidecarImage: 7", "a: [", "", None])
def test_a_wrong_configuration_ends_with_usage(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "lineward_webhook.main", "--config", str(path)], capture_output=True, check=False
    )
    assert ended.returncode == 64
    assert b"Traceback" not in ended.stderr


def test_the_world_of_the_tests_is_the_world_of_the_cache() -> None:
    """Both name the same rules' inputs; a new one must be filled by the cache too."""
    assert set(a_world().__slots__) == {
        *("namespace", "now", "namespace_labels", "policies", "trust_roots", "datasets", "broken_datasets"),
        *("evidence", "recalls", "broken_recalls", "exemptions", "block_claims", "writers", "protected_readers"),
        "bounds",
    }
