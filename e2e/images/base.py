"""The base image: a small Debian with Python, bootstrapped from the mirror that apt on this machine uses."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from e2e import cache
from e2e.images import buildah
from e2e.images.buildah import ImageError

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
NEEDS = {
    "debootstrap": "debootstrap",
    "buildah": "buildah",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
OVERRIDE = "LINEWARD_BASE_IMAGE"
# What a running image never reads; a third of the size.
_TRIMMED = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
)


def reference() -> str:
    """The base image's name: ``$LINEWARD_BASE_IMAGE`` if set (buildah pulls it), else the bootstrapped one's."""
    if override := os.environ.get(OVERRIDE):
        return override
    key = hashlib.sha256("\n".join((SUITE, *PACKAGES, *_TRIMMED)).encode()).hexdigest()[:16]
    return f"localhost/lineward-base:{key}"


def ensure() -> str:
    """Make the base image if the store, which the caller has alone, lacks it; returns its name.

    Raises:
        ImageError: no mirror, or the bootstrap failed.
    """
    name = reference()
    if os.environ.get(OVERRIDE):
        return name
    if not buildah.has(name):
        print("base image: bootstrapping Debian with Python, a minute or two", flush=True)
        _make(name)
    return name


def mirror(targets: Iterable[str]) -> str:
    """The mirror to bootstrap from, out of apt's index targets, each ``SITE RELEASE COMPONENT``.

    Raises:
        ImageError: apt knows no mirror of the suite.
    """
    for target in targets:
        fields = target.split()
        if fields[1:] == [SUITE, "main"]:
            return fields[0]
    raise ImageError(
        f"apt has no mirror of Debian {SUITE}; set {OVERRIDE} to an image with Python 3.11 that buildah can get"
    )


def _make(name: str) -> None:
    listing = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    site = mirror(subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines())
    buildah.store().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=cache.root()) as scratch:
        root = Path(scratch) / "root"
        command = [
            *buildah.CONTAINED,
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            SUITE,
            str(root),
            site,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImageError("debootstrap failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))
        for folder in _TRIMMED:
            shutil.rmtree(root / folder, ignore_errors=True)
        container = buildah.run("from", "scratch")
        buildah.run("add", "--quiet", container, root, "/")
        buildah.run("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        buildah.run("commit", "--quiet", "--rm", container, name)
