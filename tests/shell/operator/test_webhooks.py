"""Nothing is registered too early, nothing drifts, nothing is left behind."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from tests.shell.operator.drifts import DRIFTS, Drift
from tests.shell.operator.fakeapi import FakeApi, connected

from lineward.domain.settings import Settings
from lineward_operator import certificates, main
from lineward_operator.kubeio import (
    DEPLOYMENTS,
    MUTATING,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICES,
    VALIDATING,
    Kube,
    KubeError,
)
from lineward_operator.metrics import Metrics
from lineward_operator.served import handshake
from lineward_operator.uninstall import uninstall
from lineward_operator.webhooks import AUTHORITY_SECRET, WebhookKeeper, differs

Json = dict[str, Any]
NS = "lineward-system"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SETTINGS = Settings(intercepted_namespaces=("ml",))
LIVE = (MUTATING.path("", "lineward"), VALIDATING.path("", "lineward"))
VALIDATING_FIRST = [("DELETE", LIVE[1]), ("DELETE", LIVE[0])]
"""Between the two deletes no pod may be refused for want of what only the mutating webhook adds."""
SERVICE = {"clusterIP": "10.0.0.9", "selector": {"app": "webhook"}, "ports": [{"port": 443, "targetPort": "https"}]}


def configuration(kind: str) -> Json:
    selector = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["ml"]}]}
    service = {"name": "lineward-webhook", "namespace": NS, "path": "/validate"}
    webhook = {
        "name": "pods.lineward.dev",
        "failurePolicy": "Fail",
        "clientConfig": {"service": service},
        "namespaceSelector": selector,
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "lineward", "labels": {"app": "lineward"}},
        "webhooks": [webhook],
    }


class Stage:
    """A keeper, its API server, and a webhook that answers or does not."""

    def __init__(self, api: FakeApi, kube: Kube, folder: Path) -> None:
        self.api, self.kube, self.folder = api, kube, folder
        self.now, self.answers, self.probes = NOW, True, list[tuple[str, int, str, str]]()
        self.believed: dict[str, str] = {}
        """The one authority (PEM) that a pod's certificate is of, by the pod's address."""

    def keeper(self, **changes: Any) -> WebhookKeeper:
        settings = replace(SETTINGS, **changes)
        return WebhookKeeper(self.kube, settings, self.folder, clock=lambda: self.now, probe=self._probe)

    async def _probe(self, host: str, port: int, name: str, bundle: str) -> None:
        self.probes.append((host, port, name, bundle))
        if not self.answers:
            raise ConnectionRefusedError("connection refused")
        if self.believed.get(host, bundle) not in bundle:
            raise ssl.SSLError("certificate verify failed")

    def serve(self, name: str, authority: str = "", phase: str = "Running") -> None:
        """A webhook pod whose certificate is of `authority`; empty: one that any bundle verifies."""
        address = f"10.1.0.{len(name)}"
        containers = [{"name": "webhook", "ports": [{"name": "https", "containerPort": 8443}]}]
        status = {"phase": phase, "podIP": address}
        meta = {"labels": {"app": "webhook"}}
        self.api.put(PODS.path(NS, name), {"metadata": meta, "spec": {"containers": containers}, "status": status})
        self.believed |= {address: authority} if authority else {}

    def store(self, secret: str) -> str:
        """Put a certificate from elsewhere there; returns its authority (PEM)."""
        chain = certificates.renew(certificates.Chain(), ("x",), None, NOW)
        data = {key: base64.b64encode(text.encode()).decode() for key, text in certificates.leaf_data(chain).items()}
        self.api.put(SECRETS.path(NS, secret), {"data": data})
        return chain.bundle

    def bundles(self) -> set[str]:
        webhooks = [w for path in LIVE for w in self.api.objects[path]["webhooks"]]
        return {base64.b64decode(w["clientConfig"]["caBundle"]).decode() for w in webhooks}

    def own_authority(self) -> str:
        secret = self.api.objects[SECRETS.path(NS, AUTHORITY_SECRET)]
        return base64.b64decode(secret["data"]["ca.crt"]).decode()

    def leaf(self) -> str:
        secret = self.api.objects[SECRETS.path(NS, "lineward-webhook-tls")]
        return base64.b64decode(secret["data"]["tls.crt"]).decode()


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    for name, kind in (("mutating", "MutatingWebhookConfiguration"), ("validating", "ValidatingWebhookConfiguration")):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(configuration(kind)))
    api = FakeApi()
    api.put(NAMESPACES.path("", NS), {"metadata": {"name": NS, "uid": "ns-1"}})
    api.put(SERVICES.path(NS, "lineward-webhook"), {"spec": SERVICE})
    async with AsyncExitStack() as stack:
        made = Stage(api, await stack.enter_async_context(connected(api)), tmp_path)
        made.serve("webhook")
        yield made


async def test_nothing_is_registered_before_the_webhook_answers(stage: Stage) -> None:
    stage.answers = False
    keeper = stage.keeper()
    assert "waiting for the webhook: connection refused" in await keeper.reconcile()
    assert not keeper.registered
    assert stage.api.count("webhookconfigurations") == 0
    assert stage.api.count("/secrets/") == 2
    stage.answers = True
    assert await keeper.reconcile() == "registered"
    assert stage.probes[-1][:3] == ("10.0.0.9", 443, f"lineward-webhook.{NS}.svc")
    assert stage.bundles() == {stage.probes[-1][3]}


async def test_the_gate_goes_with_its_namespace(stage: Stage) -> None:
    await stage.keeper().reconcile()
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": NS, "uid": "ns-1"}
    assert [stage.api.objects[path]["metadata"]["ownerReferences"] for path in LIVE] == [[owner], [owner]]


async def test_a_missing_service_is_named(stage: Stage) -> None:
    del stage.api.objects[SERVICES.path(NS, "lineward-webhook")]
    assert "no Service lineward-webhook" in await stage.keeper().reconcile()


async def test_a_restart_writes_nothing(stage: Stage) -> None:
    await stage.keeper().reconcile()
    stage.api.writes.clear()
    assert await stage.keeper().reconcile() == "unchanged"
    assert stage.api.writes == []


async def test_the_gate_stays_while_the_webhook_is_away(stage: Stage) -> None:
    await stage.keeper().reconcile()
    stage.answers = False
    assert await stage.keeper().reconcile() == "unchanged"
    assert stage.api.count("webhookconfigurations") == 2


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
async def test_drift_is_mended(stage: Stage, drift: Drift) -> None:
    await stage.keeper().reconcile()
    before = stage.api.objects[LIVE[1]]
    stage.api.put(LIVE[1], {**before, "webhooks": drift(before["webhooks"][0])})
    assert await stage.keeper().reconcile() == "registered"
    assert stage.api.objects[LIVE[1]]["webhooks"] == before["webhooks"]
    assert await stage.keeper().reconcile() == "unchanged"


async def test_what_others_wrote_beside_the_gate_stays(stage: Stage) -> None:
    await stage.keeper().reconcile()
    live = stage.api.objects[LIVE[1]]
    live["metadata"] |= {"annotations": {"audited": "yes"}}
    stage.api.put(LIVE[1], {**live, "webhooks": []})
    assert await stage.keeper().reconcile() == "registered"
    assert stage.api.objects[LIVE[1]]["metadata"]["annotations"] == {"audited": "yes"}


async def test_a_deleted_configuration_comes_back(stage: Stage) -> None:
    await stage.keeper().reconcile()
    del stage.api.objects[LIVE[1]]
    assert await stage.keeper().reconcile() == "registered"
    assert LIVE[1] in stage.api.objects


async def test_without_namespaces_the_gate_goes(stage: Stage) -> None:
    await stage.keeper().reconcile()
    assert await stage.keeper(intercepted_namespaces=()).reconcile() == "removed"
    assert stage.api.count("webhookconfigurations") == 0
    assert stage.api.writes[-2:] == VALIDATING_FIRST
    assert await stage.keeper(intercepted_namespaces=()).reconcile() == "no namespaces to intercept"


async def test_a_year_of_rotation_never_serves_what_is_not_published(stage: Stage) -> None:
    for day in range(0, 500, 5):
        stage.now = NOW + timedelta(days=day)
        before = stage.bundles() if day else set()
        await stage.keeper().reconcile()
        trusted = [authority for bundle in before for authority in certificates.split(bundle)]
        if before:
            assert any(certificates.issued_by(stage.leaf(), authority) for authority in trusted)
    assert len(stage.bundles()) == 1


async def test_a_certificate_from_elsewhere_is_only_read(stage: Stage) -> None:
    keeper = stage.keeper(tls_mode="certManager")
    assert "waiting for ca.crt" in await keeper.reconcile()
    authority = stage.store("lineward-webhook-tls")
    assert await keeper.reconcile() == "registered"
    assert stage.bundles() == {authority}
    assert AUTHORITY_SECRET not in str(stage.api.writes)
    assert all(not path.startswith("/api/v1/namespaces") for _, path in stage.api.writes)


async def test_an_old_authority_is_trusted_until_no_pod_serves_a_certificate_of_it(stage: Stage) -> None:
    keeper = stage.keeper(tls_mode="certManager")
    old = stage.store("lineward-webhook-tls")
    await keeper.reconcile()
    new = stage.store("lineward-webhook-tls")
    stage.serve("webhook", new)
    stage.serve("webhook-old", old)
    state = await keeper.reconcile()
    assert state.startswith("registered; the authorities before are still trusted: webhook-old: ")
    assert stage.bundles() == {new + old}
    assert (await keeper.reconcile()).startswith("unchanged; ")
    assert ("10.1.0.11", 8443, f"lineward-webhook.{NS}.svc", new) in stage.probes
    stage.serve("webhook-old", new)
    assert await keeper.reconcile() == "registered"
    assert stage.bundles() == {new}
    assert await keeper.reconcile() == "unchanged"


@pytest.mark.parametrize("modes", [("self", "existingSecret"), ("existingSecret", "self")])
async def test_another_source_of_certificates_blocks_no_pod(stage: Stage, modes: tuple[str, str]) -> None:
    theirs = stage.store("theirs")
    secrets = {"self": "lineward-webhook-tls", "existingSecret": "theirs"}
    before, after = (stage.keeper(tls_mode=mode, webhook_secret=secrets[mode]) for mode in modes)
    await before.reconcile()
    (old,) = stage.bundles()
    stage.serve("webhook", old)
    for _ in range(3):
        await after.reconcile()
        assert all(old in bundle for bundle in stage.bundles())
    stage.serve("webhook", theirs if modes[1] == "existingSecret" else stage.own_authority())
    await after.reconcile()
    assert all(old not in bundle for bundle in stage.bundles())


@pytest.mark.parametrize(("left", "trusted"), [("nobody", True), ("ended", True), ("elsewhere", False)])
async def test_pods_that_serve_nothing_do_not_tell(stage: Stage, left: str, *, trusted: bool) -> None:
    keeper = stage.keeper(tls_mode="certManager")
    old = stage.store("lineward-webhook-tls")
    await keeper.reconcile()
    stage.store("lineward-webhook-tls")
    if left == "elsewhere":
        other = {"metadata": {"labels": {"app": "webhook"}}, "spec": {"containers": [{}]}}
        stage.api.put(PODS.path(NS, "another-port"), {**other, "status": {"podIP": "10.1.0.99"}})
        stage.api.put(PODS.path(NS, "another-app"), {**other, "metadata": {}, "status": {"podIP": "10.1.0.99"}})
        stage.believed["10.1.0.99"] = old
    elif left == "ended":
        stage.serve("webhook", phase="Failed")
    else:
        del stage.api.objects[PODS.path(NS, "webhook")]
    await keeper.reconcile()
    assert all((old in bundle) is trusted for bundle in stage.bundles())


async def test_a_refusing_api_server_is_an_error(stage: Stage) -> None:
    stage.api.fault = lambda _method, path: 403 if "secrets" in path else None
    with pytest.raises(KubeError):
        await stage.keeper().reconcile()


def test_defaults_of_the_api_server_are_no_drift() -> None:
    desired = configuration("ValidatingWebhookConfiguration")
    live = configuration("ValidatingWebhookConfiguration")
    live["webhooks"][0] |= {"objectSelector": {}, "timeoutSeconds": 10, "matchPolicy": "Equivalent"}
    live["webhooks"][0]["rules"][0]["scope"] = "*"
    live["webhooks"][0]["clientConfig"]["service"]["port"] = 443
    live["metadata"] |= {"uid": "x", "resourceVersion": "1"}
    assert not differs(desired, live)
    live["webhooks"].append(live["webhooks"][0])
    assert differs(desired, live)


async def test_the_handshake_believes_only_the_bundle(tmp_path: Path) -> None:
    good = certificates.renew(certificates.Chain(), ("gate.svc",), None, datetime.now(UTC))
    other = certificates.renew(certificates.Chain(), ("gate.svc",), None, datetime.now(UTC))
    assert good.leaf
    (tmp_path / "crt").write_text(good.leaf.certificate)
    (tmp_path / "key").write_text(good.leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await handshake("127.0.0.1", port, "gate.svc", good.bundle)
        with pytest.raises(ssl.SSLError):
            await handshake("127.0.0.1", port, "gate.svc", other.bundle)
        with pytest.raises(ssl.SSLError):
            await handshake("127.0.0.1", port, "elsewhere.svc", good.bundle)
    with pytest.raises(OSError, match=r"."):
        await handshake("127.0.0.1", port, "gate.svc", good.bundle)


async def test_uninstall_stops_the_operator_and_takes_the_gate_down(stage: Stage) -> None:
    await stage.keeper().reconcile()
    stage.api.put(
        DEPLOYMENTS.path(NS, "lineward-operator"),
        {"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "operator"}}}},
    )
    said: list[str] = []
    assert await uninstall(stage.kube, SETTINGS, said.append)
    assert stage.api.objects[DEPLOYMENTS.path(NS, "lineward-operator")]["spec"]["replicas"] == 0
    assert stage.api.count("webhookconfigurations") == 0
    assert stage.api.writes[-2:] == VALIDATING_FIRST
    assert any("mutating webhook configuration lineward: deleted" in line for line in said)
    assert await uninstall(stage.kube, SETTINGS, said.append)
    assert "validating webhook configuration lineward: not there" in said


async def test_uninstall_says_so_when_the_operator_does_not_end(stage: Stage) -> None:
    await stage.keeper().reconcile()
    stage.api.put(DEPLOYMENTS.path(NS, "lineward-operator"), {"spec": {"selector": {"matchLabels": {"app": "o"}}}})
    stage.api.put(PODS.path(NS, "lineward-operator-x"), {"metadata": {"labels": {"app": "o"}}})
    said: list[str] = []
    assert not await uninstall(stage.kube, SETTINGS, said.append, wait=0.05)
    assert stage.api.count("webhookconfigurations") == 0
    assert any("still runs" in line for line in said)


async def test_uninstall_without_anything_installed_succeeds(stage: Stage) -> None:
    assert await uninstall(stage.kube, SETTINGS, lambda _text: None)


async def test_while_the_gate_is_open_it_looks_again_soon(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "GATE_OPEN", 0.01)
    stage.answers, keeper = False, stage.keeper()
    keeping = asyncio.create_task(main.keep_webhooks(keeper, Metrics()))
    async with asyncio.timeout(main.KEEP_WEBHOOKS / 2):
        while len(stage.probes) < 3:  # noqa: ASYNC110 - what it does is what is looked at
            await asyncio.sleep(0.01)
        stage.answers = True
        while not keeper.registered:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert stage.api.count("webhookconfigurations") == 2
