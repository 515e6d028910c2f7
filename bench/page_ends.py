"""Why page ends depend on content: what two versions of a set have in common, cut so and by a fixed number of entries.

A page of the new version counts where the old one has the same bytes in a page. Names and digests are made up. With
fixed pages much depends on the place of a change, so each figure is the mean of a few random places.
"""

from __future__ import annotations

import hashlib
import random
import statistics
from array import array
from collections.abc import Callable

from lineward import native
from lineward.domain.entry import Entry, Kind
from lineward.domain.manifest import Page
from lineward.domain.manifest_writer import Pager

ENTRIES = 200_000
PAGE_ENTRIES = 256
"""Of a fixed page, and what a page whose end depends on content has on average."""
DRAWS = 5
Set = dict[bytes, bytes]
"""Path to the content that is hashed."""


def entries(files: Set) -> list[bytes]:
    return [Entry(Kind.FILE, path, 1, hashlib.sha256(files[path]).digest()).encode() for path in sorted(files)]


def fixed(all_entries: list[bytes]) -> set[bytes]:
    return {b"".join(all_entries[at : at + PAGE_ENTRIES]) for at in range(0, len(all_entries), PAGE_ENTRIES)}


def by_content(all_entries: list[bytes]) -> set[bytes]:
    pages: list[Page] = []
    pager = Pager(pages.append)
    blob, lengths = b"".join(all_entries), array("I", map(len, all_entries)).tobytes()
    pager.extend(blob, lengths, native.leaf_hashes(blob, lengths))
    pager.flush()
    return {page.body for page in pages}


def modified(files: Set, count: int) -> Set:
    return files | dict.fromkeys(random.sample(sorted(files), count), b"another")


def inserted(files: Set, count: int) -> Set:
    return files | {path + b"+": b"new" for path in random.sample(sorted(files), count)}


def inserted_run(files: Set, count: int) -> Set:
    place = random.sample(sorted(files), 1)[0]
    return files | {b"%s+%06d" % (place, number): b"new" for number in range(count)}


def deleted(files: Set, count: int) -> Set:
    gone = set(random.sample(sorted(files), count))
    return {path: content for path, content in files.items() if path not in gone}


CHANGES: list[tuple[str, Callable[[Set, int], Set], int]] = [
    ("20 entries modified", modified, 20),
    ("1 entry inserted", inserted, 1),
    ("20 entries inserted", inserted, 20),
    ("200 entries inserted", inserted, 200),
    ("a run of 2,000 inserted", inserted_run, 2000),
    ("20 entries deleted", deleted, 20),
]


def main() -> None:
    random.seed(1)
    old = {b"train/%04d/%07d.jpeg" % (number // 1000, number): b"%d" % number for number in range(ENTRIES)}
    cuts = [(cut, cut(entries(old))) for cut in (fixed, by_content)]
    print(f"| change to {ENTRIES} entries | pages of {PAGE_ENTRIES} entries | content-defined ends |")
    print("|---|---|---|")
    for name, change, count in CHANGES:
        shares: tuple[list[float], list[float]] = ([], [])
        for _ in range(DRAWS):
            after = entries(change(old, count))
            for found, (cut, before) in zip(shares, cuts, strict=True):
                pages = cut(after)
                found.append(len(pages & before) / len(pages))
        print(f"| {name} | {statistics.mean(shares[0]):.1%} | {statistics.mean(shares[1]):.1%} |", flush=True)


if __name__ == "__main__":
    main()
