"""A manifest is read from its own mount and from nowhere else, and what is none makes nobody wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lineward.domain.plan import PlannedVolume
from lineward_sidecar import manifests


@pytest.fixture
def volume(tmp_path: Path) -> PlannedVolume:
    """A volume with a folder of its own, beside it a manifest that is not in it."""
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "mount" / "..2026").mkdir(parents=True)
    (tmp_path / "outside.lwm").write_bytes(b"manifest")
    return PlannedVolume("data", str(tmp_path / "data"), manifest_digest="sha256:00")


def content(volume: PlannedVolume, path: str) -> bytes | None:
    with manifests.opened(replace(volume, manifest_path=path)) as found:
        return found.read() if found else None


def kubelet(mount: Path, generation: str | Path) -> str:
    """Lay the links of a ConfigMap's mount and return the manifest's path."""
    (mount / "..data").symlink_to(generation)
    (mount / "manifest.lwm").symlink_to("..data/manifest.lwm")
    return str(mount / "manifest.lwm")


@pytest.mark.parametrize("path", ["manifest.lwm", "sub/manifest.lwm", "..data"])
def test_a_file_of_the_volume_is_read(volume: PlannedVolume, path: str) -> None:
    Path(volume.path, path).write_bytes(b"manifest")
    assert content(volume, f"{volume.path}/{path}") == b"manifest"


def test_a_mounted_file_is_read(volume: PlannedVolume, tmp_path: Path) -> None:
    assert content(volume, str(tmp_path / "outside.lwm")) == b"manifest"
    (tmp_path / "mount" / "..2026" / "manifest.lwm").write_bytes(b"mounted")
    assert content(volume, kubelet(tmp_path / "mount", "..2026")) == b"mounted"


@pytest.mark.parametrize("path", ["../outside.lwm", "sub/../../outside.lwm", "./x", "sub//x", "/x", ""])
def test_no_path_leads_out_of_the_volume(volume: PlannedVolume, path: str) -> None:
    for name in ("x", "sub/x"):
        Path(volume.path, name).write_bytes(b"manifest")
    assert content(volume, f"{volume.path}/{path}") is None


def test_no_link_of_the_volume_is_followed(volume: PlannedVolume, tmp_path: Path) -> None:
    Path(volume.path, "file").symlink_to(tmp_path / "outside.lwm")
    Path(volume.path, "folder").symlink_to(tmp_path)
    assert content(volume, f"{volume.path}/file") is None
    assert content(volume, f"{volume.path}/folder/outside.lwm") is None
    Path(volume.path, "beside").symlink_to("target")
    Path(volume.path, "target").write_bytes(b"manifest")
    assert content(volume, f"{volume.path}/beside") is None


def test_a_volume_that_is_a_link_is_none(volume: PlannedVolume, tmp_path: Path) -> None:
    Path(volume.path, "m").write_bytes(b"manifest")
    (tmp_path / "link").symlink_to(volume.path)
    assert content(replace(volume, path=str(tmp_path / "link")), f"{tmp_path}/link/m") is None


def test_no_link_of_an_image_is_followed(volume: PlannedVolume, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    (mount / "manifest.lwm").symlink_to(tmp_path / "outside.lwm")
    assert content(volume, str(mount / "manifest.lwm")) is None


@pytest.mark.parametrize("generation", ["..", "../elsewhere", "..2026/inner", "absolute", "again"])
def test_links_like_the_kubelets_lead_nowhere_else(volume: PlannedVolume, tmp_path: Path, generation: str) -> None:
    mount = tmp_path / "mount"
    for folder in (tmp_path, tmp_path / "elsewhere", mount / "..2026" / "inner"):
        folder.mkdir(exist_ok=True)
        (folder / "manifest.lwm").write_bytes(b"manifest")
    (mount / "again").symlink_to(tmp_path)
    target = tmp_path / "elsewhere" if generation == "absolute" else generation
    assert content(volume, kubelet(mount, target)) is None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_makes_nobody_wait(volume: PlannedVolume, make: Callable[[str], None]) -> None:
    make(f"{volume.path}/manifest.lwm")
    assert content(volume, f"{volume.path}/manifest.lwm") is None


def test_what_is_not_there_is_no_failure(volume: PlannedVolume, tmp_path: Path) -> None:
    assert content(volume, "") is None
    assert content(volume, str(tmp_path / "nowhere" / "manifest.lwm")) is None
    assert content(volume, f"{volume.path}/manifest.lwm") is None
