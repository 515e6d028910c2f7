"""Takes the gate down before the chart goes: afterwards nothing is left that could block a pod.

The operator must be gone first, or it would put the configurations back. Runs as the chart's pre-delete hook; every
step may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lineward.domain.settings import Settings
from lineward_operator.kubeio import DEPLOYMENTS, MUTATING, PODS, VALIDATING, Kube, KubeError

DEPLOYMENT = "lineward-operator"
WAIT = 120.0
"""Seconds to wait for the operator's pod; Kubernetes gives a pod 30 s to end."""
POLL = 1.0


async def uninstall(kube: Kube, settings: Settings, say: Callable[[str], None], wait: float = WAIT) -> bool:
    """Stop the operator and delete both webhook configurations; True when none of them is left.

    The configurations are deleted even where the operator does not end in time: a gate that comes back is found and
    reported by the last look, a gate that stays without its webhook blocks every pod. The validating one goes first: a
    pod that it saw without the other would be refused for want of the verifier.
    Raises KubeError where the API server refuses.
    """
    stopped = await _stop_operator(kube, settings, say, wait)
    for kind, resource in (("validating", VALIDATING), ("mutating", MUTATING)):
        gone = await kube.delete(resource, settings.webhook_configuration)
        say(f"{kind} webhook configuration {settings.webhook_configuration}: {'deleted' if gone else 'not there'}")
    if stopped:
        return True
    say("the operator still runs; run this again once its pod is gone, or it may register the webhooks again")
    return False


async def _stop_operator(kube: Kube, settings: Settings, say: Callable[[str], None], wait: float) -> bool:
    try:
        deployment = await kube.patch(DEPLOYMENTS, DEPLOYMENT, {"spec": {"replicas": 0}}, settings.namespace)
    except KubeError as error:
        if error.missing:
            say(f"deployment {DEPLOYMENT}: not there")
            return True
        raise
    say(f"deployment {DEPLOYMENT}: scaled to 0")
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    try:
        async with asyncio.timeout(wait):
            while left := [pod["metadata"]["name"] async for pod in kube.list(PODS, settings.namespace, selector)]:
                say(f"waiting for {', '.join(left)} to end")
                await asyncio.sleep(POLL)
    except TimeoutError:
        say(f"the operator's pod did not end within {wait:.0f} s")
        return False
    say("the operator has ended")
    return True
