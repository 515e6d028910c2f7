"""Images are built anew exactly when something in them changed, and from pinned packages only."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.images import IMAGES, Image, ImageError, base, build_all

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    for name in ("Dockerfile", "role.txt", "main.py"):
        (tmp_path / name).write_text(name)
    return Image("thing", tmp_path / "Dockerfile", (tmp_path / "role.txt",), files=(tmp_path / "main.py",))


@pytest.mark.parametrize("name", ["Dockerfile", "role.txt", "main.py"])
def test_every_file_changes_the_key(image: Image, tmp_path: Path, name: str) -> None:
    before = image.key
    (tmp_path / name).write_text("changed")
    assert image.key != before


def test_another_base_changes_the_key(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.key
    monkeypatch.setenv(base.OVERRIDE, "python:3.11-slim-bookworm")
    assert image.key != before


def test_only_images_with_the_project_in_them_follow_its_sources(image: Image) -> None:
    assert replace(image, target="operator").key != replace(image, target="ledger").key
    assert not IMAGES["lineward-demo-trainer"].target


def test_every_role_has_a_stage_and_pinned_packages() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    for image in IMAGES.values():
        if image.target:
            assert f"\nFROM runtime AS {image.target}\n" in dockerfile
        assert all(file.exists() for file in image.requirements)


def test_an_unknown_image_is_named() -> None:
    with pytest.raises(ImageError, match="no image named nothing"):
        build_all(["nothing"])


def test_the_mirror_is_the_one_of_the_suite() -> None:
    targets = ["http://a.example/security bookworm-security main", "http://b.example/debian bookworm main"]
    assert base.mirror(targets) == "http://b.example/debian"


@pytest.mark.parametrize("targets", [[], ["http://a.example trixie main"], ["http://a.example bookworm contrib"], [""]])
def test_without_a_mirror_the_way_out_is_named(targets: list[str]) -> None:
    with pytest.raises(ImageError, match=base.OVERRIDE):
        base.mirror(targets)


def test_requirements_are_hash_pinned_and_name_no_index() -> None:
    files = [file for image in IMAGES.values() for file in image.requirements]
    for file in {*files, *(REPOSITORY / "requirements").glob("*.txt")}:
        text = file.read_text()
        assert "://" not in text, file
        assert "--index" not in text, file
        lines = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
        assert lines
        assert all("==" in line and line.endswith("\\") for line in lines), file


def test_the_sidecar_carries_no_cluster_or_signing_client() -> None:
    pinned = (REPOSITORY / "requirements" / "sidecar.txt").read_text()
    assert not any(name in pinned for name in ("kubernetes", "sigstore", "aiohttp", "kopf"))


@pytest.mark.parametrize("role", ["operator", "webhook", "ledger", "sidecar", "cli", "dev"])
def test_what_an_extra_needs_is_pinned(role: str) -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    needed = {re.split(r"[^\w.-]", wish)[0].lower() for wish in extras[role]} - {"lineward"}
    pinned = set(re.findall(r"^([\w.-]+)==", (REPOSITORY / "requirements" / f"{role}.txt").read_text(), re.MULTILINE))
    assert {name.replace("_", "-") for name in needed} <= pinned, "run: make lock"
