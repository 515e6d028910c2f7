"""What somebody with rights over pods tries on Lineward's containers, and who has to refuse it."""

from __future__ import annotations

import json

from e2e.support.kubectl import Kubectl


def refused(kubectl: Kubectl, guard: str, *args: str) -> str:
    """What kubectl printed, after checking that this guard said it: the webhook refuses some of the same."""
    done = kubectl.run(*args)
    said = done.stderr.decode()
    assert done.returncode, done.stdout
    assert f"ValidatingAdmissionPolicy '{guard}'" in said, said
    return said


def change_image(pod: str, image: str) -> list[str]:
    """Arguments that give the pod's first init container, which is lineward-verify, another image."""
    patch = [{"op": "replace", "path": "/spec/initContainers/0/image", "value": image}]
    return ["patch", "pod", pod, "--type=json", "-p", json.dumps(patch)]


def enter(pod: str, container: str) -> list[str]:
    """Arguments that run a program in a container."""
    return ["exec", pod, "-c", container, "--", "/bin/true"]


def debug(pod: str, image: str, container: str) -> list[str]:
    """Arguments that start an ephemeral container among the processes of a container."""
    ephemeral = {"name": "debug", "image": image, "command": ["true"], "targetContainerName": container}
    patch = json.dumps({"spec": {"ephemeralContainers": [ephemeral]}})
    return ["patch", "pod", pod, "--subresource=ephemeralcontainers", "--type=strategic", "-p", patch]
