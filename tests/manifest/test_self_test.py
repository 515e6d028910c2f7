"""The compiled engine refuses to be imported where one of its kernels computes wrong digests."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = Path("core/lineward/native")
NAME = "import lineward.native; print(lineward.native.NAME)"


def imported(root: Path, engine: str) -> subprocess.CompletedProcess[str]:
    """Compile the copied sources as an installation does, and import what comes of them."""
    hook = pytest.importorskip("hatch_build", reason="needs hatchling, which builds the wheel")
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    assert not hook.compile_engine(root, root / hook.TARGET, ["cc"])
    environment = os.environ | {"PYTHONPATH": str(root / "core"), "LINEWARD_ENGINE": engine}
    call = [sys.executable, "-c", NAME]
    return subprocess.run(call, env=environment, cwd=root, check=False, capture_output=True, text=True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(ROOT)
    shutil.copytree(ROOT / "core", tmp_path / "core", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("source", "right", "wrong", "engine"),
    [
        ("sha256.c", "0x428a2f98", "0x428a2f99", "scalar"),
        ("sha256.c", "0x428a2f98", "0x428a2f99", ""),
        ("sha256_x86.c", "r >= 1 && r < 13", "r >= 1 && r < 12", ""),
    ],
    ids=["scalar", "fastest", "only SHA-NI"],
)
def test_a_kernel_that_computes_wrong_digests_is_refused(
    root: Path, source: str, right: str, wrong: str, engine: str
) -> None:
    """Nor does the Python engine take its place: a CPU that errs is none to hash on."""
    sound = imported(root, engine)
    assert (sound.returncode, sound.stderr) == (0, "")
    if source == "sha256_x86.c" and sound.stdout != "sha-ni\n":
        pytest.skip(f"needs SHA-NI, found {sound.stdout.strip()} on {platform.machine()}")
    text = (root / NATIVE / source).read_text()
    assert text.count(right) == 1
    (root / NATIVE / source).write_text(text.replace(right, wrong))
    broken = imported(root, engine)
    assert broken.returncode
    assert "RuntimeError: this CPU computes wrong SHA-256 digests" in broken.stderr
    assert not broken.stdout
