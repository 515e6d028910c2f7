"""A ledger process with its fake API server; both end with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.shell.ledger.fakes import WRITER, FakeApiServer, LedgerProcess, token


@pytest.fixture
def api_server() -> Iterator[FakeApiServer]:
    fake = FakeApiServer()
    yield fake
    fake.close()


@pytest.fixture
def ledger(tmp_path: Path, api_server: FakeApiServer) -> Iterator[LedgerProcess]:
    process = LedgerProcess(tmp_path, api_server)
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerProcess]:
    """One ledger for all tests of a module."""
    fake = FakeApiServer()
    process = LedgerProcess(tmp_path_factory.mktemp("ledger"), fake)
    process.start()
    yield process
    process.kill()
    fake.close()


@pytest.fixture(scope="module")
def refusing(shared: LedgerProcess) -> Iterator[LedgerProcess]:
    """One ledger for many requests that must leave no trace; checked at the end."""
    yield shared
    status, head = shared.call("GET", "/api/v1/head", token(WRITER))
    assert (status, head["size"]) == (200, 0)
