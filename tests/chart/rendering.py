"""Renders the chart with the real Helm, which is built into the cache if it is not there."""

from __future__ import annotations

import copy
import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from e2e import tools

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "charts" / "lineward"
VALUES = ROOT / "e2e" / "chart-values.yaml"
NAMESPACE = "lineward-system"
KUBERNETES = "1.35.4"
Object = dict[str, Any]


class RefusedError(Exception):
    """Helm refused the values; the message is what it said."""


@functools.cache
def helm() -> str:
    return str(tools.binary("helm"))


def render(values: Object | None = None, *, namespace: str = NAMESPACE, kubernetes: str = KUBERNETES) -> str:
    """The chart's manifests and hooks as text. Raises RefusedError."""
    return _cached(json.dumps(values or {}, sort_keys=True), namespace, kubernetes)


def render_afresh(values: str, namespace: str = NAMESPACE, kubernetes: str = KUBERNETES) -> str:
    """The same for values as JSON text, by a new run of Helm."""
    command = [helm(), "template", "lineward", str(CHART), "--namespace", namespace, "--kube-version", kubernetes]
    done = subprocess.run(
        [*command, "--values", str(VALUES), "--values", "-"], input=values, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


_cached = functools.cache(render_afresh)


def objects(values: Object | None = None, **where: str) -> list[Object]:
    """The same, parsed."""
    return copy.deepcopy(_parsed(render(values, **where)))


@functools.cache
def _parsed(text: str) -> list[Object]:
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


def kind(name: str, values: Object | None = None, **where: str) -> list[Object]:
    return [found for found in objects(values, **where) if found["kind"] == name]


def one(kind_: str, name: str, values: Object | None = None, **where: str) -> Object:
    (found,) = [each for each in kind(kind_, values, **where) if each["metadata"]["name"] == name]
    return found


def workloads(values: Object | None = None) -> list[Object]:
    return [found for found in objects(values) if found["kind"] in {"Deployment", "StatefulSet", "Job"}]


def pod(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def is_hook(found: Object) -> bool:
    return "helm.sh/hook" in found["metadata"].get("annotations", {})
