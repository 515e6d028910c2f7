"""A cluster's service accounts as a second OIDC issuer, so that a workload signs as itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e import cache, tools

OWN_URL = "https://127.0.0.1:6443"
OWN_CA = cache.root() / "cluster" / "pki" / "ca.crt"
OWN_KUBECONFIG = cache.root() / "cluster" / "kubeconfig"
"""The cluster that the harness starts. Its CA stays the same when it is started again, and it applies a binding like
`BINDING` itself."""
_KUBECTL_SECONDS = 30
_IN_CLUSTER = "https://kubernetes.default.svc"
"""For issuers that begin so Fulcio reads a token and a CA from the files of a pod, which it does not have here."""

BINDING: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "lineward-test-issuer-discovery"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:service-account-issuer-discovery",
    },
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
}
"""Lets Fulcio, which has no account in the cluster, read the issuer's public keys."""


class ClusterIssuerError(RuntimeError):
    """The cluster can't serve as an issuer; the message says why."""


@dataclass(frozen=True, slots=True)
class ClusterIssuer:
    """``url`` is the issuer's name and address, ``ca`` the PEM of the authority behind its TLS certificate."""

    url: str
    ca: str


def known(path: Path) -> tuple[ClusterIssuer, ...]:
    """The harness's own cluster, once it has a CA, and the one that `remember` wrote to ``path``."""
    found = {}
    if OWN_CA.exists():
        found[OWN_URL] = ClusterIssuer(OWN_URL, OWN_CA.read_text())
    if path.exists():
        issuer = ClusterIssuer(**json.loads(path.read_text()))
        found.setdefault(issuer.url, issuer)
    return tuple(found.values())


def remember(path: Path, issuer: ClusterIssuer) -> None:
    """Make ``issuer`` known for later starts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(issuer)))


def discover(kubeconfig: Path) -> ClusterIssuer:
    """The service-account issuer of the cluster of ``kubeconfig``'s current context.

    Raises:
        ClusterIssuerError: no answer, no CA in the kubeconfig, or an issuer that only pods reach.
    """
    document = json.loads(_kubectl(kubeconfig, "get", "--raw", "/.well-known/openid-configuration"))
    config = json.loads(_kubectl(kubeconfig, "config", "view", "--raw", "--minify", "--output=json"))
    url = str(document["issuer"])
    if url.startswith(_IN_CLUSTER):
        raise ClusterIssuerError(f"its service-account issuer {url} can't be reached from outside the cluster")
    return ClusterIssuer(url, authority(config))


def authority(config: dict[str, Any]) -> str:
    """The CA's PEM in a minified kubeconfig.

    Raises:
        ClusterIssuerError: there is none.
    """
    cluster = config["clusters"][0]["cluster"]
    if data := cluster.get("certificate-authority-data"):
        return b64decode(data).decode()
    if file := cluster.get("certificate-authority"):
        return Path(file).read_text()
    raise ClusterIssuerError("its kubeconfig names no certificate authority")


def allow_discovery(kubeconfig: Path) -> None:
    """Apply `BINDING`.

    Raises:
        ClusterIssuerError: the cluster refuses.
    """
    _kubectl(kubeconfig, "apply", "--filename=-", stdin=json.dumps(BINDING))


def token(kubeconfig: Path, namespace: str, account: str, audience: str) -> str:
    """A token of the service account, valid for an hour.

    Raises:
        ClusterIssuerError: no such account, or not allowed.
    """
    arguments = ("create", "token", account, f"--audience={audience}", "--duration=1h")
    return _kubectl(kubeconfig, f"--namespace={namespace}", *arguments).strip()


def _kubectl(kubeconfig: Path, *arguments: str, stdin: str | None = None) -> str:
    kubectl = shutil.which("kubectl") or str(tools.binary("kubectl"))
    command = [kubectl, f"--kubeconfig={kubeconfig}", *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, text=True, capture_output=True, check=False, timeout=_KUBECTL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterIssuerError(f"no answer from the cluster of {kubeconfig} in {_KUBECTL_SECONDS} s") from error
    if done.returncode:
        raise ClusterIssuerError(f"kubectl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
