"""AdmissionReview v1, in and out: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

Turns a review into the domain's values, asks, and writes the answer. Pure but for the cache that it reads and the
counters that it moves; dry-run or not makes no difference, since nothing is written.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lineward.domain import conformity, podspec
from lineward.domain.decision import Decision, decide, render, writes_into_protected
from lineward.domain.errors import InvalidInputError, LinewardError
from lineward.domain.injection import inject, patch, strip, without_ours
from lineward.domain.plan import Refusal
from lineward.domain.podspec import Pod
from lineward.domain.policy import Mode
from lineward.domain.reasons import Reason
from lineward.domain.rules import written_claims
from lineward.domain.settings import Settings
from lineward.domain.update import added, judge_update, promised
from lineward.domain.world import World
from lineward_webhook import metrics

API_VERSION = "admission.k8s.io/v1"
MAX_UID = 128
_OPERATIONS = {"CREATE": "validate-create", "UPDATE": "validate-update"}
"""Labels come from these, for anybody in the cluster can send a request."""
Json = dict[str, Any]
_log = logging.getLogger("lineward.webhook")
_NOBODY = Pod({}, {}, podspec.Owner(), (), ())


class Surroundings(Protocol):
    """Where a review learns about the cluster."""

    def stale(self) -> str:
        """Name what cannot be relied on; empty when all can."""
        ...

    def around(self, namespace: str, pod: Pod) -> World:
        """What a decision on the pod needs to know."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `pod` and `old` are raw; `subresource` is empty for the pod itself."""

    uid: str
    operation: str
    namespace: str
    resource: str
    subresource: str
    pod: Mapping[str, Any]
    old: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, and what the metrics say of it."""

    denials: tuple[Refusal, ...] = ()
    warnings: tuple[Refusal, ...] = ()
    recorded: tuple[Refusal, ...] = ()
    pod: Pod = _NOBODY
    patch: Sequence[Json] = ()
    mode: str = "none"
    audit: Mapping[str, str] = field(default_factory=dict)


def parse(body: bytes) -> Request:
    """Read an AdmissionReview.

    Raises InvalidInputError(RequestInvalid).
    """
    try:
        review = json.loads(body)
        if (review["apiVersion"], review["kind"]) != (API_VERSION, "AdmissionReview"):
            raise ValueError(f"not an AdmissionReview of {API_VERSION}")
        request = review["request"]
        parsed = Request(
            uid=_text(request["uid"]),
            operation=_text(request["operation"]),
            namespace=_text(request.get("namespace", "")),
            resource=_text(request["resource"]["resource"]),
            subresource=_text(request.get("subResource", "")),
            pod=_mapping(request.get("object") or {}),
            old=_mapping(request["oldObject"]) if request.get("oldObject") else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{type(error).__name__}: {error}"[:200]) from error
    return parsed


def mutate(request: Request, cluster: Surroundings, settings: Settings) -> Answer:
    """Strip and inject; decides nothing, so whatever is wrong is left to the validating pass."""
    if not _concerns_us(request, settings) or request.operation != "CREATE" or cluster.stale():
        return Answer()
    pod, decision = _decide(request, cluster, settings)
    stripped = strip(request.pod)
    made = stripped
    if decision.injection and decision.allowed:
        made = inject(stripped, decision.injection, settings)
    return Answer(pod=pod, patch=patch(request.pod, made), mode=_mode(decision))


def validate(request: Request, cluster: Surroundings, settings: Settings) -> Answer:
    """Decide on the final object.

    Raises LinewardError for a pod that cannot be read; the caller refuses it.
    """
    if not _concerns_us(request, settings):
        return Answer()
    if request.operation == "UPDATE":
        return _updated(request, cluster)
    if stale := cluster.stale():
        return Answer(denials=(_not_ready(stale),))
    pod, decision = _decide(request, cluster, settings)
    denials = decision.denials
    if not denials and (objection := conformity.objection(request.pod, decision.injection, settings)):
        denials = (objection,)
    return Answer(denials, decision.warnings, decision.recorded, pod, mode=_mode(decision), audit=_audit(decision))


def refusal(error: Exception) -> Answer:
    """What becomes of a request that could not be judged: a refusal, whatever the exception."""
    if isinstance(error, LinewardError):
        return Answer(denials=(Refusal(error.reason, error.message[:200]),))
    return Answer(denials=(Refusal(Reason.INTERNAL_ERROR, "the request could not be judged"),))


def write(request: Request, answer: Answer, docs: str = "") -> Json:
    """The AdmissionReview to send back; `docs` is the URL of the page of reasons, empty for none."""
    response: Json = {"uid": request.uid, "allowed": not answer.denials}
    if answer.denials:
        message = "\n".join(render(denial, answer.pod, docs) for denial in answer.denials)
        response["status"] = {
            "code": 500 if answer.denials[0].reason is Reason.INTERNAL_ERROR else 403,
            "reason": answer.denials[0].reason.value,
            "message": message,
        }
    if answer.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(answer.patch).encode()).decode()
    if answer.warnings:
        response["warnings"] = [render(warning, answer.pod, docs) for warning in answer.warnings]
    if answer.audit:
        response["auditAnnotations"] = dict(answer.audit)
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}


def record(request: Request, answer: Answer, path: str) -> None:
    """Count what was answered, and log what was refused or would have been."""
    operation = path if path == "mutate" else _OPERATIONS.get(request.operation, "validate-other")
    decision = "denied" if answer.denials else "patched" if answer.patch else "allowed"
    reason = (answer.denials or answer.recorded or (Refusal(Reason.VERIFIED, ""),))[0].reason
    metrics.REQUESTS.labels(operation, decision, answer.mode, reason.value).inc()
    for recorded in answer.recorded:
        if "ProvenanceException" in recorded.message:
            metrics.EXCEPTIONS.labels(recorded.reason.value).inc()
    if answer.denials or answer.recorded:
        _log.info(
            decision,
            extra={
                "uid": request.uid[:MAX_UID],
                "namespace": request.namespace,
                "operation": operation,
                "mode": answer.mode,
                "owner": f"{answer.pod.owner.kind}/{answer.pod.owner.name}",
                "reasons": [f"{r.reason}: {r.volume} {r.message}" for r in (*answer.denials, *answer.recorded)][:16],
            },
        )


def _concerns_us(request: Request, settings: Settings) -> bool:
    """Lineward's own namespace is never judged, or nothing could bring Lineward back."""
    if request.resource != "pods" or request.operation not in {"CREATE", "UPDATE"}:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"{request.operation} of {request.resource[:63]} is not ours")
    return request.namespace != settings.namespace


