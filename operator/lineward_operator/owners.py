"""Finds the workload that a pod is part of: up the controllers, but not into what only starts workloads on a schedule.

The first owner is the one in the plan, which was fixed at admission; owner references of a pod can be changed later.
Any answer that is not a fact (server away, timeout) is an error and tried again: a run must not be split in two. But
not for ever: tenants write owner references, and may name a kind that an aggregated API serves, and that is down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineward.domain.podstatus import Owner, plausible
from lineward_operator.kubeio import NAMESPACES, Json, Kube, KubeError, Resource

MAX_DEPTH = 8
"""Pod, ReplicaSet, Deployment are three; the deepest known chain of training operators has five."""
SCHEDULERS = frozenset({"CronJob", "CronWorkflow", "ScheduledWorkflow", "ScheduledSparkApplication", "Node"})
"""Each start of these is a run of its own. A Node owns static pods."""
MAX_KNOWN = 10_000


class Owners:
    """Reads workloads of any kind. All methods raise KubeError where the API server gave no answer."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._tops: dict[str, Owner] = {}
        self._kinds: dict[tuple[str, str], Resource] = {}

    async def top(self, namespace: str, owner: Owner, *, patient: bool = True) -> Owner:
        """Return the topmost controller, the owner itself where it has none or cannot be read.

        Where not `patient`, one that gives no answer cannot be read, if the API server itself does answer.
        """
        if owner.uid not in self._tops:
            self._tops[owner.uid] = await self._climb(namespace, owner, patient=patient)
            if len(self._tops) > MAX_KNOWN:
                del self._tops[next(iter(self._tops))]
        return self._tops[owner.uid]

    async def read(self, namespace: str, owner: Owner) -> Json | None:
        """Return the object, None where it is gone, is another one of the same name, or may not be read."""
        resource = await self._resource(owner)
        if resource is None:
            return None
        try:
            found = await self._kube.get(resource, owner.name, namespace)
        except KubeError as error:
            if error.missing or error.forbidden:
                return None
            raise
        return found if (found.get("metadata") or {}).get("uid") == owner.uid else None

    async def probe(self, namespace: str) -> None:
        """Raise KubeError where the API server answers nothing, which says nothing of any one owner."""
        await self._kube.find(NAMESPACES, namespace)

    async def _climb(self, namespace: str, owner: Owner, *, patient: bool) -> Owner:
        for _ in range(MAX_DEPTH):
            try:
                found = await self.read(namespace, owner)
            except KubeError:
                if patient:
                    raise
                await self.probe(namespace)
                return owner
            above = _controller((found or {}).get("metadata") or {})
            if above is None or above.kind in SCHEDULERS:
                return owner
            owner = above
        return owner

    async def _resource(self, owner: Owner) -> Resource | None:
        if not owner.api_version or not plausible(owner):
            return None
        key = (owner.api_version, owner.kind)
        if key not in self._kinds:
            try:
                listed = await self._kube.discover(owner.api_version)
            except KubeError as error:
                if error.missing or error.forbidden:
                    return None
                raise
            for entry in listed.get("resources") or ():
                if "/" not in entry["name"]:
                    self._kinds[owner.api_version, entry["kind"]] = _resource(owner.api_version, entry)
        return self._kinds.get(key)


def _resource(api_version: str, entry: Mapping[str, Any]) -> Resource:
    group, _, version = api_version.rpartition("/")
    return Resource(group, version, str(entry["name"]), bool(entry.get("namespaced")))


def _controller(metadata: Mapping[str, Any]) -> Owner | None:
    for ref in metadata.get("ownerReferences") or ():
        owner = Owner(str(ref["kind"]), str(ref["name"]), str(ref["uid"]), str(ref["apiVersion"]))
        if ref.get("controller") and plausible(owner):
            return owner
    return None
