"""The ways in which somebody with the right to change a webhook configuration can take pods out of its sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Drift = Callable[[Json], list[Json]]
"""Makes the webhooks of a configuration from the one that stood there."""

ELSEWHERE = {"name": "other", "namespace": "default", "path": "/", "port": 443}


def _set(**fields: Any) -> Drift:
    return lambda webhook: [{**webhook, **fields}]


def _selector(change: Callable[[Json], Json]) -> Drift:
    return lambda webhook: [{**webhook, "namespaceSelector": change(webhook["namespaceSelector"])}]


def _client(change: Callable[[Json], Json]) -> Drift:
    return lambda webhook: [{**webhook, "clientConfig": change(webhook["clientConfig"])}]


def _rule(**fields: Any) -> Drift:
    return lambda webhook: [{**webhook, "rules": [{**webhook["rules"][0], **fields}, *webhook["rules"][1:]]}]


def _and(selector: Json, **expression: Any) -> Json:
    return {**selector, "matchExpressions": [*selector["matchExpressions"], expression]}


DRIFTS: dict[str, Drift] = {
    "failure policy": lambda old: [{**old, "failurePolicy": "Ignore" if old["failurePolicy"] == "Fail" else "Fail"}],
    "match policy": _set(matchPolicy="Exact"),
    "shorter timeout": _set(timeoutSeconds=1),
    "side effects": _set(sideEffects="NoneOnDryRun"),
    "review versions": _set(admissionReviewVersions=["v1", "v1beta1"]),
    "objects by label": _set(objectSelector={"matchLabels": {"gate": "on"}}),
    "objects by expression": _set(objectSelector={"matchExpressions": [{"key": "gate", "operator": "Exists"}]}),
    "conditions": _set(matchConditions=[{"name": "never", "expression": "false"}]),
    "every namespace": _set(namespaceSelector={}),
    "namespaces by label": _selector(lambda old: {**old, "matchLabels": {"gate": "on"}}),
    "namespaces by one more expression": _selector(lambda old: _and(old, key="gate", operator="Exists")),
    "other namespaces": _selector(
        lambda old: {"matchExpressions": [{**old["matchExpressions"][0], "values": ["nowhere"]}]}
    ),
    "no rules": _set(rules=[]),
    "fewer operations": _rule(operations=["DELETE"]),
    "other resources": _rule(resources=["services"]),
    "other scope": _rule(scope="Cluster"),
    "one more rule": lambda webhook: [{**webhook, "rules": [*webhook["rules"], webhook["rules"][0]]}],
    "another service": _client(lambda old: {**old, "service": ELSEWHERE}),
    "another path": _client(lambda old: {**old, "service": {**old["service"], "path": "/allow"}}),
    "another authority": _client(lambda old: {key: value for key, value in old.items() if key != "caBundle"}),
    "a url": _client(lambda old: {"url": "https://elsewhere.example/allow", "caBundle": old["caBundle"]}),
    "renamed": _set(name="other.lineward.dev"),
    "no webhook": lambda _webhook: [],
    "one more webhook": lambda webhook: [webhook, {**webhook, "name": "other.lineward.dev"}],
}
