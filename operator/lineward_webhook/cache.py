"""All that the webhook knows of the cluster, kept by watches; it answers one question: what is around this pod?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio.client import ApiClient

from lineward.domain.claimuse import ClaimUse
from lineward.domain.dataset import ClaimVolume, DatasetVersion, VolumeIdentity
from lineward.domain.evidence import TrustRoot
from lineward.domain.matching import DATASETS_ANNOTATION, chosen_names
from lineward.domain.plan import Refusal
from lineward.domain.podspec import Pod
from lineward.domain.policy import Policy
from lineward.domain.recall import Recall
from lineward.domain.settings import Settings
from lineward.domain.world import Bounds, BrokenPolicy, World, Writer
from lineward_webhook import census, kinds, metrics
from lineward_webhook.evidence import EvidenceStore
from lineward_webhook.kinds import Broken
from lineward_webhook.reflector import Reflector
from lineward_webhook.table import Index, Key, Table

MAX_AGE = 300.0
"""Seconds without a word from the API server after which the caches count as stale."""
PRUNE_SECONDS = 300.0
OURS = "/apis/lineward.dev/v1alpha1"


class Cache:
    """Tables and indexes of every kind that decisions depend on."""

    def __init__(self, api: ApiClient, settings: Settings, evidence: EvidenceStore) -> None:
        self.evidence = evidence
        self._datasets: Table[DatasetVersion | Broken] = Table(kinds.read_dataset, self._dataset_changed)
        self._trust_roots: Table[TrustRoot | Refusal] = Table(kinds.read_trust_root, self._trust_root_changed)
        self._policies: Table[Policy | BrokenPolicy] = Table(kinds.read_policy)
        self._recalls: Table[Recall | Broken] = Table(kinds.read_recall)
        self._exemptions = Table(kinds.read_exemption)
        self._namespaces = Table(kinds.read_labels)
        self._blocks = Table(kinds.read_block)
        self._bounds = Table(kinds.read_bounds, self._bounds_changed)
        self._pods = Table(census.facts, self._pod_changed)
        self._by_volume: Index[tuple[str, VolumeIdentity], DatasetVersion] = Index()
        self._by_namespace: Index[str, Bounds] = Index()
        self._writers: Index[tuple[str, str], Writer] = Index()
        self._readers: Index[tuple[str, str], str] = Index()
        exceptions = f"{OURS}/namespaces/{settings.namespace}/provenanceexceptions"
        self.reflectors: tuple[Reflector[Any], ...] = (
            Reflector(api, "provenancepolicies", f"{OURS}/provenancepolicies", self._policies),
            Reflector(api, "trustroots", f"{OURS}/trustroots", self._trust_roots),
            Reflector(api, "datasetrecalls", f"{OURS}/datasetrecalls", self._recalls),
            Reflector(api, "provenanceexceptions", exceptions, self._exemptions),
            Reflector(api, "datasetversions", f"{OURS}/datasetversions", self._datasets),
            Reflector(api, "namespaces", "/api/v1/namespaces", self._namespaces),
            Reflector(api, "persistentvolumeclaims", "/api/v1/persistentvolumeclaims", self._blocks),
            Reflector(api, "limitranges", "/api/v1/limitranges", self._bounds),
            Reflector(api, "pods", "/api/v1/pods", self._pods, {"fieldSelector": census.RUNNING}),
        )

    def stale(self) -> str:
        """Name a kind whose cache cannot be relied on; empty when all can."""
        for reflector in self.reflectors:
            if not reflector.synced.is_set():
                return f"{reflector.kind} not synced"
            if reflector.age() > MAX_AGE:
                return f"{reflector.kind} stale"
        return ""

    async def keep_tidy(self) -> None:
        """Forget evidence that nothing refers to, and publish the caches' state, until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(PRUNE_SECONDS)
            self.evidence.keep_only(self._wanted())

    def publish(self) -> None:
        """Set the gauges of all caches."""
        for reflector in self.reflectors:
            metrics.SYNCED.labels(reflector.kind).set(reflector.synced.is_set())
            metrics.AGE.labels(reflector.kind).set(reflector.age() if reflector.synced.is_set() else 0)

    def around(self, namespace: str, pod: Pod) -> World:
        """Gather what a decision on the pod needs; look-ups only."""
        claims = {volume.claim for volume in pod.volumes if volume.claim}
        identities = {volume.identity for volume in pod.volumes if volume.identity}
        recalls = self._recalls.rows.values()
        return World(
            namespace=namespace,
            now=datetime.now(UTC),
            namespace_labels=self._namespaces.rows.get(("", namespace)),
            policies=tuple(self._policies.rows.values()),
            trust_roots={name: root for (_, name), root in self._trust_roots.rows.items()},
            datasets={identity: self._by_volume.get((namespace, identity)) for identity in identities},
            broken_datasets=self._broken(namespace, pod.annotations),
            evidence=self.evidence.results,
            recalls=tuple(recall for recall in recalls if isinstance(recall, Recall)),
            broken_recalls=tuple(recall.message for recall in recalls if isinstance(recall, Broken)),
            exemptions=tuple(self._exemptions.rows.values()),
            block_claims=frozenset(claim for claim in claims if (namespace, claim) in self._blocks.rows),
            writers={claim: self._writers.get((namespace, claim)) for claim in claims},
            protected_readers={claim: self._readers.get((namespace, claim)) for claim in claims},
            bounds=kinds.merged(self._by_namespace.get(namespace)),
        )

    def _broken(self, namespace: str, annotations: Mapping[str, str]) -> dict[str, str]:
        chosen = (chosen_names(annotations.get(DATASETS_ANNOTATION, "")) or {}).values()
        found = {name: self._datasets.rows.get((namespace, name)) for name in chosen}
        return {name: row.message for name, row in found.items() if isinstance(row, Broken)}

    def _dataset_changed(self, key: Key, row: DatasetVersion | Broken | None) -> None:
        dataset = row if isinstance(row, DatasetVersion) else None
        self._by_volume.set(key, (((key[0], volume), dataset) for volume in dataset.volumes) if dataset else ())
        for root in self._trust_roots.rows.values():
            if dataset and isinstance(root, TrustRoot):
                self._want(dataset, root)

    def _trust_root_changed(self, _: Key, row: object) -> None:
        for dataset in self._datasets.rows.values():
            if isinstance(row, TrustRoot) and isinstance(dataset, DatasetVersion):
                self._want(dataset, row)

    def _want(self, dataset: DatasetVersion, root: TrustRoot) -> None:
        for attestation in dataset.attestations:
            if attestation.bundle and attestation.digest:
                self.evidence.want(dataset.namespace, attestation.bundle, attestation.digest, root)

    def _wanted(self) -> set[Any]:
        roots = [root.digest for root in self._trust_roots.rows.values() if isinstance(root, TrustRoot)]
        datasets = [row for row in self._datasets.rows.values() if isinstance(row, DatasetVersion)]
        return {(a.digest, root) for dataset in datasets for a in dataset.attestations for root in roots}

    def _bounds_changed(self, key: Key, row: Bounds | None) -> None:
        self._by_namespace.set(key, ((key[0], row),) if row else ())

    def _pod_changed(self, key: Key, row: ClaimUse | None) -> None:
        namespace, name = key
        facts = row or ClaimUse()
        self._writers.set(
            key,
            (((namespace, claim), Writer(name, audited=facts.audits(ClaimVolume(claim)))) for claim in facts.writes),
        )
        self._readers.set(key, (((namespace, claim), name) for claim in facts.reads if facts.enforced))
