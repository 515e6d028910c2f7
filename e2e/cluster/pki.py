"""The cluster's certificate authority, and a certificate for each part.

The CA and the service accounts' key outlive ``down``: a Fulcio that trusts them as an issuer goes on working after the
cluster was started afresh. Everything they sign is new at every start.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.layout import KUBERNETES_SERVICE, Layout

_CA_DAYS = "3650"
_DAYS = "365"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who a certificate speaks for: ``user`` and ``group`` are Kubernetes' words for CN and O."""

    name: str
    user: str
    group: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.user}"

    @property
    def extensions(self) -> tuple[str, ...]:
        usage = "extendedKeyUsage=clientAuth" + (",serverAuth" if self.addresses else "")
        names = (f"subjectAltName={','.join(self.addresses)}",) if self.addresses else ()
        return ("keyUsage=critical,digitalSignature", "basicConstraints=critical,CA:false", usage, *names)


def certificates(layout: Layout) -> list[Certificate]:
    """All that the control plane and the nodes need."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    api_names = (*(f"DNS:{name}" for name in (*service, "localhost")), "IP:127.0.0.1")
    api = (*api_names, f"IP:{KUBERNETES_SERVICE}", f"IP:{layout.api_address}")
    return [
        Certificate("apiserver", "kube-apiserver", "system:masters", api),
        Certificate("etcd", "etcd", addresses=("IP:127.0.0.1",)),
        Certificate("admin", "lineward-admin", "system:masters"),
        Certificate("controller-manager", "system:kube-controller-manager"),
        Certificate("scheduler", "system:kube-scheduler"),
        Certificate("kube-proxy", "system:kube-proxy"),
        *(
            Certificate(
                node.name, f"system:node:{node.name}", "system:nodes", (f"DNS:{node.name}", f"IP:{node.address}")
            )
            for node in layout.nodes
        ),
    ]


def issue(layout: Layout) -> None:
    """Make the CA and the service accounts' key if they are missing, and every certificate anew."""
    layout.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca, ca_key = layout.pki / "ca.crt", layout.pki / "ca.key"
    if not ca.exists():
        constraints = ("basicConstraints=critical,CA:true", "keyUsage=critical,keyCertSign,cRLSign")
        _request(ca, ca_key, "-subj", "/CN=lineward-cluster", "-days", _CA_DAYS, *_extended(*constraints))
    service_account = layout.pki / "sa.key"
    if not service_account.exists():
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(service_account))
        _openssl("pkey", "-in", str(service_account), "-pubout", "-out", str(layout.pki / "sa.pub"))
    signed_by = ("-CA", str(ca), "-CAkey", str(ca_key))
    for wanted in certificates(layout):
        crt, key = layout.pki / f"{wanted.name}.crt", layout.pki / f"{wanted.name}.key"
        _request(crt, key, "-subj", wanted.subject, "-days", _DAYS, *_extended(*wanted.extensions), *signed_by)


def _request(crt: Path, key: Path, *options: str) -> None:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl("req", "-x509", *curve, *options, "-keyout", str(key), "-out", str(crt))


def _extended(*extensions: str) -> list[str]:
    return [part for extension in extensions for part in ("-addext", extension)]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
