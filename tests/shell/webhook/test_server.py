"""The HTTP side: what comes in is judged or refused, whatever it is; and a certificate that changes is taken over."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.shell.webhook.fakeapi import running, until
from tests.shell.webhook.reviews import patched, review
from tests.unit.gate.pods import SETTINGS, a_pod, a_world, with_change

from lineward.domain.podspec import Pod
from lineward.domain.policy import Policy
from lineward.domain.reasons import Reason
from lineward.domain.settings import Settings
from lineward.domain.world import World
from lineward_webhook import metrics, server, tls
from lineward_webhook.tls import Certificates

Json = dict[str, Any]
Ask = Callable[..., Awaitable[Json]]


class Known:
    """A cluster that stands still."""

    def __init__(self, world: World | None = None, stale: str = "") -> None:
        self.world, self.staleness = world or a_world(), stale

    def stale(self) -> str:
        return self.staleness

    def around(self, namespace: str, pod: Pod) -> World:  # noqa: ARG002
        return self.world


class Failing(Known):
    def around(self, namespace: str, pod: Pod) -> World:  # noqa: ARG002
        raise RuntimeError("a bug")


@asynccontextmanager
async def asking(
    cluster: Known | None = None, settings: Settings = SETTINGS
) -> AsyncIterator[tuple[Ask, TestClient[web.Request, web.Application]]]:
    async with TestClient(TestServer(server.admission(cluster or Known(), settings))) as client:

        async def ask(path: str, body: Json) -> Json:
            response = await client.post(path, json=body)
            assert response.status == 200, await response.text()
            answer = await response.json()
            assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
            assert answer["response"]["uid"] == body["request"]["uid"]
            made: Json = answer["response"]
            return made

        yield ask, client


async def test_mutate_then_validate_admits_an_honest_pod() -> None:
    async with asking() as (ask, _):
        mutation = await ask("/mutate", review(a_pod()))
        assert mutation["allowed"] is True
        pod = patched(a_pod(), mutation)
        again = await ask("/mutate", review(pod))
        assert "patch" not in again
        answer = await ask("/validate", review(pod))
        assert (answer["allowed"], answer["auditAnnotations"]) == (True, {"mode": "enforce"})


async def test_a_denial_says_what_why_and_what_next() -> None:
    async with asking(Known(a_world(dataset=None))) as (ask, _):
        assert "patch" not in await ask("/mutate", review(a_pod()))
        answer = await ask("/validate", review(a_pod()))
    assert answer["allowed"] is False
    status = answer["status"]
    assert (status["code"], status["reason"]) == (403, "Unvouched")
    assert status["message"].startswith('[lineward] volume "data" (claim credit): Unvouched: ')
    assert len(status["message"]) <= 300


@pytest.mark.parametrize(("mode", "where"), [("enforce", "status"), ("warn", "warnings")])
async def test_a_message_links_to_the_page_that_the_settings_name(mode: str, where: str) -> None:
    settings = replace(SETTINGS, docs_url="https://wiki.example/reasons")
    async with asking(Known(a_world(mode=mode, dataset=None)), settings) as (ask, _):
        pod = patched(a_pod(), await ask("/mutate", review(a_pod())))
        said = (await ask("/validate", review(pod)))[where]
    message = said["message"] if where == "status" else said[0]
    assert message.endswith("See https://wiki.example/reasons#unvouched")


async def test_every_objection_has_its_line() -> None:
    pod = with_change(lambda p: p["spec"].update(hostPID=True))
    async with asking(Known(a_world(dataset=None))) as (ask, _):
        lines = (await ask("/validate", review(pod)))["status"]["message"].splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "[lineward] Privileged",
        '[lineward] volume "data" (claim credit)',
    ]


async def test_warn_warns_and_audit_records() -> None:
    for mode, warnings in (("warn", 1), ("audit", 0)):
        async with asking(Known(a_world(dataset=None, mode=mode))) as (ask, _):
            pod = patched(a_pod(), await ask("/mutate", review(a_pod())))
            answer = await ask("/validate", review(pod))
        assert answer["allowed"] is True
        assert len(answer.get("warnings", ())) == warnings
        assert answer["auditAnnotations"] == {"mode": mode, "would-deny": "Unvouched"}


async def test_an_update_is_judged_old_against_new() -> None:
    async with asking() as (ask, _):
        old = patched(a_pod(), await ask("/mutate", review(a_pod())))
        new = with_change(lambda p: p["spec"]["initContainers"][0].update(image="evil"), old)
        assert (await ask("/validate", review(old, old, "UPDATE")))["allowed"] is True
        for subresource in ("", "ephemeralcontainers", "resize"):
            answer = await ask("/validate", review(new, old, "UPDATE", subResource=subresource))
            assert answer["status"]["reason"] == "ContainerChanged"
        assert (await ask("/validate", review(new, None, "UPDATE")))["allowed"] is False


async def test_an_update_of_an_older_pod_needs_no_policy_cache_or_injection() -> None:
    async with asking(Known(a_world(dataset=None), stale="pods not synced")) as (ask, _):
        new = with_change(lambda p: p["metadata"]["labels"].update(a="b"))
        assert (await ask("/validate", review(new, a_pod(), "UPDATE")))["allowed"] is True


@pytest.mark.parametrize("policies", [a_world(mode="audit").policies, ()])
async def test_an_ephemeral_container_does_not_write_what_a_protected_pod_reads(policies: tuple[Policy, ...]) -> None:
    """The pod lists the claim and mounts it nowhere, so it may be created; then a container is added that mounts it."""
    old = with_change(lambda p: p["spec"]["containers"][0].update(volumeMounts=[]))
    cluster = Known(a_world(policies=policies, protected_readers={"credit": ["train-0"]}))
    async with asking(cluster) as (ask, _):
        old = patched(old, await ask("/mutate", review(old)))
        assert (await ask("/validate", review(old)))["allowed"] is True

        async def adding(**mount: object) -> Json:
            mounts = [{"name": "data", "mountPath": "/d", **mount}]
            debug = {"name": "debug", "image": "busybox", "volumeMounts": mounts}
            new = with_change(lambda p: p["spec"].update(ephemeralContainers=[debug]), old)
            return await ask("/validate", review(new, old, "UPDATE", subResource="ephemeralcontainers"))

        assert (await adding())["status"]["reason"] == "DataWritable"
        assert (await adding(readOnly=True))["allowed"] is True
        cluster.staleness = "pods not synced"
        assert (await adding())["status"]["code"] == 500
        assert (await adding(readOnly=True))["allowed"] is True


async def test_linewards_own_namespace_is_never_judged() -> None:
    async with asking(Known(stale="nothing is known")) as (ask, _):
        answer = await ask("/validate", review(a_pod(), namespace="lineward-system"))
    assert answer["allowed"] is True


async def test_without_caches_nothing_is_admitted_and_nothing_patched() -> None:
    async with asking(Known(stale="pods not synced")) as (ask, _):
        answer = await ask("/validate", review(a_pod()))
        assert (answer["allowed"], answer["status"]["code"]) == (False, 500)
        assert "pods not synced" in answer["status"]["message"]
        assert await ask("/mutate", review(a_pod())) == {"uid": answer["uid"], "allowed": True}


async def test_a_bug_refuses_and_never_admits() -> None:
    async with asking(Failing()) as (ask, _):
        answer = await ask("/validate", review(a_pod()))
        assert (answer["allowed"], answer["status"]["reason"]) == (False, Reason.INTERNAL_ERROR.value)
        assert "bug" not in answer["status"]["message"]
        assert "patch" not in await ask("/mutate", review(a_pod()))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(spec=None),
        lambda p: p.update(metadata=[]),
        lambda p: p["spec"].update(volumes="x"),
        lambda p: p["spec"].update(volumes=[None]),
        lambda p: p["spec"].update(containers=[{"name": 7}]),
        lambda p: p["spec"].update(volumes=[{"name": f"v{i}", "emptyDir": {}} for i in range(10_000)]),
    ],
)
async def test_pods_that_cannot_be_read_are_refused(change: Callable[[Json], object]) -> None:
    async with asking() as (ask, _):
        answer = await ask("/validate", review(with_change(change)))
        assert (answer["allowed"], answer["status"]["reason"]) == (False, "RequestInvalid")
        assert "patch" not in await ask("/mutate", review(with_change(change)))


async def test_other_resources_are_refused() -> None:
    async with asking() as (ask, _):
        body = review(a_pod(), resource={"group": "", "version": "v1", "resource": "secrets"})
        assert (await ask("/validate", body))["allowed"] is False
        assert (await ask("/validate", review(a_pod(), subResource="binding")))["allowed"] is False


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**review({}), "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        json.dumps({**review({}), "kind": "Pod"}).encode(),
        json.dumps({**review({}), "request": {}}).encode(),
        json.dumps(review({}, uid=7)).encode(),
        json.dumps(review([])).encode(),  # type: ignore[arg-type]
        json.dumps(review([1])).encode(),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
async def test_what_is_no_review_is_a_bad_request(path: str, body: bytes) -> None:
    async with asking() as (_, client):
        response = await client.post(path, data=body)
        text = await response.text()
    empty_object = body == json.dumps(review([])).encode()  # type: ignore[arg-type]
    assert (response.status, "RequestInvalid" in text) == ((200, path == "/validate") if empty_object else (400, True))


async def test_large_objects_pass_and_too_large_ones_do_not() -> None:
    async with asking() as (ask, client):
        pod = with_change(lambda p: p["metadata"].update(annotations={"a": "x" * 3_000_000}))
        assert (await ask("/validate", review(pod, pod, "UPDATE")))["allowed"] is True
        response = await client.post("/validate", data=b" " * (server.MAX_BODY + 1))
        assert response.status == 413


async def test_requests_are_counted() -> None:
    labels = {"operation": "validate-create", "decision": "denied", "mode": "enforce", "reason": "Unvouched"}
    before = metrics.REGISTRY.get_sample_value("lineward_admission_requests_total", labels) or 0
    async with asking(Known(a_world(dataset=None))) as (ask, _):
        await ask("/validate", review(a_pod()))
    assert metrics.REGISTRY.get_sample_value("lineward_admission_requests_total", labels) == before + 1


async def test_health_says_what_is_missing() -> None:
    missing = ["pods not synced"]
    app = server.health(lambda: missing[0], lambda: None)
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/readyz")
        assert (response.status, await response.text()) == (503, "pods not synced")
        assert (await client.get("/healthz")).status == 200
        missing[0] = ""
        assert (await client.get("/readyz")).status == 200
        assert "lineward_admission_requests_total" in await (await client.get("/metrics")).text()


def write_pair(folder: Path, name: str) -> bytes:
    """A self-signed pair for 127.0.0.1; returns the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tls.key").write_bytes(private)
    (folder / "tls.crt").write_bytes(pem)
    return pem


