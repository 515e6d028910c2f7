"""Pods as injection makes them, written by hand: verify and sidecar alone, on a cluster without a release.

The data is written by a first init container into an emptyDir, so that no disk of a node is needed; its root is made
here from the same files.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e import images
from lineward.adapters.files import create_manifest
from lineward.domain.plan import Plan, PlannedVolume

SIDECAR = images.IMAGES["lineward-sidecar"].reference
LEDGER = images.IMAGES["lineward-ledger"].reference
SHELL = images.IMAGES["lineward-demo-trainer"].reference
PYTHON = "/opt/lineward/bin/python"
FILES = {"train.csv": "1,2\n", "test.csv": "3,4\n", "readme.txt": "x\n"}
Object = dict[str, Any]


@dataclass(frozen=True)
class TrainingPod:
    """A pod whose trainer runs `train`; `seed` are shell commands that change the data before it is verified."""

    name: str
    seed: str = "true"
    train: str = "true"
    mode: str = "enforce"
    uid: int = 65532
    restart: str = "Never"
    beside: str = ""
    """Shell commands of a native sidecar that may write the data; empty for none."""
    ledger: str = "http://127.0.0.1:9"

    def manifest(self) -> Object:
        """The Pod object."""
        plan = self._plan().encode()
        verify = ["-m", "lineward_sidecar.verify", "--plan", plan, "--result", "/lineward/run/verdict.json"]
        observe = ["-m", "lineward_sidecar.main", "--plan", plan, "--result", "/lineward/run/verdict.json"]
        observe += ["--ledger-url", self.ledger, "--token", "/lineward/token/token", "--spool", "/lineward/run/spool"]
        observe += ["--metrics-port", "9465", "--census-seconds", "1"]
        mounts = [_mount("data", "/lineward/data/data"), _mount("lineward-run", "/lineward/run", read_only=False)]
        token = _mount("lineward-token", "/lineward/token")
        containers = [self._shell("seed", f"{_writing()} && cd /data && {self.seed}", read_only=False)]
        if self.beside:
            containers.append({**self._shell("beside", self.beside, read_only=False), "restartPolicy": "Always"})
        containers += [
            {**self._ours("lineward-verify", verify, mounts), "restartPolicy": "Never"},
            {**self._ours("lineward-sidecar", observe, [*mounts, token]), "restartPolicy": "Always"},
        ]
        projected = {"audience": "lineward-ledger", "expirationSeconds": 3600, "path": "token"}
        spec = {
            "restartPolicy": self.restart,
            "terminationGracePeriodSeconds": 30,
            "securityContext": {"fsGroup": self.uid, "seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": containers,
            "containers": [self._shell("train", self.train, read_only=True)],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "lineward-run", "emptyDir": {"sizeLimit": "64Mi"}},
                {"name": "lineward-token", "projected": {"sources": [{"serviceAccountToken": projected}]}},
            ],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec}

    def _plan(self) -> Plan:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in FILES.items():
                (Path(folder) / name).write_text(content)
            root = str(create_manifest(folder).root)
        volume = PlannedVolume("data", "/lineward/data/data", dataset="credit", version="1.0.0", root=root)
        return Plan(self.mode, ("by-hand",), (volume,))

    def _shell(self, name: str, script: str, *, read_only: bool) -> Object:
        mount = _mount("data", "/data", read_only=read_only)
        return {**self._container(name, SHELL, [mount]), "command": ["/bin/sh", "-c", script]}

    def _ours(self, name: str, arguments: list[str], mounts: list[Object]) -> Object:
        env = [
            {"name": f"LINEWARD_POD_{key.upper()}", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{key}"}}}
            for key in ("uid", "name", "namespace")
        ]
        return {**self._container(name, SIDECAR, mounts), "command": [PYTHON, "-I", *arguments], "env": env}

    def _container(self, name: str, image: str, mounts: list[Object]) -> Object:
        security = {
            "runAsUser": self.uid,
            "runAsGroup": self.uid,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        made = {"name": name, "image": image, "imagePullPolicy": "IfNotPresent"}
        return {**made, "securityContext": security, "volumeMounts": mounts}


def ledger_objects(namespace: str) -> list[Object]:
    """A ledger of its own in `namespace`, which may review tokens; the ClusterRoleBinding has the namespace's name."""
    account = {"name": "lineward-ledger", "namespace": namespace}
    writer = f"system:serviceaccount:{namespace}:lineward-operator"
    container = {
        "name": "ledger",
        "image": LEDGER,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--data", "/var/lib/lineward", "--writer", writer],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/lineward"}],
    }
    spec = {
        "serviceAccountName": "lineward-ledger",
        "securityContext": {"runAsUser": 65532, "runAsNonRoot": True, "fsGroup": 65532},
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": namespace},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", **account}],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": account,
            "spec": {"selector": {"app": "ledger"}, "ports": [{"port": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**account, "name": "ledger", "labels": {"app": "ledger"}},
            "spec": spec,
        },
    ]


def _writing() -> str:
    lines = ((name, content.replace("\n", "\\n")) for name, content in FILES.items())
    return " && ".join(f"printf '{content}' > /data/{name}" for name, content in lines)


def _mount(name: str, path: str, *, read_only: bool = True) -> Object:
    return {"name": name, "mountPath": path, "readOnly": read_only}
