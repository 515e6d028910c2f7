"""Brings up what a case needs: a cluster, images in it, a private Sigstore, a namespace with storage.

Whoever asks for a part is told before it is started, and stops it again; what ran before stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from e2e import cache, images, tools
from e2e.cluster import lifecycle, runtime
from e2e.cluster import target as targets
from e2e.cluster.layout import Layout
from e2e.cluster.progress import Progress
from e2e.sigstore import trust
from e2e.sigstore.issuer import LIFETIME_SECONDS
from e2e.sigstore.layout import AUDIENCE, ENDPOINTS
from e2e.sigstore.stack import Stack
from e2e.support import nodes
from e2e.support.attesting import Attester
from e2e.support.kubectl import Kubectl
from e2e.support.storage import Storage
from e2e.support.world import Identity, World

Task = Callable[[str], AbstractContextManager[None]]
Part = Literal["cluster", "sigstore"]
Starting = Callable[[Part], object]
"""Called before a part is started, so that an interrupted start is cleared away too."""
TRAINER = images.IMAGES["lineward-demo-trainer"].reference


@dataclass(frozen=True)
class Target:
    """The cluster to work on: whether it is our own kind and whether it was started just now.

    `disk` is a folder on one of its nodes for claims; `build` names the loaded images.
    """

    kubectl: Kubectl
    helm: Path
    ours: bool
    started: bool
    disk: str
    build: str

    @property
    def how_to_stop(self) -> str:
        """What to tell people when it is left running."""
        if self.ours:
            return "The cluster and the private Sigstore are left up; `make demo-down` stops both."
        return (
            "The cluster is yours: `helm uninstall lineward -n lineward-system`, then delete the "
            "namespaces lineward-demo-storage and ml and the PersistentVolumes ml-*. "
            "`make sigstore-down` stops the private Sigstore."
        )


def cluster(task: Task, starting: Starting) -> Target:
    """Our cluster, started and given the images; with CLUSTER=existing the current context's, which must have them."""
    layout = Layout()
    ours = not targets.choice(os.environ).existing
    running = not ours or lifecycle.status(layout).running
    if ours:
        with task("the cluster: built from source the first time (10 to 20 minutes), started in seconds after that"):
            if not running:
                starting("cluster")
            lifecycle.up(layout, Progress())
        with task("images from the project's Dockerfile"):
            archives = images.build_all()
            runtime.load_all(layout, [(archive.path, archive.key) for archive in archives])
            build = cache.files_key([], *sorted(archive.key for archive in archives))
    else:
        build = "existing"
    kubectl = Kubectl(_program("kubectl"), targets.kubeconfig(layout))
    disk = str(layout.state / "disk") if ours else "/var/tmp/lineward-demo"  # noqa: S108 - on a node, made by a pod
    return Target(kubectl, _program("helm"), ours, not running, disk, build)


def sigstore(task: Task, starting: Starting, target: Target) -> Stack:
    """The private Sigstore, accepting this cluster's service accounts too if it is ours."""
    service = Stack.default()
    with task("a private Sigstore: Fulcio, CT log, Rekor, timestamp authority"):
        if not service.running:
            starting("sigstore")
        if target.ours:
            service.accept(target.kubectl.kubeconfig)
        service.up()
    return service


def stop(part: Part) -> None:
    """Stop what was started; harmless when it does not run, as after a start that was refused."""
    if part == "cluster":
        if lifecycle.owns(Layout()):
            lifecycle.down(Layout(), Progress())
    else:
        Stack.default().down()


def identity(service: Stack, email: str) -> Identity:
    """Someone who can sign now."""
    return Identity(email, ENDPOINTS.issuer_url, service.token(email, audience=AUDIENCE, lifetime=LIFETIME_SECONDS))


def disk(target: Target, namespace: str) -> Storage:
    """Storage for claims of a namespace, on a node where its pods can run. Raises NoNodeError."""
    node = nodes.usable(target.kubectl.items("nodes"))
    return Storage(target.kubectl, node, f"{target.disk}/{namespace}", TRAINER, namespace)


def world(target: Target, service: Stack, namespace: str) -> World:
    """A namespace with claims on a node's disk."""
    storage = disk(target, namespace)
    root = (service.layout.trust / trust.TRUSTED_ROOT).read_text()
    return World(target.kubectl.within(namespace), storage, Attester(service), TRAINER, root)


def _program(name: str) -> Path:
    """The pinned one where the cache has it or no other is installed, else what is on the PATH."""
    pinned = tools.binary(name)
    installed = shutil.which(name)
    if not pinned.exists() and installed:
        return Path(installed)
    tools.build([{"kubectl": "kubernetes"}.get(name, name)])
    return pinned