async def shown(port: int) -> str:
    """Common name that a new handshake is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    del reader
    return str(x509.load_der_x509_certificate(der).subject.rfc4514_string())


async def test_a_new_certificate_is_taken_over_and_a_torn_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "POLL_SECONDS", 0.02)
    certificates = Certificates(tmp_path)
    async with running(certificates.run()):
        await asyncio.sleep(0.05)
        assert not certificates.loaded.is_set()
        write_pair(tmp_path, "first")
        await until(certificates.loaded.is_set)
        app = server.admission(Known(), SETTINGS)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificates.context)
        await site.start()
        try:
            port = runner.addresses[0][1]
            assert await shown(port) == "CN=first"
            other = tmp_path / "other"
            other.mkdir()
            write_pair(other, "torn")
            (tmp_path / "tls.crt").write_bytes((other / "tls.crt").read_bytes())
            await asyncio.sleep(0.1)
            assert await shown(port) == "CN=first"
            (tmp_path / "tls.key").write_bytes((other / "tls.key").read_bytes())
            await asyncio.sleep(0.1)
            assert await shown(port) == "CN=torn"
            (tmp_path / "tls.crt").unlink()
            await asyncio.sleep(0.1)
            assert await shown(port) == "CN=torn"
        finally:
            await runner.cleanup()


async def test_a_body_that_never_comes_does_not_hold_a_connection_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    app = server.admission(Known(), replace(SETTINGS, webhook_timeout_seconds=0))

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3600)

    async with TestClient(TestServer(app)) as client:
        async with asyncio.timeout(5):
            try:
                response = await client.post("/validate", data=endless())
                assert response.status == 408
            except aiohttp.ClientError:
                pass
