"""Runs buildah on a store of the harness' own, so that the machine's images are left alone."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e import cache

# In namespaces of its own a tool that is killed takes its children and its mounts with it.
CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class ImageError(RuntimeError):
    """An image could not be built; the message ends with what the tool said."""


def store() -> Path:
    """The folder that holds buildah's layers."""
    return cache.root() / "buildah"


def run(*arguments: str | Path, folder: Path | None = None) -> str:
    """Run one buildah command and return what it printed.

    Raises:
        ImageError: it failed.
    """
    options = ["--root", str(store()), "--runroot", "/run/lineward-buildah", "--storage-driver", "overlay"]
    command = [*CONTAINED, "buildah", *options, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise ImageError(f"buildah {arguments[0]} failed:\n" + "\n".join(said[-25:]))
    return done.stdout.strip()


@contextmanager
def exclusive() -> Iterator[None]:
    """Have the store alone, free of the working containers that a killed build left."""
    with cache.locked(store().with_suffix(".lock"), "another process is building images, waiting"):
        run("rm", "--all")
        yield


def has(reference: str) -> bool:
    """Whether the store holds that image."""
    listed = run("images", "--format", "{{.Name}}:{{.Tag}}", "--filter", f"reference={reference}")
    return reference in listed.splitlines()
