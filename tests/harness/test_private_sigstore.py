"""The private Sigstore's pure parts: keys that last, trust files that clients accept, tokens, command lines."""

from __future__ import annotations

import hashlib
import json
import signal
import stat
import subprocess
import sys
from base64 import b64decode, urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from e2e.sigstore import cluster_issuer, keys, services, supervisor, trust
from e2e.sigstore.cluster_issuer import ClusterIssuer, ClusterIssuerError
from e2e.sigstore.issuer import Issuer
from e2e.sigstore.keys import Anchors
from e2e.sigstore.layout import ENDPOINTS, HOST, Endpoints, Layout
from sigstore.models import ClientTrustConfig

URL = "http://127.0.0.1:8088"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "keys"


@pytest.fixture(scope="module")
def anchors(folder: Path) -> Anchors:
    return keys.ensure(folder)


class TestKeys:
    def test_they_last(self, folder: Path, anchors: Anchors) -> None:
        assert trust.files(keys.ensure(folder), ENDPOINTS) == trust.files(anchors, ENDPOINTS)

    @pytest.mark.usefixtures("anchors")
    def test_private_ones_are_their_owners_alone(self, folder: Path) -> None:
        assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.key")} == {
            f"{name}.key": 0o600 for name in ("fulcio", "tsa", "ctlog", "rekor", "issuer")
        }

    def test_making_them_is_all_or_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> x509.Certificate:
            raise KeyboardInterrupt

        monkeypatch.setattr(keys, "_timestamper", broken)
        with pytest.raises(KeyboardInterrupt):
            keys.ensure(tmp_path / "keys")
        assert list(tmp_path.iterdir()) == []

    def test_the_timestamper_is_what_rfc_3161_asks_for(self, anchors: Anchors) -> None:
        leaf, root = anchors.tsa_chain
        leaf.verify_directly_issued_by(root)
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert usage.critical
        assert list(usage.value) == [ExtendedKeyUsageOID.TIME_STAMPING]

    def test_fulcio_may_issue_leaves_only(self, anchors: Anchors) -> None:
        (root,) = anchors.fulcio_chain
        root.verify_directly_issued_by(root)
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


class TestTrust:
    def test_sigstore_python_reads_it(self, anchors: Anchors) -> None:
        text = trust.files(anchors, ENDPOINTS)[trust.CLIENT_TRUST_CONFIG]
        config = ClientTrustConfig.from_json(text)
        assert [bytes(chain.public_bytes(Encoding.DER)) for chain in config.trusted_root.get_fulcio_certs()] == [
            certificate.public_bytes(Encoding.DER) for certificate in anchors.fulcio_chain
        ]

    def test_the_log_ids_name_the_keys(self, anchors: Anchors) -> None:
        root = trust.trusted_root(anchors, ENDPOINTS)
        spki = anchors.ctlog.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert b64decode(root["ctlogs"][0]["logId"]["keyId"]) == hashlib.sha256(spki).digest()
        raw = anchors.rekor.public_bytes(Encoding.Raw, PublicFormat.Raw)
        assert b64decode(root["tlogs"][0]["logId"]["keyId"]) == hashlib.sha256(b"rekor-local\n\x01" + raw).digest()

    def test_every_window_opens_with_the_certificates(self, anchors: Anchors) -> None:
        root = trust.trusted_root(anchors, ENDPOINTS)
        windows = [log["publicKey"]["validFor"] for log in root["tlogs"] + root["ctlogs"]]
        windows += [
            authority["validFor"] for authority in root["certificateAuthorities"] + root["timestampAuthorities"]
        ]
        expected = anchors.fulcio_chain[0].not_valid_before_utc.isoformat().replace("+00:00", "Z")
        assert windows == [{"start": expected}] * 4

    def test_other_keys_make_another_root(self, anchors: Anchors, tmp_path: Path) -> None:
        other = trust.trusted_root(keys.ensure(tmp_path / "keys"), ENDPOINTS)
        mine = trust.trusted_root(anchors, ENDPOINTS)
        assert other["ctlogs"] != mine["ctlogs"]
        assert other["tlogs"] != mine["tlogs"]


