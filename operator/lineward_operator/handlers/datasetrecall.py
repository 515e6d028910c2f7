"""DatasetRecall: says how far it reaches, and has everything it touches judged again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from lineward.domain import dataset as datasets
from lineward.domain import recall as recalls
from lineward.domain.conditions import Condition, Status, Type
from lineward.domain.dataset import DatasetVersion
from lineward.domain.errors import LinewardError
from lineward.domain.evidence import Evidence, Signer, TrustRoot
from lineward.domain.recall import Recall
from lineward_operator.handlers.datasetversion import evidence
from lineward_operator.kubeio import DATASET_RECALLS, DATASET_VERSIONS, TRAINING_RUNS, Json
from lineward_operator.world import World


def seen(world: World, obj: Json, *, gone: bool) -> None:
    """Note a recall; every DatasetVersion is judged again where it changed."""
    name = obj["metadata"]["name"]
    before = world.recalls.get(name)
    if not world.remember(DATASET_RECALLS, obj, gone=gone):
        return
    world.recalls.pop(name, None)
    if not gone:
        with suppress(LinewardError):
            world.recalls[name] = recalls.parse(obj)
    if before != world.recalls.get(name):
        world.recheck(DATASET_VERSIONS)


async def reconcile(world: World, namespace: str, name: str) -> float | None:
    """Set Ready, whose message says how many versions and runs the recall reaches."""
    obj = world.find(DATASET_RECALLS, namespace, name)
    if obj is None:
        return None
    try:
        recall = recalls.parse(obj)
    except LinewardError as error:
        ready = Condition(Type.READY, Status.FALSE, error.reason, error.message)
    else:
        reached = [dataset for dataset in _versions(world) if await _reaches(world, recall, dataset)]
        ready = Condition(Type.READY, Status.TRUE, message=_reach(reached, _runs(world, recall, reached)))
    await world.set_status(DATASET_RECALLS, obj, {}, [ready])
    return None


def _versions(world: World) -> Iterable[DatasetVersion]:
    for obj in world.every(DATASET_VERSIONS):
        try:
            yield datasets.parse(obj)
        except LinewardError:
            continue


async def _reaches(world: World, recall: Recall, dataset: DatasetVersion) -> bool:
    if recall.covers(dataset, None, Signer()):
        return True
    for root in [root for root in world.trust_roots.values() if isinstance(root, TrustRoot)]:
        for proven in await evidence(world, dataset, root):
            if isinstance(proven, Evidence) and recall.covers(dataset, proven.provenance, proven.signer):
                return True
    return False


def _runs(world: World, recall: Recall, reached: Iterable[DatasetVersion]) -> int:
    """Runs that read a reached version, or that a recall by root or name finds although the version is gone."""
    versions = {(dataset.dataset, dataset.version) for dataset in reached}
    return sum(
        any(
            _read(volume, recall, versions)
            for pod in (run.get("status") or {}).get("pods") or ()
            for volume in pod.get("volumes") or ()
        )
        for run in world.every(TRAINING_RUNS)
    )


def _read(volume: Json, recall: Recall, versions: set[tuple[str, str]]) -> bool:
    dataset, version = volume.get("dataset", ""), volume.get("version", "")
    if (dataset, version) in versions:
        return True
    if recall.source or recall.consent or recall.names_signer:
        return False
    return (
        recall.dataset in {"", dataset}
        and recall.version in {"", version}
        and (recall.root is None or str(recall.root) in {volume.get("root"), volume.get("expected")})
    )


def _reach(reached: list[DatasetVersion], runs: int) -> str:
    return f"reaches {len(reached)} version{_s(len(reached))} and {runs} run{_s(runs)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