def _decide(request: Request, cluster: Surroundings, settings: Settings) -> tuple[Pod, Decision]:
    if request.subresource:
        raise InvalidInputError(Reason.REQUEST_INVALID, f"CREATE of pods/{request.subresource[:63]} is not ours")
    pod = without_ours(podspec.parse(request.pod))
    return pod, decide(pod, cluster.around(request.namespace, pod), settings)


def _not_ready(stale: str) -> Refusal:
    return Refusal(Reason.INTERNAL_ERROR, f"the webhook is not ready ({stale}); try again")


def _updated(request: Request, cluster: Surroundings) -> Answer:
    if request.old is None:
        raise InvalidInputError(Reason.REQUEST_INVALID, "an UPDATE without its old object")
    denials = judge_update(request.old, request.pod)
    if not denials:
        denials = _new_writes(request.namespace, added(request.old, request.pod), cluster)
    plan = promised(request.old)
    pod = podspec.parse(request.pod) if denials else _NOBODY
    return Answer(denials, pod=pod, mode=plan.mode if plan and plan.mode in list(Mode) else "none")


def _new_writes(namespace: str, pod: Pod, cluster: Surroundings) -> tuple[Refusal, ...]:
    """Object to what a pod of added containers writes; the only question about a change that needs the cluster."""
    if not written_claims(pod):
        return ()
    if stale := cluster.stale():
        return (_not_ready(stale),)
    return tuple(writes_into_protected(pod, cluster.around(namespace, pod)))


def _mode(decision: Decision) -> str:
    return decision.mode.value if decision.mode else "none"


def _audit(decision: Decision) -> dict[str, str]:
    """Audit annotations; the API server prefixes their keys with the webhook's name."""
    if decision.mode is None:
        return {}
    would = sorted({refusal.reason.value for refusal in decision.recorded})
    return {"mode": decision.mode.value, **({"would-deny": ",".join(would)} if would else {})}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("not an object")
    return value
