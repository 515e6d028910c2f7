"""Lineward itself on a cluster: installed by its chart, asked for its metrics and records."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.support.attesting import LINEWARD
from e2e.support.kubectl import Kubectl, Object, wait_for

NAMESPACE = "lineward-system"
NAME = "lineward"
CHART = Path(__file__).resolve().parents[2] / "charts" / "lineward"


class HelmError(RuntimeError):
    """helm ended with an error; the message is what it printed."""


@dataclass(frozen=True)
class Release:
    """The Helm release `lineward` in `lineward-system`."""

    kubectl: Kubectl
    helm: Path

    @property
    def own(self) -> Kubectl:
        """kubectl in Lineward's own namespace."""
        return self.kubectl.within(NAMESPACE)

    def install(self, namespaces: Sequence[str], build: str, values: Mapping[str, Any] | None = None) -> None:
        """Install or upgrade, guarding these namespaces, and wait until the webhook is registered.

        What an interrupted install left is removed first.
        """
        annotated = {"podAnnotations": {"example.com/build": build}}
        chosen = {
            "namespaces": list(namespaces),
            "image": {"registry": "lineward.local", "tag": "dev"},
            "operator": annotated,
            "webhook": annotated,
            "ledger": {**annotated, "persistence": {"enabled": False}},
            **(values or {}),
        }
        flags = ["--namespace", NAMESPACE, "--create-namespace", "--take-ownership", "--wait", "--timeout", "5m"]
        if self.status() not in {"", "deployed"}:
            self.run("uninstall", NAME, "--namespace", NAMESPACE, "--no-hooks", "--wait", "--ignore-not-found")
        self.run("upgrade", "--install", NAME, str(CHART), *flags, "--values", "-", stdin=json.dumps(chosen))
        wait_for("the webhook's registration", self.registered, 90)

    def uninstall(self) -> None:
        """Uninstall as a person does, without waiting for pods to end; what is not installed is fine."""
        self.run("uninstall", NAME, "--namespace", NAMESPACE, "--ignore-not-found")

    def status(self) -> str:
        """Helm's word for the release: deployed, failed, pending-install ...; empty where there is none."""
        found = json.loads(self.run("list", "--all", "--namespace", NAMESPACE, "--filter", f"^{NAME}$", "-o", "json"))
        return str(found[0]["status"]) if found else ""

    def registered(self) -> bool:
        """Whether pods of the guarded namespaces reach the webhook, with a certificate to verify it by."""
        for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
            found = self.kubectl.get(kind, NAME)
            if not found or not all(one["clientConfig"].get("caBundle") for one in found["webhooks"]):
                return False
        return True

    def run(self, *args: str, stdin: str = "") -> str:
        """Run helm on this cluster. Raises HelmError with what it printed."""
        where = ["--kubeconfig", str(self.kubectl.kubeconfig)]
        where += ["--kube-context", self.kubectl.context] if self.kubectl.context else []
        argv = [str(self.helm), *args, *where]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise HelmError(f"helm {args[0]}: {done.stderr.strip()}")
        return done.stdout

    def stop(self, *components: str) -> None:
        """Run no pod of these Deployments any more, and wait until the last process has ended."""
        self.own("scale", *(f"deployment/{NAME}-{component}" for component in components), "--replicas=0")
        chosen = f"app.kubernetes.io/component in ({','.join(components)})"
        wait_for(f"the end of {', '.join(components)}", lambda: not self.own.items("pods", "-l", chosen))

    def start(self, component: str, replicas: int = 1) -> None:
        """Run so many pods of this Deployment again, and wait until they are ready."""
        self.own("scale", f"deployment/{NAME}-{component}", f"--replicas={replicas}")
        self.own("rollout", "status", f"deployment/{NAME}-{component}", "--timeout=120s")

    def metrics(self, component: str) -> str:
        """Metrics of all pods of a component that go on running, one after the other."""
        pods = self.own.items("pods", "-l", f"app.kubernetes.io/component={component}")
        names = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return "\n".join(
            self.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:8080/proxy/metrics")
            for name in names
        )

    def lineage_events(self, run: str) -> list[Object]:
        """OpenLineage events of a run (its owner's UID) and of its pods, as the ledger has them."""
        argv = [*LINEWARD, "ledger", "events", "--run", run, "-o", "json"]
        environment = {**os.environ, "KUBECONFIG": str(self.kubectl.kubeconfig)}
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, env=environment)
        return list(json.loads(done.stdout))
