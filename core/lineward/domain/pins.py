"""The exact state of an originating system that a source was read from; one shape per system.

Shapes follow what each system itself calls a state: a DVC file's md5 at a Git commit, a Delta table version, Kafka
offset ranges, a Pachyderm commit, an MLflow run input, a Git commit, an S3 object version, a vendor's delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lineward.domain.fields import Reader

MAX_PARTITIONS = 4096
MAX_FILES = 4096
_COMMIT = r"[0-9a-f]{40}([0-9a-f]{24})?"


@dataclass(frozen=True, slots=True)
class Pin:
    """A state of `system`; `state` is one line for people, such as `version 42`."""

    system: str
    state: str


def pin(raw: Reader, system: str) -> Pin:
    """Parse a pin; its one member must be the source's `system`, if that is given.

    Raises InvalidInputError with the reader's reason.
    """
    kind = raw.one_of(*KINDS)
    inner = raw.object(kind)
    state = KINDS[kind](inner)
    inner.done()
    raw.done()
    if system and kind != system:
        raw.fail(f"is for {kind}, but the source's system is {system}")
    return Pin(kind, state)


def _dvc(raw: Reader) -> str:
    raw.text("repo", cap=2048)
    path = raw.text("path")
    return f"{path} md5 {raw.text('md5', pattern=r'[0-9a-f]{32}([.]dir)?')} at {raw.text('commit', pattern=_COMMIT)}"


def _delta(raw: Reader) -> str:
    raw.text("commitDigest", "", pattern=r"sha256:[0-9a-f]{64}")
    raw.texts("files", cap=MAX_FILES)
    return f"{raw.text('uri')} version {raw.whole('version')}"


def _kafka(raw: Reader) -> str:
    ranges = raw.objects("ranges", cap=MAX_PARTITIONS)
    for item in ranges:
        item.whole("partition")
        start = item.whole("start")
        item.whole("end", low=start)
        item.whole("minTimestamp", 0)
        item.whole("maxTimestamp", 0)
        item.done()
    if not ranges:
        raw.fail("must not be empty", "ranges")
    return f"{raw.text('topic', cap=249)} of {raw.text('clusterId', cap=128)}, {len(ranges)} partitions"


def _pachyderm(raw: Reader) -> str:
    project = raw.text("project", "default", cap=63)
    return f"{project}/{raw.text('repo', cap=63)}@{raw.text('commit', cap=64)}"


def _mlflow(raw: Reader) -> str:
    return (
        f"run {raw.text('runId', cap=64)} input {raw.text('input', cap=512)} {raw.text('digest', '', cap=64)}".strip()
    )


def _git(raw: Reader) -> str:
    path = raw.text("path", "")
    return f"{raw.text('repo', cap=2048)} {path} at {raw.text('commit', pattern=_COMMIT)}".replace("  ", " ")


def _s3(raw: Reader) -> str:
    place = f"s3://{raw.text('bucket', cap=63)}/{raw.text('key', cap=1024)}"
    return f"{place} version {raw.text('versionId', cap=1024)}"


def _vendor(raw: Reader) -> str:
    return f"{raw.text('name', cap=512)} delivery {raw.text('delivery', cap=512)}"


KINDS: Mapping[str, Callable[[Reader], str]] = {
    "dvc": _dvc,
    "delta": _delta,
    "kafka": _kafka,
    "pachyderm": _pachyderm,
    "mlflow": _mlflow,
    "git": _git,
    "s3": _s3,
    "vendor": _vendor,
}