class TestIssuer:
    @pytest.fixture
    def issuer(self, folder: Path) -> Issuer:
        return Issuer(keys.issuer_key(folder), URL)

    def test_its_key_verifies_its_tokens(self, issuer: Issuer) -> None:
        token = issuer.token("data-team@bank.example")
        head, claims, signature = token.split(".")
        (jwk,) = issuer.documents()["/keys"]["keys"]
        assert _decoded(head) == {"alg": "RS256", "typ": "JWT", "kid": jwk["kid"]}
        key = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
        key.verify(_raw(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256())
        with pytest.raises(InvalidSignature):
            key.verify(_raw(signature), f"{head}.{claims}x".encode(), padding.PKCS1v15(), SHA256())

    def test_the_claims_are_those_that_fulcio_reads(self, issuer: Issuer) -> None:
        claims = _decoded(issuer.token("a@b.example", audience="x", lifetime=60).split(".")[1])
        assert claims | {"iat": 0, "nbf": 0, "exp": 0} == {
            "iss": URL, "aud": "x", "sub": "a@b.example", "email": "a@b.example", "email_verified": True,
            "iat": 0, "nbf": 0, "exp": 0,
        }  # fmt: skip
        assert claims["exp"] == claims["iat"] + 60

    @pytest.mark.parametrize("email", ["", "nobody", "@b", "a@", "a b@c", "a@b\n", "a@b@c"])
    def test_what_is_no_email_gets_no_token(self, issuer: Issuer, email: str) -> None:
        with pytest.raises(ValueError, match="not an email"):
            issuer.token(email)

    def test_discovery_names_the_issuer_and_its_keys(self, issuer: Issuer) -> None:
        document = issuer.documents()["/.well-known/openid-configuration"]
        assert (document["issuer"], document["jwks_uri"]) == (URL, f"{URL}/keys")


class TestServices:
    def test_all_listen_on_loopback(self, tmp_path: Path) -> None:
        binaries = {name: Path("/bin") / name for name in services.PROGRAMS}
        for service in services.services(Layout(tmp_path), ENDPOINTS, binaries):
            assert any(HOST in argument for argument in service.command), service.name
            assert not any("0.0.0.0" in argument for argument in service.command), service.name  # noqa: S104

    def test_no_two_ports_are_the_same(self) -> None:
        ports = [getattr(ENDPOINTS, name) for name in Endpoints.__slots__]
        assert len(set(ports)) == len(ports)

    def test_fulcio_knows_the_test_issuer_alone(self) -> None:
        assert json.loads(services.fulcio_config(ENDPOINTS, [])) == {
            "OIDCIssuers": {URL: {"IssuerURL": URL, "ClientID": "sigstore", "Type": "email"}}
        }

    def test_fulcio_knows_clusters_too(self) -> None:
        config = json.loads(services.fulcio_config(ENDPOINTS, [ClusterIssuer("https://127.0.0.1:6443", "PEM")]))
        assert config["OIDCIssuers"]["https://127.0.0.1:6443"] == {
            "IssuerURL": "https://127.0.0.1:6443", "ClientID": "sigstore", "Type": "kubernetes", "CACert": "PEM",
        }  # fmt: skip


class TestClusterIssuer:
    def test_the_authority_comes_from_the_kubeconfig(self, tmp_path: Path) -> None:
        (tmp_path / "ca.crt").write_text("PEM")
        inline = {"clusters": [{"cluster": {"certificate-authority-data": "UEVN"}}]}
        file = {"clusters": [{"cluster": {"certificate-authority": str(tmp_path / "ca.crt")}}]}
        assert cluster_issuer.authority(inline) == cluster_issuer.authority(file) == "PEM"

    def test_a_kubeconfig_without_authority_is_refused(self) -> None:
        with pytest.raises(ClusterIssuerError, match="no certificate authority"):
            cluster_issuer.authority({"clusters": [{"cluster": {}}]})

    def test_own_and_remembered_ones_are_known(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cluster_issuer, "OWN_CA", tmp_path / "ca.crt")
        path = tmp_path / "state" / "issuer.json"
        assert cluster_issuer.known(path) == ()
        other = ClusterIssuer("https://10.0.0.1:6443", "other")
        cluster_issuer.remember(path, other)
        (tmp_path / "ca.crt").write_text("own")
        assert cluster_issuer.known(path) == (ClusterIssuer(cluster_issuer.OWN_URL, "own"), other)


class TestSupervisorLock:
    _HOLD = (
        "import sys, time; from pathlib import Path; from e2e.sigstore import supervisor\n"
        "with supervisor._claim(Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )

    def test_nobody_holds_a_missing_or_a_left_file(self, tmp_path: Path) -> None:
        assert supervisor.running_pid(tmp_path / "running") is None
        (tmp_path / "running").write_text("4711")
        assert supervisor.running_pid(tmp_path / "running") is None

    def test_the_kernel_names_the_holder_and_forgets_the_dead(self, tmp_path: Path) -> None:
        path = tmp_path / "running"
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-c", self._HOLD, str(path)]
        with subprocess.Popen(command, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == b"held\n"
                assert supervisor.running_pid(path) == holder.pid
            finally:
                holder.send_signal(signal.SIGKILL)
                holder.wait()
        assert supervisor.running_pid(path) is None


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _decoded(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(_raw(text))
    return value


def _number(text: str) -> int:
    return int.from_bytes(_raw(text), "big")
