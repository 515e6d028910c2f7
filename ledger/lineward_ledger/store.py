"""Entries on disk: SQLite that only ever grows, with the Merkle head that commits to all of it.

An entry is acknowledged only after `synchronous=FULL` has it on the disk, so no crash loses one. The tree is that of
RFC 6962 over the entries' bytes; opening the store hashes every entry again, so a file that was tampered with is not
served.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lineward.domain.digest import Digest
from lineward.domain.merkle import Frontier, leaf_hash
from lineward_ledger.entries import Draft

SCHEMA = """
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  fingerprint BLOB NOT NULL,
  kind TEXT NOT NULL,
  namespace TEXT NOT NULL,
  run TEXT NOT NULL,
  parent TEXT NOT NULL,
  bytes BLOB NOT NULL,
  leaf BLOB NOT NULL
) STRICT;
CREATE INDEX entries_by_run ON entries (run, seq) WHERE run != '';
CREATE INDEX entries_by_parent ON entries (parent, seq) WHERE parent != '';
CREATE INDEX entries_by_kind ON entries (kind, seq);
CREATE INDEX entries_by_namespace ON entries (namespace, seq);
CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
  BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
  BEGIN SELECT RAISE(ABORT, 'entries never go'); END;
CREATE TRIGGER entries_follow BEFORE INSERT ON entries
  WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entries)
  BEGIN SELECT RAISE(ABORT, 'entries follow each other'); END;
"""
SCHEMA_VERSION = 1
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA recursive_triggers=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA busy_timeout=5000",
)
"""recursive_triggers makes INSERT OR REPLACE fire the DELETE trigger too (https://sqlite.org/lang_conflict.html)."""
_OF_RUN = """seq IN (
  SELECT seq FROM entries WHERE run = ? AND run != ''
  UNION SELECT seq FROM entries WHERE parent = ? AND parent != '')"""
"""The inequalities let SQLite use the partial indices (https://sqlite.org/partialindex.html)."""
MAX_PAGE_BYTES = 4 * 1024 * 1024


class StoreError(Exception):
    """The store cannot be used: in use by another process, of another version, or tampered with."""


@dataclass(frozen=True, slots=True)
class Head:
    """Size of the tree and its root (RFC 6962 section 2.1)."""

    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry stands. `new` is False if it had been there before; `conflict` if its id names another entry."""

    seq: int
    leaf: Digest
    new: bool = True
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries to read: those behind `after`, at most `limit`; empty texts filter nothing."""

    after: int = 0
    limit: int = 100
    kind: str = ""
    run: str = ""
    namespace: str | None = None
    """None reads all namespaces; the empty text means entries of cluster-scoped subjects."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry as it stands: its canonical bytes and their leaf hash."""

    seq: int
    bytes: bytes
    leaf: Digest


@dataclass(frozen=True, slots=True)
class Page:
    """A bounded part of an answer; `after` is where the next query goes on."""

    entries: tuple[Stored, ...]
    after: int
    more: bool


class Store:
    """The one writer. Not thread-safe: all its methods are called from one thread."""

    def __init__(self, folder: Path) -> None:
        """Open or create the store and check all of it; raises StoreError, sqlite3.Error, OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "ledger.sqlite"
        self._lock = _locked(folder / "lock")
        self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self._connection.execute(pragma)
        self._create()
        self._frontier = Frontier()
        for leaf in self._checked_leaves():
            self._frontier.append(leaf)

    def _create(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StoreError(f"{self.path} has schema version {version}; this ledger knows {SCHEMA_VERSION}")

    def _checked_leaves(self) -> Iterator[bytes]:
        rows = self._connection.execute("SELECT seq, bytes, leaf FROM entries ORDER BY seq")
        for expected, (seq, data, leaf) in enumerate(rows, 1):
            if seq != expected or leaf_hash(data) != leaf:
                raise StoreError(f"{self.path}: entry {expected} is missing or was changed")
            yield leaf

    @property
    def head(self) -> Head:
        """The head over all entries that are on the disk."""
        return Head(self._frontier.size, Digest(self._frontier.root()))

    def append(self, drafts: Sequence[Draft], at: datetime) -> list[Receipt]:
        """Append entries in one transaction; when this returns they are on the disk.

        Raises sqlite3.Error, in which case the caller must not acknowledge any of them.
        """
        receipts = []
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            size = self._frontier.size
            for draft in drafts:
                receipt = self._known(draft) or self._insert(draft, size + 1, at)
                size += receipt.new
                receipts.append(receipt)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._catch_up()
        return receipts

    def _known(self, draft: Draft) -> Receipt | None:
        found = self._connection.execute(
            "SELECT seq, leaf, fingerprint FROM entries WHERE id = ?", (draft.id,)
        ).fetchone()
        if found is None:
            return None
        seq, leaf, fingerprint = found
        return Receipt(seq, Digest(leaf), new=False, conflict=fingerprint != draft.fingerprint)

    def _insert(self, draft: Draft, seq: int, at: datetime) -> Receipt:
        data = draft.encode(seq, at)
        leaf = leaf_hash(data)
        row = (seq, draft.id, draft.fingerprint, draft.kind, draft.namespace, draft.run, draft.parent, data, leaf)
        self._connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return Receipt(seq, Digest(leaf))

    def _catch_up(self) -> None:
        """Let the tree follow what is on the disk, whatever became of the transaction."""
        rows = self._connection.execute("SELECT leaf FROM entries WHERE seq > ? ORDER BY seq", (self._frontier.size,))
        for (leaf,) in rows.fetchall():
            self._frontier.append(leaf)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        os.close(self._lock)


class Reader:
    """Reads beside the writer, by a connection that cannot write. All its methods are called from one thread."""

    def __init__(self, path: Path) -> None:
        """Open an existing store; raises sqlite3.Error."""
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )

    def read(self, query: Query, size: int) -> Page:
        """Return the entries that `query` asks for among the first `size`; raises sqlite3.Error."""
        wanted = ["seq > ?", "seq <= ?"]
        values: list[Any] = [query.after, size]
        if query.kind:
            wanted.append("kind = ?")
            values.append(query.kind)
        if query.namespace is not None:
            wanted.append("namespace = ?")
            values.append(query.namespace)
        if query.run:
            wanted.append(_OF_RUN)
            values += [query.run, query.run]
        rows = self._connection.execute(
            f"SELECT seq, bytes, leaf FROM entries WHERE {' AND '.join(wanted)} ORDER BY seq LIMIT ?",  # noqa: S608
            [*values, query.limit + 1],
        )
        return _page(rows, query, size)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _page(rows: Iterable[tuple[int, bytes, bytes]], query: Query, size: int) -> Page:
    found: list[Stored] = []
    total = 0
    for seq, data, leaf in rows:
        if found and (len(found) == query.limit or total + len(data) > MAX_PAGE_BYTES):
            return Page(tuple(found), found[-1].seq, more=True)
        found.append(Stored(seq, data, Digest(leaf)))
        total += len(data)
    return Page(tuple(found), max(size, query.after), more=False)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(f"another ledger uses {path.parent}") from None
    return descriptor
