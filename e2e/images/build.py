"""Builds the images that the cluster is given, each from its Dockerfile, in a context put together for it."""

import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from e2e import cache, prerequisites
from e2e.images import base, buildah, wheels
from e2e.images.buildah import ImageError
from e2e.images.wheels import REPOSITORY

_KEPT_SECONDS = 24 * 3600
_DEMO = REPOSITORY / "e2e" / "demo" / "trainer"


@dataclass(frozen=True, slots=True)
class Image:
    """One image: ``target`` is the Dockerfile's stage, ``files`` go into the context beside the wheels.

    An image with a target is the project's own and gets its wheel too.
    """

    name: str
    dockerfile: Path
    requirements: tuple[Path, ...]
    target: str = ""
    files: tuple[Path, ...] = ()

    @property
    def reference(self) -> str:
        return f"lineward.local/{self.name}:dev"

    @property
    def key(self) -> str:
        """Changes with everything that decides the image's content."""
        files = (self.dockerfile, *self.requirements, *self.files)
        return cache.files_key(files, base.reference(), self.target, wheels.sources_key() if self.target else "")


@dataclass(frozen=True, slots=True)
class Archive:
    """A built image as a file that containerd imports; ``key`` tells it from earlier builds of the same name."""

    reference: str
    path: Path
    key: str


_ROLES = ("operator", "webhook", "ledger", "sidecar")
_REQUIREMENTS = tuple(REPOSITORY / "requirements" / f"{role}.txt" for role in _ROLES)
_PROJECT = [Image(f"lineward-{role}", REPOSITORY / "Dockerfile", _REQUIREMENTS, role) for role in _ROLES]
_TRAINER = Image(
    "lineward-demo-trainer",
    _DEMO / "Dockerfile",
    (_DEMO / "requirements" / "trainer.txt",),
    files=(_DEMO / "train.py",),
)
IMAGES = {image.name: image for image in (*_PROJECT, _TRAINER)}


def build_all(names: Iterable[str] = ()) -> list[Archive]:
    """Build the named images (all, if none is named).

    Raises:
        ImageError: a name that no image has, or a build that failed.
        MissingPrerequisiteError: buildah or debootstrap.
    """
    wanted = list(names) or list(IMAGES)
    if unknown := [name for name in wanted if name not in IMAGES]:
        raise ImageError(f"no image named {', '.join(unknown)}; there are: {', '.join(IMAGES)}")
    return [build(IMAGES[name]) for name in wanted]


def build(image: Image) -> Archive:
    """The image's archive, built if the cache lacks it; archives of its earlier contents are removed after a day.

    A younger one may be about to be loaded from another checkout.
    """
    folder = cache.root() / "images"
    archive = Archive(image.reference, folder / f"{image.name}-{image.key}.tar", f"{image.name}-{image.key}")
    if not archive.path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        prerequisites.ensure(base.NEEDS)
        with buildah.exclusive():
            if not archive.path.exists():
                print(f"{image.name}: building", flush=True)
                _build_now(image, archive)
        _remove_old(folder, image)
    return archive


def _remove_old(folder: Path, image: Image) -> None:
    for path in folder.glob(f"{image.name}-*.tar"):
        if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            path.unlink()


def _build_now(image: Image, archive: Archive) -> None:
    base_image = base.ensure()
    with tempfile.TemporaryDirectory(prefix=".context-", dir=cache.root()) as scratch:
        context = Path(scratch)
        _fill(context, image)
        stage = ["--target", image.target] if image.target else []
        arguments = ["--build-arg", f"BASE_IMAGE={base_image}", *stage, "--tag", image.reference]
        buildah.run(
            "bud", "--isolation", "chroot", "--layers", "--force-rm", "--quiet", *arguments, context, folder=context
        )
        part = archive.path.with_suffix(".part")
        part.unlink(missing_ok=True)
        buildah.run("push", "--quiet", image.reference, f"docker-archive:{part}:{image.reference}")
        part.rename(archive.path)


def _fill(context: Path, image: Image) -> None:
    """A build context with the Dockerfile, its files, and every wheel it installs."""
    shutil.copy2(image.dockerfile, context / "Dockerfile")
    packages = context / "wheels" / "packages"
    (context / "requirements").mkdir()
    for file in image.requirements:
        shutil.copy2(file, context / "requirements")
        shutil.copytree(wheels.requirements(file), packages, dirs_exist_ok=True)
    for file in image.files:
        shutil.copy2(file, context)
    if image.target:
        (context / "wheels" / "project").mkdir()
        shutil.copy2(wheels.project(), context / "wheels" / "project")
