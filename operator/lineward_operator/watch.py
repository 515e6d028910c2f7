"""Joins kopf's watches to the handlers: every event is noted at once, and its object looked at from the queue.

kopf's own create, update and resume handlers are not used. They keep progress in the objects and act on edges; here
every event says only that something changed, so a restart finds nothing to do and writes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import kopf

from lineward_operator import sweep
from lineward_operator.handlers import (
    datasetrecall,
    datasetversion,
    pod,
    provenanceexception,
    provenancepolicy,
    trainingrun,
    trustroot,
)
from lineward_operator.health import LEASE
from lineward_operator.kubeio import (
    DATASET_RECALLS,
    DATASET_VERSIONS,
    LEASES,
    PODS,
    PROVENANCE_EXCEPTIONS,
    PROVENANCE_POLICIES,
    TRAINING_RUNS,
    TRUST_ROOTS,
    Json,
    Resource,
)
from lineward_operator.world import Key, World, identity


class Seen(Protocol):
    """Takes note of an object's state."""

    def __call__(self, world: World, obj: Json, *, gone: bool) -> None:
        """`gone` says that the object was deleted and this was its last state."""


Reconcile = Callable[[World, str, str], Awaitable[float | None]]

HANDLERS: dict[Resource, tuple[Seen, Reconcile]] = {
    TRUST_ROOTS: (trustroot.seen, trustroot.reconcile),
    PROVENANCE_POLICIES: (provenancepolicy.seen, provenancepolicy.reconcile),
    DATASET_RECALLS: (datasetrecall.seen, datasetrecall.reconcile),
    PROVENANCE_EXCEPTIONS: (provenanceexception.seen, provenanceexception.reconcile),
    DATASET_VERSIONS: (datasetversion.seen, datasetversion.reconcile),
    TRAINING_RUNS: (trainingrun.seen, trainingrun.reconcile),
    PODS: (pod.seen, pod.reconcile),
}
"""In the order in which they are listed at the start: what others are judged by comes first."""
_RECONCILE = {resource.plural: reconcile for resource, (_, reconcile) in HANDLERS.items()}
_RESOURCES = {resource.plural: resource for resource in HANDLERS}

_log = logging.getLogger(__name__)


def note(world: World, resource: Resource, obj: Json, *, gone: bool) -> None:
    """Take note of an object's state, and have it looked at; one that cannot be read stops nobody else."""
    try:
        HANDLERS[resource][0](world, obj, gone=gone)
    except Exception:  # noqa: BLE001 - whatever a tenant wrote
        _log.exception("cannot read an object", extra={"kind": resource.plural, "object": "/".join(identity(obj))})
        return
    if resource is PODS:
        if obj["metadata"]["uid"] in world.pods:
            world.queue.add(Key(PODS.plural, obj["metadata"]["namespace"], obj["metadata"]["uid"]))
    elif resource is not TRAINING_RUNS and not gone:
        world.queue.add(Key(resource.plural, *identity(obj)))


async def work(world: World, key: Key) -> float | None:
    """Reconcile one key of the queue."""
    if key.kind == sweep.KIND:
        return await sweep.look(world, _RESOURCES[key.name], note)
    return await _RECONCILE[key.kind](world, key.namespace, key.name)


async def prime(world: World) -> None:
    """List everything once, so that nothing is decided on half of the picture. Raises KubeError."""
    for resource in HANDLERS:
        async for obj in world.kube.list(resource):
            note(world, resource, obj, gone=False)
    world.primed = True


def registry(world: World) -> kopf.OperatorRegistry:
    """Handlers for kopf: one per kind, and one for the heartbeat."""
    made = kopf.OperatorRegistry()
    for resource in HANDLERS:
        kopf.on.event(resource.group, resource.version, resource.plural, registry=made, id=resource.plural)(
            _handler(world, resource)
        )
    kopf.on.event(LEASES.group, LEASES.version, LEASES.plural, registry=made, id="heartbeat")(_heartbeat(world))
    # The client library looks for KUBECONFIG when it is imported, before arguments are read: it will do in a pod only.
    login = kopf.login_with_kubeconfig if os.environ.get("KUBECONFIG") else kopf.login_via_client
    kopf.on.login(registry=made, backoff=5)(login)
    return made


def settings() -> kopf.OperatorSettings:
    """Settings for kopf; figures as measured with 10,000 objects (kopf 1.45)."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.posting.enabled = False
    made.scanning.disabled = True
    made.watching.server_timeout = 300
    made.watching.client_timeout = 330
    made.watching.connect_timeout = 5
    made.watching.chunk_size = 500
    made.watching.field_selectors[LEASES.group, LEASES.version, LEASES.plural] = f"metadata.name={LEASE}"
    made.networking.connect_timeout = 5
    made.networking.request_timeout = 30
    made.queueing.idle_timeout = 0.5
    made.execution.max_workers = 2
    return made


def _handler(world: World, resource: Resource) -> Callable[..., Awaitable[None]]:
    async def handle(event: Any, **_: Any) -> None:
        world.last_event = world.now()
        if event["type"] is None:  # kopf has listed
            sweep.soon(world, resource)
        note(world, resource, dict(event["object"]), gone=event["type"] == "DELETED")

    return handle


def _heartbeat(world: World) -> Callable[..., Awaitable[None]]:
    async def handle(**_: Any) -> None:
        world.last_event = world.now()

    return handle
