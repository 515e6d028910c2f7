"""Finds what is gone although no watch said so.

kopf lists, then watches. What vanishes between our own first list and kopf's, or before kopf lists again because a
watch had lost its place (410 Gone), it never reports (kopf 1.45, `kopf/_cogs/clients/watching.py`). So everything is
listed once more soon after kopf did, and every few minutes. Only absence is learnt here: what an object says comes
from watches, which a list may be behind of.
"""

from __future__ import annotations

from typing import Protocol

from lineward_operator.handlers import pod
from lineward_operator.kubeio import PODS, Json, Resource
from lineward_operator.world import Key, World

KIND = "sweep"
"""Kind of the queue's keys for this work; their name is the plural."""
FIRST = 30.0
"""Seconds after the first list: by then kopf has listed, and where there was nothing to list it says nothing."""
SOON = 2.0
"""Seconds after kopf has listed."""
CONFIRM = 30.0
"""Seconds that a watch has to bring the word itself, which says more: how a pod ended."""
EVERY = 300.0


class Note(Protocol):
    """Takes note of an object's state."""

    def __call__(self, world: World, resource: Resource, obj: Json, *, gone: bool) -> None:
        """As `watch.note`."""


def soon(world: World, resource: Resource, after: float = SOON) -> None:
    """Look for missing objects in `after` seconds, or earlier if that was asked for."""
    world.queue.add_after(Key(KIND, "", resource.plural), after)


async def look(world: World, resource: Resource, note: Note) -> float:
    """List a kind, and note as gone what was known before and is missing for the second time. Raises KubeError."""
    absent = set(_known(world, resource))
    async for obj in world.kube.list(resource, metadata_only=True):
        absent.discard(str(obj["metadata"]["uid"]))
    before, world.absent[resource.plural] = world.absent.get(resource.plural, set()), absent
    known = _known(world, resource)
    for uid in sorted(absent & before & known.keys()):
        if resource is PODS:
            pod.missed(world, uid)
        else:
            note(world, resource, known[uid], gone=True)
    return CONFIRM if absent - before else EVERY


def _known(world: World, resource: Resource) -> dict[str, Json]:
    """Objects that are taken to exist, by uid; of pods only the uids are kept."""
    if resource is PODS:
        living = {uid for uid, tracked in world.pods.items() if not tracked.gone}
        return {uid: {} for uid in living | world.stays.uids()}
    return {str(obj["metadata"]["uid"]): obj for obj in world.every(resource)}
