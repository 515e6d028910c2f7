"""What the operator knows of the cluster: the last seen objects, parsed once, and the queue of what to look at next.

Watch events write into it, reconciling reads from it. All of it can be lost at any moment: it is read again from the
API server at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lineward.domain import conditions as conditions_
from lineward.domain.conditions import Condition
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence, TrustRoot
from lineward.domain.overlap import Stays
from lineward.domain.plan import Refusal
from lineward.domain.podstatus import ObservedPod, Owner
from lineward.domain.policy import Policy
from lineward.domain.reasons import Reason
from lineward.domain.recall import Recall
from lineward.domain.settings import Settings
from lineward.ports import EvidenceVerifier
from lineward_operator.kubeio import NAMESPACES, VALIDATING, Json, Kube, Resource
from lineward_operator.ledger import Ledger
from lineward_operator.metrics import Metrics
from lineward_operator.owners import Owners
from lineward_operator.queue import Queue

MAX_EVIDENCE = 20_000
"""Verified bundles remembered, a few kB each."""
LABELS_KEPT = timedelta(seconds=60)
REGISTERED_KEPT = timedelta(seconds=60)
VERIFIERS = 2
"""Bundles verified at the same time; 2 to 5 ms of CPU each (shared with the event loop)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """What to look at: an object, or for `trainingruns` the workload whose uid is `name`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(slots=True)
class Tracked:
    """A pod with a verify container. `workload` is None until its owners were read, which failed first at `failing`."""

    observed: ObservedPod
    genuine: bool
    gone: bool = False
    workload: Owner | None = None
    failing: datetime | None = None


@dataclass(slots=True)
class World:
    """Everything handlers share. `now` is the clock."""

    settings: Settings
    kube: Kube
    ledger: Ledger
    metrics: Metrics
    owners: Owners
    verifier: EvidenceVerifier
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    queue: Queue[Key] = field(default_factory=Queue)
    objects: dict[str, dict[tuple[str, str], Json]] = field(default_factory=dict)
    """Own kinds by plural, then by namespace and name."""
    policies: dict[str, Policy | LinewardError] = field(default_factory=dict)
    trust_roots: dict[str, TrustRoot | LinewardError] = field(default_factory=dict)
    recalls: dict[str, Recall] = field(default_factory=dict)
    evidence: dict[tuple[Digest, Digest], Evidence | Refusal] = field(default_factory=dict)
    pods: dict[str, Tracked] = field(default_factory=dict)
    members: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Uids of known pods by namespace and uid of their workload."""
    deleted: dict[tuple[str, str], Json] = field(default_factory=dict)
    """Last state of deleted TrainingRuns, by namespace and uid of their workload, until it stands somewhere else."""
    stays: Stays = field(default_factory=Stays)
    disturbed: dict[str, dict[str, str]] = field(default_factory=dict)
    """By uid of a known pod: which pod could write to which of its volumes, as pod by volume."""
    unplaced: dict[str, set[str]] = field(default_factory=dict)
    """Uids of pods by namespace whose workload is not known yet; runs wait for those that may belong to them."""
    held: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """Since when a run, by namespace and uid of its workload, waits for pods to be placed."""
    absent: dict[str, set[str]] = field(default_factory=dict)
    """By plural, uids of known objects that were not in the last list."""
    primed: bool = False
    """Whether everything was listed once, so that what is not there does not exist."""
    last_event: datetime = field(default_factory=lambda: datetime.now(UTC))
    _labels: dict[str, tuple[datetime, Mapping[str, str]]] = field(default_factory=dict)
    _registered: tuple[datetime, str] | None = None
    _verifying: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(VERIFIERS))

    def remember(self, resource: Resource, obj: Json, *, gone: bool) -> bool:
        """Keep the newest state of an own object; False where a newer one is known already."""
        kept = self.objects.setdefault(resource.plural, {})
        key = identity(obj)
        if gone:
            kept.pop(key, None)
            return True
        if (known := kept.get(key)) and _older(obj, known):
            return False
        kept[key] = obj
        return True

    def find(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """The last seen state of an own object."""
        return self.objects.get(resource.plural, {}).get((namespace, name))

    def every(self, resource: Resource) -> Iterable[Json]:
        """All objects of an own kind."""
        return tuple(self.objects.get(resource.plural, {}).values())

    def recheck(self, *resources: Resource, after: float | None = None) -> None:
        """Look at all objects of these kinds again, now or in `after` seconds."""
        for resource in resources:
            for namespace, name in self.objects.get(resource.plural, {}):
                key = Key(resource.plural, namespace, name)
                if after is None:
                    self.queue.add(key)
                else:
                    self.queue.add_after(key, after)

    def forget_pod(self, uid: str) -> None:
        """Forget a pod that no longer exists."""
        if pod := self.pods.pop(uid, None):
            self.unplaced.get(pod.observed.namespace, set()).discard(uid)
        self.disturbed.pop(uid, None)

    async def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Labels of a namespace, at most a minute old; asked for only where a policy selects by them."""
        if not any(isinstance(policy, Policy) and policy.match.namespaces for policy in self.policies.values()):
            return {}
        known = self._labels.get(namespace)
        if known is None or self.now() - known[0] > LABELS_KEPT:
            found = await self.kube.find(NAMESPACES, namespace) or {"metadata": {}}
            known = self._labels[namespace] = (self.now(), found["metadata"].get("labels") or {})
        return known[1]

    async def registered(self) -> str:
        """Since when the API server asks the webhook (RFC 3339), at most a minute old; empty where it does not."""
        if self._registered is None or self.now() - self._registered[0] > REGISTERED_KEPT:
            found = await self.kube.find(VALIDATING, self.settings.webhook_configuration)
            if found is None:
                return ""
            self._registered = (self.now(), str(found["metadata"]["creationTimestamp"]))
        return self._registered[1]

    async def verify(self, bundle: bytes, digest: Digest, root: TrustRoot) -> Evidence | Refusal:
        """What a bundle proves under a trust root; computed once, in a thread."""
        key = (digest, root.digest)
        if key not in self.evidence:
            async with self._verifying:
                self.evidence[key] = await asyncio.to_thread(self._verify, bundle, root)
            if len(self.evidence) > MAX_EVIDENCE:
                del self.evidence[next(iter(self.evidence))]
        return self.evidence[key]

    def _verify(self, bundle: bytes, root: TrustRoot) -> Evidence | Refusal:
        try:
            return self.verifier.verify(bundle, root)
        except LinewardError as error:
            return Refusal(error.reason, error.message[:300])
        except Exception:  # noqa: BLE001 - any exception refuses (DESIGN section 6)
            _log.exception("evidence verifier failed")
            return Refusal(Reason.EVIDENCE_INVALID, "the bundle could not be verified")

    async def set_status(
        self, resource: Resource, obj: Json, wanted: Mapping[str, Any], conditions: Iterable[Condition]
    ) -> bool:
        """Write an object's status unless it is so already; True where it was written.

        `wanted` is the whole status but for conditions and observedGeneration: fields it lacks are removed.
        Raises KubeError, also where the object was replaced by another of its name.
        """
        meta, old = obj["metadata"], obj.get("status") or {}
        generation = int(meta.get("generation", 1))
        entries = conditions_.merged(old.get("conditions") or (), conditions, generation, self.now())
        new = {**wanted, "conditions": entries, "observedGeneration": generation}
        patch = {name: new.get(name) for name in {*old, *new} if old.get(name) != new.get(name)}
        if not patch:
            return False
        body = {"metadata": {"uid": meta["uid"]}, "status": patch}
        written = await self.kube.patch(resource, meta["name"], body, meta.get("namespace", ""), "status")
        self.remember(resource, written, gone=False)
        return True


def identity(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name; the namespace is empty for cluster-scoped objects."""
    return str(obj["metadata"].get("namespace", "")), str(obj["metadata"]["name"])


def _older(obj: Json, known: Json) -> bool:
    """Whether `obj` is an earlier state of the same object; versions are compared only where they are numbers.

    A watch may still deliver what was seen before our own write. Comparable since Kubernetes 1.35 (KEP-5504), and
    numbers in every release that stores in etcd.
    """
    ours, theirs = obj["metadata"], known["metadata"]
    versions = (str(ours.get("resourceVersion", "")), str(theirs.get("resourceVersion", "")))
    if ours.get("uid") != theirs.get("uid") or not all(version.isdecimal() for version in versions):
        return False
    return int(versions[0]) < int(versions[1])
