"""How the harness itself talks to the API server: kubectl for objects, plain HTTPS for readiness."""

import http.client
import json
import ssl
import subprocess
from typing import Any

from e2e import tools
from e2e.cluster.layout import API_PORT, Layout

_SECONDS = 2.0


def ready(layout: Layout) -> bool:
    """Whether the API server answers and says that it is ready."""
    return _get(layout, "/readyz")[0] == http.HTTPStatus.OK


def get(layout: Layout, path: str) -> dict[str, Any]:
    """One object by its API path; empty when there is none, or no answer."""
    status, body = _get(layout, path)
    if status != http.HTTPStatus.OK:
        return {}
    answer: dict[str, Any] = json.loads(body)
    return answer


def node_ready(layout: Layout, name: str) -> bool:
    conditions = get(layout, f"/api/v1/nodes/{name}").get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def deployment_ready(layout: Layout, namespace: str, name: str) -> bool:
    status = get(layout, f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}").get("status", {})
    return bool(status.get("readyReplicas"))


def kubectl(layout: Layout, *arguments: str, stdin: str = "") -> str:
    """Run kubectl on the cluster.

    Raises:
        RuntimeError: with what kubectl said.
    """
    command = [str(tools.binary("kubectl")), f"--kubeconfig={layout.kubeconfig}", *arguments]
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _get(layout: Layout, path: str) -> tuple[int, bytes]:
    try:
        context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
        context.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, timeout=_SECONDS, context=context)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
