from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.private_sigstore.server import serve, token

from lineward.cli import failure, main
from lineward.domain.errors import LinewardError

OFFLINE = (("verify",), ("policy",), ("manifest",), ("trust-root", "show"), ("trust-root", "check"))
"""Commands that use no network, unless `--cluster` asks for it."""


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
    """Runs `lineward` in process; an error with a reason is returned as `REASON: message` and its code.

    No command may leave anything in HOME, and what is offline may not even try to reach something.
    """

    home: Path

    def __call__(self, *arguments: str | Path) -> tuple[int, str]:
        given = [str(argument) for argument in arguments]
        with _network(given):
            ended = self._run(given)
        assert not list(self.home.iterdir()), "HOME was written to"
        return ended

    def _run(self, arguments: list[str]) -> tuple[int, str]:
        try:
            return main.dispatch(arguments, "lineward"), ""
        except LinewardError as error:
            return failure.exit_code(error), str(error)
        except SystemExit as left:
            return int(left.code or 0), "usage"


def _network(arguments: list[str]) -> AbstractContextManager[None]:
    asked = "--cluster" in arguments or not any(arguments[: len(name)] == [*name] for name in OFFLINE)
    return nullcontext() if asked else _none()


@contextmanager
def _none() -> Iterator[None]:
    """Nothing looks up a name or connects, or the test fails, whatever the command made of the error."""
    tried: list[object] = []

    def refuse(*arguments: object, **_: object) -> NoReturn:
        tried.append(arguments)
        raise OSError("no network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        patch.setattr(socket, "create_connection", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield
    assert not tried, "it tried to use the network"


@pytest.fixture
def lineward(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command with nothing of the developer's surroundings: no CI token, and an empty HOME."""
    for name in ("SIGSTORE_ID_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    return Command(home)


@pytest.fixture
def identity() -> list[str]:
    """Arguments that sign as the data team."""
    return ["--identity-token", token()]
