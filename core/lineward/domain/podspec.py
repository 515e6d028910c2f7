"""What the rules need to know of a pod, read from its raw JSON.

Raw, because a client library's model silently drops the fields it does not know, and a dropped field is a bypass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lineward.domain import volumes
from lineward.domain.fields import Reader
from lineward.domain.reasons import Reason
from lineward.domain.volumes import Volume

MAX_CONTAINERS = 256
"""Containers of one list, mounts of one container and volumes of one pod that are read; real pods have dozens."""
MAX_MOUNTS = 512
MAX_VOLUMES = 512

OUR_PREFIX = "lineward-"
"""Starts the name of every container and volume that injection adds; reserved."""
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


class Role(StrEnum):
    """How the kubelet runs a container."""

    INIT = "init"
    SIDECAR = "sidecar"
    """An init container with restartPolicy Always."""
    APP = "app"
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True, slots=True)
class Mount:
    """One volumeMount."""

    volume: str
    path: str
    read_only: bool = False
    sub_path: bool = False
    """True where subPath or subPathExpr is given."""
    propagation: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of any list. `devices` are the volumes it uses as raw block devices, with their paths."""

    name: str
    role: Role
    mounts: tuple[Mount, ...] = ()
    devices: tuple[tuple[str, str], ...] = ()
    privileged: bool = False
    capabilities: frozenset[str] = frozenset()
    """Added ones, upper case, without the prefix `CAP_`."""
    proc_mount: str = ""
    message_path: str = ""
    """terminationMessagePath: the kubelet mounts a writable file there."""
    target: str = ""
    """targetContainerName of an ephemeral container."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The controlling owner reference; kind `Pod` and no name for a bare pod."""

    kind: str = "Pod"
    name: str = ""
    uid: str = ""


_MADE_BY = {"ReplicaSet": ("Deployment",), "Job": ("CronJob", "JobSet", "TrainJob")}
_CONTROLLERS = frozenset(
    {
        *("Job", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Deployment", "CronJob", "JobSet"),
        *("TrainJob", "PyTorchJob", "TFJob", "MPIJob", "JAXJob", "XGBoostJob", "PaddleJob", "RayCluster", "RayJob"),
        *("LeaderWorkerSet", "Workflow", "AppWrapper", "SparkApplication", "Notebook"),
    }
)


def workload_kinds(owner: Owner) -> tuple[str, ...]:
    """Kinds of workload that a pod may belong to, as far as its own owner reference tells.

    A reference names only the nearest owner and its author may write any kind into it; so whatever could have made that
    owner counts too, and an owner that is no known controller counts as a bare pod.
    """
    return (owner.kind, *_MADE_BY.get(owner.kind, ()), *(() if owner.kind in _CONTROLLERS else ("Pod",)))


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as its author wrote it, or as the API server holds it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner: Owner
    containers: tuple[Container, ...]
    """Of all lists, in the order init, app, ephemeral."""
    volumes: tuple[Volume, ...]
    host_pid: bool = False
    share_process_namespace: bool = False
    windows: bool = False
    unknown_lists: tuple[str, ...] = ()
    """Keys of the spec that look like container lists of a Kubernetes newer than this program."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Names of volumes by what any container does with them, looked up once however many mounts a pod brings."""

    written: frozenset[str]
    """Mounted without readOnly, or used as a block device; the volume's source may still forbid writing."""
    parted: frozenset[str]
    """Mounted by subPath or subPathExpr."""
    devices: frozenset[str]


def usage(pod: Pod) -> Usage:
    """What the containers of the pod do with its volumes."""
    mounts = [mount for container in pod.containers for mount in container.mounts]
    devices = frozenset(name for container in pod.containers for name, _ in container.devices)
    return Usage(
        written=devices | {mount.volume for mount in mounts if not mount.read_only},
        parted=frozenset(mount.volume for mount in mounts if mount.sub_path),
        devices=devices,
    )


def parse(raw: Mapping[str, Any]) -> Pod:
    """Read a pod object.

    Raises InvalidInputError(RequestInvalid) for wrong types and for more containers, mounts or volumes than are read.
    """
    outer = Reader(raw, "", Reason.REQUEST_INVALID)
    meta = outer.object("metadata")
    spec = outer.object("spec")
    raw_spec = raw["spec"]
    raw_volumes = raw_spec.get("volumes") or ()
    return Pod(
        labels=_pairs(meta, "labels"),
        annotations=_pairs(meta, "annotations"),
        owner=_owner(meta),
        containers=tuple(
            _container(item, where) for where in _CONTAINER_LISTS for item in spec.objects(where, cap=MAX_CONTAINERS)
        ),
        volumes=tuple(
            volumes.parse(item, reader)
            for item, reader in zip(raw_volumes, spec.objects("volumes", cap=MAX_VOLUMES), strict=True)
        ),
        host_pid=spec.flag("hostPID") is True,
        share_process_namespace=spec.flag("shareProcessNamespace") is True,
        windows=spec.has("os") and spec.object("os").text("name", "") == "windows",
        unknown_lists=tuple(
            sorted(str(key)[:63] for key in raw_spec if str(key).endswith("ontainers") and key not in _CONTAINER_LISTS)
        ),
    )


def _pairs(meta: Reader, name: str) -> dict[str, str]:
    """Labels or annotations: unlike other texts they may be long, as kubectl's last-applied-configuration is."""
    pairs = meta.value(name) if meta.has(name) else {}
    if not isinstance(pairs, Mapping) or not all(isinstance(t, str) for pair in pairs.items() for t in pair):
        meta.fail("must be an object of texts", name)
    return dict(pairs)


def _owner(meta: Reader) -> Owner:
    for reference in meta.objects("ownerReferences"):
        if reference.flag("controller") is True:
            return Owner(
                kind=reference.text("kind", cap=63),
                name=reference.text("name", cap=253),
                uid=reference.text("uid", cap=128),
            )
    return Owner()


def _container(raw: Reader, where: str) -> Container:
    security = raw.object("securityContext") if raw.has("securityContext") else None
    return Container(
        name=raw.text("name", cap=63),
        role=_role(raw, where),
        mounts=tuple(_mount(item) for item in raw.objects("volumeMounts", cap=MAX_MOUNTS)),
        devices=tuple(
            (item.text("name", cap=63), item.text("devicePath"))
            for item in raw.objects("volumeDevices", cap=MAX_MOUNTS)
        ),
        privileged=security is not None and security.flag("privileged") is True,
        capabilities=_added(security),
        proc_mount=security.text("procMount", "") if security else "",
        message_path=raw.text("terminationMessagePath", "/dev/termination-log"),
        target=raw.text("targetContainerName", "", cap=63),
    )


def _role(raw: Reader, where: str) -> Role:
    if where == "initContainers":
        return Role.SIDECAR if raw.text("restartPolicy", "") == "Always" else Role.INIT
    return Role.APP if where == "containers" else Role.EPHEMERAL


def _mount(raw: Reader) -> Mount:
    return Mount(
        volume=raw.text("name", cap=63),
        path=raw.text("mountPath"),
        read_only=raw.flag("readOnly") is True,
        sub_path=raw.has("subPath") or raw.has("subPathExpr"),
        propagation=raw.text("mountPropagation", ""),
    )


def _added(security: Reader | None) -> frozenset[str]:
    if security is None or not security.has("capabilities"):
        return frozenset()
    return frozenset(name.upper().removeprefix("CAP_") for name in security.object("capabilities").texts("add"))
