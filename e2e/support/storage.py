"""The storage side of the demo: a folder on one node, claims on it, and someone with access to the disk.

That someone is a pod outside the intercepted namespaces with the folder as hostPath. It stands for the file server, the
backup system or the administrator that every platform has and that Kubernetes' own rules do not reach.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from e2e.support.kubectl import Kubectl, Object, wait_for

NAMESPACE = "lineward-demo-storage"
POD = "storage"
MODES = ["ReadWriteMany"]


@dataclass(frozen=True)
class Storage:
    """Claims in `namespace`, backed by `folder` on `node`."""

    kubectl: Kubectl
    node: str
    folder: str
    image: str
    namespace: str

    def start(self) -> None:
        """Start the storage pod and wait until it answers."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": POD, "namespace": NAMESPACE},
            "spec": {
                "nodeName": self.node,
                "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "disk",
                        "image": self.image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["/bin/sleep", "infinity"],
                        "securityContext": {"runAsUser": 0},
                        "volumeMounts": [{"name": "disk", "mountPath": "/disk"}],
                    }
                ],
                "volumes": [{"name": "disk", "hostPath": {"path": self.folder, "type": "DirectoryOrCreate"}}],
            },
        }
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self._disk.delete("pod", POD)
        self._disk.apply(pod)
        self._disk("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=120s")

    def claim(self, name: str, files: Mapping[str, bytes]) -> None:
        """Make the claim anew with exactly these files; an empty mapping makes an empty one."""
        self.kubectl.within(self.namespace).delete("pvc", name)
        self.kubectl.delete("pv", self._volume(name))
        self.shell(f"rm -rf /disk/{name} && mkdir -m 0777 /disk/{name}")
        if files:
            self._disk("exec", "-i", POD, "--", "tar", "-xf", "-", "-C", f"/disk/{name}", stdin=_tar(files))
        self.kubectl.apply(self._persistent_volume(name), self._claim(name))
        wait_for(f"claim {name} bound", lambda: self._bound(name), 60)

    def read(self, path: str) -> str:
        """A file on the disk, by its path below the folder."""
        return self.shell(f"cat /disk/{path}")

    def shell(self, command: str) -> str:
        """What someone with access to the disk does."""
        return self._disk("exec", POD, "--", "sh", "-c", command)

    def remove(self) -> None:
        """Remove the claims' namespace, its volumes with what they hold, and the storage pod's namespace."""
        self.kubectl.delete("namespace", self.namespace)
        volumes = [pv["metadata"]["name"] for pv in self.kubectl.items("pv")]
        for name in volumes:
            if name.startswith(f"{self.namespace}-"):
                self.kubectl.delete("pv", name)
        if self._disk.get("pod", POD):
            self.shell("rm -rf /disk/*")
        self.kubectl.delete("namespace", NAMESPACE)

    @property
    def _disk(self) -> Kubectl:
        return self.kubectl.within(NAMESPACE)

    def _volume(self, name: str) -> str:
        return f"{self.namespace}-{name}"

    def _bound(self, name: str) -> bool:
        claim = self.kubectl.within(self.namespace).get("pvc", name)
        return bool(claim and claim.get("status", {}).get("phase") == "Bound")

    def _persistent_volume(self, name: str) -> Object:
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [self._hostname()]}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": self._volume(name)},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": MODES,
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "claimRef": {"namespace": self.namespace, "name": name},
                "local": {"path": f"{self.folder}/{name}"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }

    def _hostname(self) -> str:
        labels: dict[str, str] = self.kubectl.get("node", self.node)["metadata"]["labels"]
        return labels["kubernetes.io/hostname"]

    def _claim(self, name: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "accessModes": MODES,
                "storageClassName": "",
                "volumeName": self._volume(name),
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }


def _tar(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
