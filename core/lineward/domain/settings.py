"""What the chart tells the servers, parsed once.

The chart renders one `config.yaml` for webhook and operator; shells read the file, this module makes values of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Settings:
    """Installation-wide settings. Names in `config.yaml` are the camelCase forms of these."""

    namespace: str = "lineward-system"
    """Lineward's own namespace: never intercepted; the only one where a ProvenanceException counts."""
    cluster_name: str = "kubernetes"
    """Names the cluster in lineage events (`k8s://<cluster>/<namespace>`)."""
    sidecar_image: str = ""
    image_pull_policy: str = "IfNotPresent"
    container_restart_rules: bool = False
    """Whether the API server knows container-level restartPolicy Never on init containers (1.35 and later)."""
    ledger_url: str = ""
    ledger_audience: str = "lineward-ledger"
    openlineage_url: str = ""
    """A further OpenLineage receiver (such as Marquez) for the sidecar's and operator's events."""
    docs_url: str = ""
    """URL of the page that explains reasons, for messages; empty: they name the page in Lineward's sources."""
    allowed_injected_env: tuple[str, ...] = ()
    """Environment names that other platform webhooks may add to Lineward's containers."""
    sidecar_requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "10m", "memory": "64Mi"})
    sidecar_limits: Mapping[str, str] = field(default_factory=lambda: {"memory": "128Mi"})
    intercepted_namespaces: tuple[str, ...] = ()
    """Namespaces whose pods the webhook sees; all others are untouched."""
    webhook_service: str = "lineward-webhook"
    webhook_secret: str = "lineward-webhook-tls"  # noqa: S105 - the name of a Secret
    webhook_configuration: str = "lineward"
    """Name of both webhook configurations."""
    webhook_timeout_seconds: int = 5
    tls_mode: str = "self"
    """`self`, `certManager` or `existingSecret`."""


_TUPLES = frozenset({"allowed_injected_env", "intercepted_namespaces"})


def parse(raw: Mapping[str, Any]) -> Settings:
    """Make settings of the decoded `config.yaml`.

    Raises InvalidInputError(RequestInvalid) for unknown names or wrong types, so that a typing error in the
    chart's values stops the server instead of weakening it.
    """
    values: dict[str, Any] = {}
    for name, value in raw.items():
        attribute = _snake(name)
        if attribute not in Settings.__slots__:
            raise InvalidInputError(Reason.REQUEST_INVALID, f"unknown setting {name!r}")
        default = getattr(_DEFAULTS, attribute)
        wanted = (list, tuple) if attribute in _TUPLES else Mapping if isinstance(default, Mapping) else type(default)
        if not isinstance(value, wanted):
            raise InvalidInputError(Reason.REQUEST_INVALID, f"setting {name!r} has the wrong type")
        values[attribute] = tuple(value) if attribute in _TUPLES else value
    return Settings(**values)


_DEFAULTS = Settings()


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)
