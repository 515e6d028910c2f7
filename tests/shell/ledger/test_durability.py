"""What the ledger acknowledged survives kill -9, and what was changed behind its back is not served."""

import http.client
import json
import random
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.shell.ledger.fakes import WRITER, LedgerProcess, token

from lineward.domain.merkle import leaf_hash, root_of

OPERATOR = token(WRITER, "11111111-4f0d-4d3c-9a44-3f7f1f3f9a01")
WRITERS = 4
COLUMNS = "'x', fingerprint, kind, namespace, run, parent, bytes, leaf"


def post(ledger: LedgerProcess, number: int) -> int:
    body = {"number": number, "padding": "x" * random.randrange(2000)}  # noqa: S311 - no secret
    raw = {"id": f"e-{number}", "kind": "verdict", "subject": "ml/Pod/x", "body": body}
    status, receipt = ledger.call("POST", "/api/v1/entries", OPERATOR, raw)
    assert status == 201, receipt
    return int(receipt["seq"])


def hammer(ledger: LedgerProcess, start: int, acknowledged: dict[str, int]) -> None:
    """Post until the server is gone, noting what it acknowledged."""
    number = start
    while True:
        try:
            seq = post(ledger, number)
        except (OSError, http.client.HTTPException):
            return
        acknowledged[f"e-{number}"] = seq
        number += WRITERS


def read_all(ledger: LedgerProcess) -> list[bytes]:
    lines: list[bytes] = []
    while True:
        text = ledger.call("GET", f"/api/v1/entries?format=lines&limit=1000&after={len(lines)}", OPERATOR)[1]
        page = text.encode().splitlines() if isinstance(text, str) else [json.dumps(text).encode()]
        if not text:
            return lines
        lines += page


def test_kill_in_the_middle_of_writes_loses_nothing_acknowledged(ledger: LedgerProcess) -> None:
    acknowledged: dict[str, int] = {}
    for turn in range(3):
        writers = [
            threading.Thread(target=hammer, args=(ledger, turn * 1_000_000 + each, acknowledged))
            for each in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(1.0 + 0.37 * turn)
        ledger.kill()
        for writer in writers:
            writer.join(timeout=60)
        ledger.start()
    assert len(acknowledged) > 50
    lines = read_all(ledger)
    entries = [json.loads(line) for line in lines]
    assert [each["seq"] for each in entries] == list(range(1, len(entries) + 1))
    stored = {each["id"]: each["seq"] for each in entries}
    assert acknowledged.items() <= stored.items()
    root = root_of(b"".join(leaf_hash(line) for line in lines))
    assert ledger.call("GET", "/api/v1/head", OPERATOR)[1] == {"size": len(lines), "root": f"sha256:{root.hex()}"}


def database(ledger: LedgerProcess) -> Path:
    return ledger.folder / "data" / "ledger.sqlite"


@pytest.fixture
def filled(ledger: LedgerProcess) -> LedgerProcess:
    for number in range(1, 4):
        post(ledger, number)
    return ledger


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET kind = 'run' WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 3",
        f"INSERT INTO entries SELECT 9, {COLUMNS} FROM entries LIMIT 1",  # noqa: S608 - constants
        f"INSERT OR REPLACE INTO entries SELECT 3, {COLUMNS} FROM entries LIMIT 1",  # noqa: S608 - constants
        "UPDATE OR REPLACE entries SET seq = 1 WHERE seq = 2",
    ],
)
def test_the_database_itself_refuses_changes(filled: LedgerProcess, statement: str) -> None:
    with (
        closing(sqlite3.connect(database(filled))) as connection,
        pytest.raises(sqlite3.DatabaseError, match="entries"),
    ):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET bytes = CAST(replace(bytes, 'e-2', 'e-9') AS BLOB) WHERE seq = 2",
        "UPDATE entries SET leaf = zeroblob(32) WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 1",
    ],
)
def test_ledger_that_was_tampered_with_does_not_start(filled: LedgerProcess, statement: str) -> None:
    assert filled.stop() == 0
    with closing(sqlite3.connect(database(filled))) as connection:
        for trigger in ("entries_never_change", "entries_never_go"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)
        connection.commit()
    started = subprocess.run(filled.command("--port", "0"), capture_output=True, text=True, timeout=30, check=False)
    assert started.returncode == 1
    assert "missing or was changed" in started.stderr


def test_later_schema_is_left_alone(filled: LedgerProcess) -> None:
    assert filled.stop() == 0
    with closing(sqlite3.connect(database(filled))) as connection:
        connection.execute("PRAGMA user_version=2")
    started = subprocess.run(filled.command("--port", "0"), capture_output=True, text=True, timeout=30, check=False)
    assert started.returncode == 1
    assert "schema version 2" in started.stderr
