"""A set attested in one place verifies in another: real mounts where the test may mount, else imitations.

ext4, tmpfs, overlayfs and FUSE are mounted. NFS and object stores need a server that is not here. What they do to a set
is imitated: no modes, other owners and times. docs/manifest.md lists which is which.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineward import native
from lineward.adapters.files import Outcome, create_manifest, verify_tree
from lineward.domain.errors import LinewardError
from lineward.domain.manifest import Parameters, Profile, Summary
from lineward.domain.reasons import Reason

Mount = Callable[..., None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts for the test, and unmounts afterwards whatever happened."""
    if os.geteuid():
        pytest.skip("only root may mount")
    done: list[Path] = []

    def mounted(target: Path, *arguments: str) -> None:
        target.mkdir(exist_ok=True)
        result = subprocess.run(["mount", *arguments, str(target)], check=False, capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"this kernel or sandbox does not mount that: {result.stderr.strip()}")
        done.append(target)

    yield mounted
    for target in reversed(done):
        subprocess.run(["umount", str(target)], check=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "laptop"
    for name in ("train/cat/1", "train/dog/1", "index.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name * 1000)
    (folder / "train/cat/1").chmod(0o600)
    return folder


@pytest.fixture
def signed(data: Path) -> Summary:
    return create_manifest(data)


def equal(folder: Path, summary: Summary) -> bool:
    return verify_tree(folder, summary.root, summary.parameters).outcome is Outcome.EQUAL


def test_ext4_with_its_lost_and_found(data: Path, signed: Summary, tmp_path: Path, mount: Mount) -> None:
    if not shutil.which("mkfs.ext4"):
        pytest.skip("mkfs.ext4 is missing")
    image, target = tmp_path / "disk", tmp_path / "ext4"
    image.touch()
    os.truncate(image, 16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mount(target, "-o", "loop", str(image))
    assert (target / "lost+found").is_dir()
    shutil.copytree(data, target, dirs_exist_ok=True)
    assert equal(target, signed)


FUSE = {
    "bindfs": ("bindfs", "true", "bindfs {data} {target}"),
    "squashfuse": (
        "squashfuse squashfs-tools",
        "mksquashfs {data} {image} -quiet -no-progress",
        "squashfuse {image} {target}",
    ),
}
"""Debian packages, a command that prepares, one that mounts."""


@pytest.fixture(params=FUSE)
def fuse(request: pytest.FixtureRequest, data: Path, tmp_path: Path) -> Iterator[Path]:
    """The data, mounted by FUSE."""
    package, prepare, serve = FUSE[request.param]
    if os.geteuid() or not Path("/dev/fuse").exists():
        pytest.skip("only root may mount, and only where /dev/fuse is")
    if not shutil.which(request.param):
        missing = pytest.fail if os.environ.get("LINEWARD_TOOLS") == "require" else pytest.skip
        missing(f"{request.param} is missing: apt-get install {package}")
    with (data / "large").open("wb") as file:
        file.write(os.urandom(50_000))
    target, image = tmp_path / "fuse", tmp_path / "image"
    target.mkdir()
    where = {"data": data, "image": image, "target": target}
    subprocess.run(prepare.format(**where).split(), check=True, capture_output=True)
    done = subprocess.run(serve.format(**where).split(), check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this sandbox does not mount by FUSE: {done.stderr.strip()}")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def test_fuse_reads_a_large_file_as_one_stream(data: Path, fuse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its chunks one after the other from the first to the last, never two at a time."""
    parameters = Parameters(Profile.PORTABLE, 4096)
    summary = create_manifest(data, parameters)
    calls: list[tuple[int, int]] = []
    running, hash_spans = threading.Lock(), native.hash_spans

    def watched(spans: list[tuple[int, int, int]], cursor: bytearray, mode: int) -> bytes:
        assert running.acquire(blocking=False), "two streams at a time"
        calls.extend((offset, mode) for _, offset, _ in spans)
        try:
            return hash_spans(spans, cursor, mode)
        finally:
            running.release()

    monkeypatch.setattr(native, "hash_spans", watched)
    assert verify_tree(fuse, summary.root, parameters, workers=4).outcome is Outcome.EQUAL
    assert [offset for offset, _ in calls if offset > 11_000] == list(range(12_288, 50_000, 4096))
    assert all(mode & 4 for _, mode in calls)


def test_tmpfs(data: Path, signed: Summary, tmp_path: Path, mount: Mount) -> None:
    mount(tmp_path / "tmpfs", "-t", "tmpfs", "none")
    shutil.copytree(data, tmp_path / "tmpfs", dirs_exist_ok=True)
    assert equal(tmp_path / "tmpfs", signed)


def test_image_volume(data: Path, signed: Summary, tmp_path: Path, mount: Mount) -> None:
    """What a runtime makes of an image: read-only overlayfs, each layer with a part of the files."""
    other = tmp_path / "layer"
    (other / "train").mkdir(parents=True)
    shutil.move(data / "train" / "dog", other / "train" / "dog")
    mount(tmp_path / "image", "-t", "overlay", "overlay", "-o", f"ro,lowerdir={data}:{other}")
    assert equal(tmp_path / "image", signed)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_fs_group_and_other_owners(data: Path, signed: Summary) -> None:
    """What the kubelet does for fsGroup (SetVolumeOwnership): group, rw for it, and set-group-id directories."""
    posix = create_manifest(data, Parameters(Profile.POSIX))
    for path in [data, *data.rglob("*")]:
        os.chown(path, 1234, 5678)
        path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
        os.utime(path, (1, 1))
    assert equal(data, signed)
    assert equal(data, posix)


@pytest.mark.parametrize("mode", [0o777, 0o444])
def test_an_object_store_without_modes(data: Path, signed: Summary, mode: int) -> None:
    for path in data.rglob("*"):
        if path.is_file():
            path.chmod(mode)
    assert equal(data, signed)


@pytest.mark.usefixtures("engine")
def test_the_folder_itself_may_be_named_by_a_link(data: Path, signed: Summary, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    assert equal(tmp_path / "link", signed)


def test_something_mounted_inside_is_refused(data: Path, signed: Summary, tmp_path: Path, mount: Mount) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "1").write_text("train/cat/1" * 1000)
    mount(data / "train" / "cat", "--bind", str(tmp_path / "other"))
    with pytest.raises(LinewardError) as error:
        create_manifest(data)
    assert error.value.reason is Reason.MOUNT_POINT
    assert "train/cat" in error.value.message
    found = verify_tree(data, signed.root)
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, Reason.MOUNT_POINT)


def test_a_cycle_by_mounting_is_refused(data: Path, mount: Mount) -> None:
    mount(data / "train" / "dog", "--bind", str(data))
    with pytest.raises(LinewardError) as error:
        create_manifest(data)
    assert error.value.reason is Reason.MOUNT_POINT


def test_a_mounted_folder_may_itself_be_a_mount(data: Path, signed: Summary, tmp_path: Path, mount: Mount) -> None:
    mount(tmp_path / "pod", "--bind", str(data))
    assert equal(tmp_path / "pod", signed)


def test_huge_sparse_files_are_zeros(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "huge").touch()
    os.truncate(tmp_path / "set" / "huge", 200 << 20)
    summary = create_manifest(tmp_path / "set")
    assert (summary.files, summary.bytes) == (1, 200 << 20)
