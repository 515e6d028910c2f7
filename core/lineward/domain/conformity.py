"""Checks that the pod which reaches the validating pass is the one that injection makes: exactly, never approximately.

A container is not ours because of its name, and "contains what we put in" is not enough: one more mount in the verifier
is an attack that worked. What may differ is a closed list of what Kubernetes itself, and platform webhooks that the
chart names, add afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lineward.domain import injected_resources
from lineward.domain import plan as plans
from lineward.domain.errors import InvalidInputError
from lineward.domain.injection import SIDECAR, VERIFY, Injection, inject, strip
from lineward.domain.plan import Plan, Refusal
from lineward.domain.podspec import OUR_PREFIX
from lineward.domain.policy import Mode
from lineward.domain.reasons import Reason
from lineward.domain.settings import Settings

_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_NEVER_ENV = re.compile(
    r"(LD_|PYTHON|LINEWARD_|GLIBC_|MALLOC_|OPENSSL_|SSL_).*|PATH|IFS|LOCPATH|GCONV_PATH", re.IGNORECASE
)
"""Names that change what a process loads or believes; not even the chart may allow them."""


def objection(pod: Mapping[str, Any], injection: Injection | None, settings: Settings) -> Refusal | None:
    """Compare a pod with what it should be; `injection` None means that it should have nothing of ours.

    Under audit and warn a pod without injection passes (the mutating pass may have been skipped), and so does one whose
    plan believes less than today's would; a pod with anything forged does not.
    """
    ours = [c for c in _list(pod, "initContainers") if _is_ours(c)]
    if injection is None:
        return Refusal(Reason.RESERVED_NAME, "it has containers or volumes named lineward-*") if _traces(pod) else None
    enforced = injection.plan.mode == Mode.ENFORCE.value
    if not _traces(pod):
        return Refusal(Reason.NOT_INJECTED, "Lineward's containers are missing") if enforced else None
    if not enforced:
        injection = _believing(injection, ours)
    return _difference(pod, inject(strip(pod), injection, settings), settings)


def _difference(pod: Mapping[str, Any], expected: Mapping[str, Any], settings: Settings) -> Refusal | None:
    actual_init, expected_init = _list(pod, "initContainers"), _list(expected, "initContainers")
    if len(actual_init) != len(expected_init):
        return Refusal(Reason.NOT_INJECTED, "Lineward's containers are not the ones that belong here")
    for there, wanted in zip(actual_init, expected_init, strict=True):
        if not (_same_container(there, wanted, settings) if _is_ours(wanted) else there == wanted):
            what = f"container {str(wanted.get('name'))[:63]} is not as it should be, or not at its place"
            return Refusal(Reason.NOT_INJECTED, what)
    if _list(pod, "containers") != _list(expected, "containers"):
        return Refusal(Reason.DATA_WRITABLE, "a mount of its data is not read-only")
    return _volumes_differ(_list(pod, "volumes"), _list(expected, "volumes"))


def _volumes_differ(there: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> Refusal | None:
    actual = {str(volume.get("name")): volume for volume in there}
    if len(actual) != len(there) or len(there) != len(wanted):
        return Refusal(Reason.NOT_INJECTED, "Lineward's volumes are not the ones that belong here")
    for volume in wanted:
        name = str(volume["name"])
        if not _same_volume(actual.get(name), volume):
            if name.startswith(OUR_PREFIX):
                return Refusal(Reason.NOT_INJECTED, f"volume {name} is not as it should be")
            return Refusal(Reason.DATA_WRITABLE, "the volume's source is not read-only", name)
    return None


def _same_volume(there: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Equal; but AlwaysPullImages may have made the pull policy of an image stricter."""
    if there is None or "image" not in wanted or not isinstance(there.get("image"), Mapping):
        return there == wanted
    strict = {"pullPolicy": "Always"}
    return there in (wanted, {**wanted, "image": {**wanted["image"], **strict}})


def _same_container(there: Mapping[str, Any], wanted: Mapping[str, Any], settings: Settings) -> bool:
    tolerated = {
        **there,
        "env": _without_allowed_env(there.get("env"), wanted["env"], settings.allowed_injected_env),
        "volumeMounts": [m for m in there.get("volumeMounts") or () if not _is_token_mount(m)],
        "resources": wanted["resources"] if _same_resources(there, wanted) else there.get("resources"),
    }
    if there.get("imagePullPolicy") == "Always":
        tolerated["imagePullPolicy"] = wanted["imagePullPolicy"]
    return tolerated == wanted


def _same_resources(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    try:
        return injected_resources.same(wanted["resources"], there.get("resources") or {})
    except (InvalidInputError, AttributeError, TypeError):
        return False


def _without_allowed_env(there: Any, wanted: Sequence[Any], allowed: Collection[str]) -> Any:
    """What remains of an environment without the names that the chart allows other webhooks to add."""
    if not isinstance(there, list):
        return there
    return [e for e in there if e in wanted or not _is_allowed(e, allowed)]


def _is_allowed(entry: Any, allowed: Collection[str]) -> bool:
    name = str(entry.get("name")) if isinstance(entry, Mapping) else ""
    return name in allowed and not _NEVER_ENV.fullmatch(name)


def _is_token_mount(mount: Any) -> bool:
    """The mount that the ServiceAccount admission plugin adds to every container."""
    return (
        isinstance(mount, Mapping)
        and mount.keys() == {"name", "mountPath", "readOnly"}
        and bool(_TOKEN_VOLUME.fullmatch(str(mount["name"])))
        and mount["mountPath"] == _TOKEN_PATH
        and mount["readOnly"] is True
    )


def _believing(injection: Injection, ours: Sequence[Mapping[str, Any]]) -> Injection:
    """Under audit and warn, take over from the pod's own plan what two replicas may see differently for a moment.

    That is: which refusals are recorded, and volumes that it gives no root for. A root is never taken over.
    """
    written = next((plan for c in ours if (plan := plan_of(c))), None)
    if written is None:
        return injection
    expected = injection.plan
    bare = {volume.volume: volume for volume in written.volumes if not volume.root}
    volumes = tuple(_less(volume, bare) for volume in expected.volumes)
    kept = {volume.volume for volume in volumes if volume.manifest_path}
    return replace(
        injection,
        plan=replace(expected, volumes=volumes, refusals=written.refusals),
        manifests={name: source for name, source in injection.manifests.items() if name in kept},
    )


def _less(volume: plans.PlannedVolume, bare: Mapping[str, plans.PlannedVolume]) -> plans.PlannedVolume:
    if volume.volume not in bare:
        return volume
    return plans.PlannedVolume(volume.volume, volume.path, volume.claim)


def plan_of(container: Mapping[str, Any]) -> Plan | None:
    """The plan that an injected container carries; None where it carries none that can be read."""
    command = container.get("command")
    if not isinstance(command, list) or "--plan" not in command[:-1]:
        return None
    try:
        return plans.decode(command[command.index("--plan") + 1])
    except (InvalidInputError, AttributeError):
        return None


def _list(pod: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return pod["spec"].get(name) or []


def _is_ours(container: Mapping[str, Any]) -> bool:
    return container.get("name") in {VERIFY, SIDECAR}


def _traces(pod: Mapping[str, Any]) -> bool:
    """Whether anything in the pod calls itself ours."""
    named = (item for name in ("initContainers", "containers", "volumes") for item in _list(pod, name))
    return any(str(item.get("name")).startswith(OUR_PREFIX) for item in named)
