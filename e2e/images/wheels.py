"""Python packages for the images, fetched and built outside, so that a build inside needs no network."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from e2e import cache, prerequisites
from e2e.images.buildah import ImageError

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("core", "operator", "ledger", "sidecar")
PYTHON = "3.11"
_BUILD_REQUIREMENTS = REPOSITORY / "requirements" / "build.txt"
_NEEDS = {"gcc": "gcc", f"{sysconfig.get_path('include')}/Python.h": "python3-dev"}
_GLIBC = ("2_36", "2_34", "2_28", "2_17", "2_12", "2_5")
_SKIPPED = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def requirements(file: Path) -> Path:
    """Folder with the wheels of a hash-pinned requirements file, for the images' Python and this machine's processor.

    Raises:
        ImageError: pip could not get one, or a hash differs.
    """
    folder = cache.root() / "wheels" / f"{file.stem}-{cache.files_key([file], PYTHON, platform.machine())}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(prefix=".wheels-", dir=_folder("wheels")) as scratch:
        output = Path(scratch) / "out"
        output.mkdir()
        if _pins_anything(file):
            platforms = [f"--platform=manylinux_{glibc}_{platform.machine()}" for glibc in _GLIBC]
            target = ["--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp", *platforms]
            abi = ["--abi=cp311", "--abi=abi3", "--abi=none"]
            _pip("download", "--require-hashes", "--no-deps", *target, *abi, "--requirement", file, "--dest", output)
        output.rename(folder)
    return folder


def project() -> Path:
    """The project's own wheel for the sources as they are, compiled by this machine against Python's limited API.

    Raises:
        ImageError: the build failed.
    """
    folder = cache.root() / "wheels" / f"lineward-{sources_key()}"
    if not folder.is_dir():
        prerequisites.ensure(_NEEDS)
        with tempfile.TemporaryDirectory(prefix=".wheels-", dir=_folder("wheels")) as scratch:
            output, source = Path(scratch) / "out", Path(scratch) / "src"
            _copy_sources(source)
            _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", output, source)
            output.rename(folder)
    wheels = list(folder.glob("lineward-*.whl"))
    if len(wheels) != 1:
        raise ImageError(f"{folder} should hold one wheel of the project and holds {len(wheels)}")
    return wheels[0]


def sources_key() -> str:
    """Changes with every file that the project's wheel is built from."""
    named = [f"{path.relative_to(REPOSITORY)}={cache.files_key([path])}" for path in _sources()]
    return cache.files_key([], platform.machine(), *sorted(named))


def _sources() -> list[Path]:
    top = [REPOSITORY / name for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE")]
    below = (path for name in SOURCES for path in (REPOSITORY / name).rglob("*"))
    return [path for path in (*top, *below) if path.is_file() and _matters(path)]


def _matters(path: Path) -> bool:
    return not _SKIPPED.intersection(path.parts) and path.suffix != ".so"


def _copy_sources(target: Path) -> None:
    for path in _sources():
        copy = target / path.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


def _pins_anything(file: Path) -> bool:
    return any(line.strip() and not line.startswith("#") for line in file.read_text().splitlines())


def _pip(*arguments: str | Path) -> None:
    command = [str(_python()), "-m", "pip", "--quiet", *(str(argument) for argument in arguments)]
    environment = os.environ | {"LINEWARD_NATIVE": "require"}  # an image without the compiled engine would hash slowly
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(f"pip {arguments[0]} failed:\n" + "\n".join(done.stderr.strip().splitlines()[-15:]))


def _python() -> Path:
    """An interpreter that has the pinned build requirements, in a virtual environment of its own."""
    folder = cache.root() / f"build-python-{cache.files_key([_BUILD_REQUIREMENTS], sys.version)}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "--quiet", "install", "--require-hashes", "--no-deps"]
        command = [*install, "-r", str(_BUILD_REQUIREMENTS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImageError("pip install of the build requirements failed:\n" + done.stderr.strip()[-2000:])
        (folder / "complete").touch()
    return python


def _folder(name: str) -> Path:
    folder = cache.root() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
