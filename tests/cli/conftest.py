from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.private_sigstore.server import serve, token

from lineward.cli import failure, main
from lineward.domain.errors import LinewardError


@pytest.fixture(scope="session")
def sigstore() -> PrivateSigstore:
    return PrivateSigstore()


@pytest.fixture(scope="session")
def trust_config(sigstore: PrivateSigstore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A client trust config for a private Sigstore that listens."""
    with serve(sigstore) as url:
        path = tmp_path_factory.mktemp("trust") / "config.json"
        path.write_bytes(dumps(sigstore.trust_config(url)))
        yield path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with two files."""
    folder = tmp_path / "data"
    (folder / "part").mkdir(parents=True)
    (folder / "train.csv").write_text("age,income\n41,1\n")
    (folder / "part" / "test.csv").write_text("age,income\n7,0\n")
    return folder


@dataclass
class Command:
    """Runs `lineward` in process; an error with a reason is returned as `REASON: message` and its code."""

    def __call__(self, *arguments: str | Path) -> tuple[int, str]:
        try:
            return main.dispatch([str(argument) for argument in arguments], "lineward"), ""
        except LinewardError as error:
            return failure.exit_code(error), str(error)
        except SystemExit as left:
            return int(left.code or 0), "usage"


@pytest.fixture
def lineward(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """The command with nothing of the developer's surroundings: no CI token, no HOME that can be written."""
    for name in ("SIGSTORE_ID_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    return Command()


@pytest.fixture
def identity() -> list[str]:
    """Arguments that sign as the data team."""
    return ["--identity-token", token()]
