"""Tool descriptions are read strictly, and what they pin decides what is built."""

from pathlib import Path

import pytest
from e2e import cache
from e2e.prerequisites import MissingPrerequisiteError
from e2e.tools import DescriptionError, build, load, load_all
from e2e.tools.description import FILE, go_name

GO_MOD = "module lineward.dev/e2e/tools/thing\n\ngo 1.26.0\n\nrequire example.com/thing/v2 v2.3.4\n"


def describe(folder: Path, text: str, go_mod: str = GO_MOD) -> Path:
    tool = folder / "thing"
    tool.mkdir(exist_ok=True)
    (tool / FILE).write_text(text)
    (tool / "go.mod").write_text(go_mod)
    (tool / "go.sum").write_text("sums\n")
    return tool


def test_versions_come_from_go_mod(tmp_path: Path) -> None:
    flags = 'ldflags = ["-X main.v={example.com/thing/v2}"]\n[binaries]\nthing = "example.com/thing/v2"\n'
    assert load(describe(tmp_path, flags)).ldflags == ("-X main.v=v2.3.4",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no binaries"),
        ("tag = []\n[binaries]\na = '.'\n", "unknown field tag"),
        ("tags = 'seccomp'\n[binaries]\na = '.'\n", "tags must be a list"),
        ("cgo = 'yes'\n[binaries]\na = '.'\n", "cgo must be"),
        ("binaries = ['a']\n", "binaries must be a table"),
        ("[binaries]\na = 'x.org/a'\nb = 'y.org/a/v2'\n", "the same name"),
        ("ldflags = ['{x.org/unknown}']\n[binaries]\na = '.'\n", "go.mod does not require"),
        ("[binaries\n", FILE),
    ],
)
def test_a_description_that_can_not_be_followed_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DescriptionError, match=says):
        load(describe(tmp_path, text))


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError):
        load(tmp_path)


@pytest.mark.parametrize("changed", [FILE, "go.mod", "go.sum", "main.go"])
def test_every_input_changes_the_key(tmp_path: Path, changed: str) -> None:
    folder = describe(tmp_path, "[binaries]\nthing = '.'\n")
    (folder / "main.go").write_text("package main\n")
    before = load(folder).key
    (folder / changed).write_text((folder / changed).read_text() + "\n")
    assert load(folder).key != before


def test_a_new_source_file_changes_the_key_and_a_note_does_not(tmp_path: Path) -> None:
    folder = describe(tmp_path, "[binaries]\nthing = '.'\n")
    before = load(folder).key
    (folder / "README.md").write_text("a note")
    assert load(folder).key == before
    (folder / "more.go").write_text("package main\n")
    assert load(folder).key != before


@pytest.mark.parametrize(
    ("package", "name"),
    [(".", "thing"), ("helm.sh/helm/v3/cmd/helm", "helm"), ("x.org/tool/v2", "tool"), ("x.org/v2ray", "v2ray")],
)
def test_binaries_are_expected_where_go_puts_them(package: str, name: str) -> None:
    assert go_name(package, "thing") == name


def test_every_tool_of_the_repository_is_pinned() -> None:
    tools = load_all()
    assert {"kubernetes", "etcd", "containerd", "runc", "coredns", "helm", "pause"} <= set(tools)
    for tool in tools.values():
        needs_sums = "require" in (tool.folder / "go.mod").read_text()
        assert not needs_sums or (tool.folder / "go.sum").stat().st_size, tool.name


def test_no_binary_comes_from_two_tools() -> None:
    names = [name for tool in load_all().values() for name in tool.binaries]
    assert len(names) == len(set(names))


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("LINEWARD_CACHE", raising=False)
    assert cache.root() == tmp_path / "xdg" / "lineward"
    monkeypatch.setenv("LINEWARD_CACHE", str(tmp_path / "own"))
    assert cache.root() == tmp_path / "own" / "lineward"


@pytest.mark.parametrize("said", ["", "go1.19.8", "devel"])
def test_a_go_that_is_too_old_is_named(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("LINEWARD_CACHE", str(tmp_path))
    with pytest.raises(MissingPrerequisiteError, match=r"Go 1\.21"):
        build(["pause"])
