"""Puts Lineward's containers into a pod, and takes away whatever already calls itself theirs.

Works on the raw JSON, so that fields which this version does not know stay as they are. `inject` of a stripped pod is
always the same pod, so the mutating pass may run any number of times and the validating pass can compare exactly. Every
field that the API server would default is written out for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lineward.domain import injected_resources, injected_security
from lineward.domain.plan import Plan
from lineward.domain.podspec import Pod, Role
from lineward.domain.settings import Settings
from lineward.domain.world import Bounds

VERIFY = "lineward-verify"
SIDECAR = "lineward-sidecar"
_NAMES = frozenset({VERIFY, SIDECAR})
RUN_VOLUME = "lineward-run"
TOKEN_VOLUME = "lineward-token"  # noqa: S105 - the name of a volume
MANIFEST_VOLUME = "lineward-manifest-"
PYTHON = "/opt/lineward/bin/python"
RESULT = "/lineward/run/verdict.json"
METRICS_PORT = 9465
TOKEN_SECONDS = 3600

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Injection:
    """What goes into one pod. `read_only` names the pod's volumes that are forced read-only, at source and mounts.

    `manifests` maps a planned volume to the raw volume source that brings its manifest.
    """

    plan: Plan
    read_only: frozenset[str] = frozenset()
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sidecar: bool = True
    restricted: bool = False
    """Whether the namespace demands the restricted Pod Security Standard."""
    bounds: Bounds = field(default_factory=Bounds)


def strip(pod: Mapping[str, Any]) -> Json:
    """Return the pod without the containers and volumes that `inject` makes; shares what it leaves as it was."""
    spec = dict(pod["spec"])
    _keep(spec, "initContainers", lambda item: item.get("name") not in _NAMES)
    _keep(spec, "volumes", lambda item: not _is_our_volume(item.get("name")))
    return {**pod, "spec": spec}


def without_ours(pod: Pod) -> Pod:
    """The parsed form of `strip`: the pod as its author wrote it."""
    containers = tuple(c for c in pod.containers if c.name not in _NAMES or c.role not in {Role.INIT, Role.SIDECAR})
    return replace(pod, containers=containers, volumes=tuple(v for v in pod.volumes if not _is_our_volume(v.name)))


def inject(pod: Mapping[str, Any], injection: Injection, settings: Settings) -> Json:
    """Return a stripped pod with Lineward's containers first and, where asked, its data read-only.

    The pod that was given stays as it was; what does not change is shared with it.
    """
    spec = dict(pod["spec"])
    if injection.read_only:
        _force_read_only(spec, injection.read_only)
    spec["initContainers"] = [*containers(spec, injection, settings), *spec.get("initContainers", [])]
    spec["volumes"] = [*spec.get("volumes", []), *_volumes(injection, settings)]
    return {**pod, "spec": spec}


def patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Json]:
    """JSON Patch (RFC 6902) of whole lists: injection changes no other field of the spec."""
    operations = []
    for name in ("initContainers", "containers", "volumes"):
        old, new = before["spec"].get(name), after["spec"].get(name)
        if old != new:
            path = f"/spec/{name}"
            operations.append(
                {"op": "remove", "path": path}
                if new is None
                else {"op": "add" if old is None else "replace", "path": path, "value": new}
            )
    return operations


def containers(spec: Mapping[str, Any], injection: Injection, settings: Settings) -> list[Json]:
    """The containers that belong at the head of `initContainers`."""
    plan = injection.plan.encode()
    made = [_verify(spec, plan, injection, settings)]
    return [*made, _sidecar(spec, plan, injection, settings)] if injection.sidecar else made


def _keep(spec: Json, name: str, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
    if name not in spec:
        return
    kept = [item for item in spec[name] or () if wanted(item)]
    if kept:
        spec[name] = kept
    else:
        del spec[name]


def _is_our_volume(name: object) -> bool:
    text = str(name)
    return text in {RUN_VOLUME, TOKEN_VOLUME} or (
        text.startswith(MANIFEST_VOLUME) and text.removeprefix(MANIFEST_VOLUME).isdigit()
    )


def _force_read_only(spec: Json, names: Collection[str]) -> None:
    spec["volumes"] = [_source_read_only(v) if v["name"] in names else v for v in spec.get("volumes") or ()]
    for list_name in ("initContainers", "containers"):
        if list_name in spec:
            spec[list_name] = [_mounts_read_only(container, names) for container in spec[list_name] or ()]


def _source_read_only(volume: Mapping[str, Any]) -> Json:
    forced = {key: {**volume[key], "readOnly": True} for key in ("persistentVolumeClaim", "nfs") if key in volume}
    return {**volume, **forced}


def _mounts_read_only(container: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    mounts = container.get("volumeMounts") or ()
    if not any(mount["name"] in names for mount in mounts):
        return container
    return {**container, "volumeMounts": [_read_only(m) if m["name"] in names else m for m in mounts]}


def _read_only(mount: Mapping[str, Any]) -> Json:
    recursive = mount.get("mountPropagation", "None") == "None"
    return {**mount, "readOnly": True, **({"recursiveReadOnly": "IfPossible"} if recursive else {})}


def verify_command(plan: str) -> list[str]:
    """The whole command of verify for an encoded plan; it has no `args`."""
    return [PYTHON, "-I", "-m", "lineward_sidecar.verify", "--plan", plan, "--result", RESULT]


def _verify(spec: Mapping[str, Any], plan: str, injection: Injection, settings: Settings) -> Json:
    container = _container(VERIFY, verify_command(plan), spec, injection, settings)
    container["resources"] = injected_resources.of_verify(spec, injection.bounds)
    if settings.container_restart_rules:
        container["restartPolicy"] = "Never"
    return container


def _sidecar(spec: Mapping[str, Any], plan: str, injection: Injection, settings: Settings) -> Json:
    command = [
        *(PYTHON, "-I", "-m", "lineward_sidecar.main", "--plan", plan, "--result", RESULT),
        *("--ledger-url", settings.ledger_url, "--token", "/lineward/token/token", "--spool", "/lineward/run/spool"),
        *("--metrics-port", str(METRICS_PORT)),
        *(("--openlineage-url", settings.openlineage_url) if settings.openlineage_url else ()),
        *("--cluster", settings.cluster_name),
    ]
    container = _container(SIDECAR, command, spec, injection, settings)
    container["volumeMounts"].append({"name": TOKEN_VOLUME, "mountPath": "/lineward/token", "readOnly": True})
    container["resources"] = injected_resources.of_sidecar(spec, injection.bounds, settings)
    container["restartPolicy"] = "Always"
    if not spec.get("hostNetwork"):
        # Under hostNetwork the API server would turn it into a port of the node, which two pods cannot share.
        container["ports"] = [{"name": "lineward", "containerPort": METRICS_PORT, "protocol": "TCP"}]
    return container


def _container(
    name: str, command: list[str], spec: Mapping[str, Any], injection: Injection, settings: Settings
) -> Json:
    return {
        "name": name,
        "image": settings.sidecar_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": command,
        "env": [_downward(field_name) for field_name in ("name", "namespace", "uid")],
        "volumeMounts": _mounts(injection),
        "securityContext": injected_security.context(spec, injection.plan, restricted=injection.restricted),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


def _downward(field_name: str) -> Json:
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.{field_name}"}}
    return {"name": f"LINEWARD_POD_{field_name.upper()}", "valueFrom": source}


def _mounts(injection: Injection) -> list[Json]:
    plan = injection.plan
    looked_at = [*((v.volume, v.path) for v in plan.volumes), *((o.volume, o.path) for o in plan.outputs)]
    return [
        *(
            {"name": name, "mountPath": path, "readOnly": True, "recursiveReadOnly": "IfPossible"}
            for name, path in looked_at
        ),
        *(
            {"name": f"{MANIFEST_VOLUME}{i}", "mountPath": f"/lineward/manifest/{volume}", "readOnly": True}
            for i, volume in enumerate(injection.manifests)
        ),
        {"name": RUN_VOLUME, "mountPath": "/lineward/run"},
    ]


def _volumes(injection: Injection, settings: Settings) -> list[Json]:
    manifests = [{"name": f"{MANIFEST_VOLUME}{i}", **source} for i, source in enumerate(injection.manifests.values())]
    run: Json = {"name": RUN_VOLUME, "emptyDir": {"sizeLimit": "64Mi"}}
    if not injection.sidecar:
        return [*manifests, run]
    token = {"audience": settings.ledger_audience, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
    projected = {"sources": [{"serviceAccountToken": token}], "defaultMode": 420}
    return [*manifests, run, {"name": TOKEN_VOLUME, "projected": projected}]
