"""Another reader of manifest v1, written from docs/formats/manifest-v1.md alone; shares no code with Lineward.

`python second_reader.py FILE` checks a manifest and prints its root; `FILE DIR` also hashes the folder and compares.
"""

import base64
import hashlib
import os
import stat
import struct
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

Entry = tuple[bytes, bytes, int, bytes]  # kind, path, size, content
Subtree = tuple[int, bytes]  # k and the root over 2^k leaves


class Wrong(Exception):  # noqa: N818
    """The input breaks a rule of the format."""


class Manifest(NamedTuple):
    profile: int
    chunk: int
    entries: list[Entry]
    root: bytes


def H(data: bytes) -> bytes:  # noqa: N802
    return hashlib.sha256(data).digest()


def must(condition: object, rule: str) -> None:
    if not condition:
        raise Wrong(rule)


def joined(subtrees: Iterable[Subtree]) -> bytes:
    """Section 4: the root over perfect subtrees, side by side from the first leaf on."""
    row: list[Subtree] = []
    for subtree in subtrees:
        row.append(subtree)
        while len(row) > 1 and row[-2][0] == row[-1][0]:
            row[-2:] = [(row[-1][0] + 1, H(b"\1" + row[-2][1] + row[-1][1]))]
    while len(row) > 1:  # what is left over at the end is joined from the right
        row[-2:] = [(0, H(b"\1" + row[-2][1] + row[-1][1]))]
    return row[0][1]


def mth(leaves: Iterable[bytes]) -> bytes:
    return joined((0, H(b"\0" + leaf)) for leaf in leaves)


def unpack(form: str, data: bytes, at: int) -> tuple[Any, ...]:
    must(at + struct.calcsize(form) <= len(data), "cut off")
    return struct.unpack_from(form, data, at)


def parameters(data: bytes) -> tuple[int, int]:
    magic, profile, chunk = unpack(">11sBI", data, 0)
    must(len(data) == 16 and magic == b"\x89LWM\r\n\x1a\n\0\1\1", "magic, version or algorithm")
    must(profile in (1, 2) and 4096 <= chunk <= 1 << 30 and chunk & (chunk - 1) == 0, "profile or chunk size")
    return profile, chunk


def entry_at(data: bytes, at: int = 0) -> tuple[Entry, int]:
    """Section 3: the entry and where it ends."""
    kind, length, size = unpack(">cHQ", data, at)
    least, most, content = {b"L": (1, 4095, size), b"D": (0, 0, 0)}.get(kind, (0, (1 << 63) - 1, 32))
    must(kind in (b"F", b"X", b"L", b"D") and least <= size <= most, "kind or size")
    path, content = unpack(f"{length}s{content}s", data, at + 11)
    names = path.split(b"/")
    must(length <= 32767 and len(names) <= 512, "length of a path")
    must(all(0 < len(n) <= 255 and n not in (b".", b"..") and b"\0" not in n for n in names), "name")
    return (kind, path, size, content), at + 11 + length + len(content)


def encode(entry: Entry) -> bytes:
    kind, path, size, content = entry
    return struct.pack(">cHQ", kind, len(path), size) + path + content


def totals(entries: Iterable[Entry]) -> bytes:
    files = [size for kind, _, size, _ in entries if kind in (b"F", b"X")]
    return struct.pack(">cQQQ", b"E", sum(1 for _ in entries), len(files), sum(files))


def read(data: bytes) -> Manifest:
    """Section 5: the whole file, every rule."""
    profile, chunk = parameters(data[:16])
    entries: list[Entry] = []
    at, index = 16, b""
    open_page: tuple[int, int] | None = None  # entries and bytes of a page that did not end on its mark
    while data[at : at + 1] == b"P":
        length, count = unpack(">II", data, at + 1)
        must(1 <= length <= 1048576 and 1 <= count <= 2048, "size of a page")
        (body,), at, position, found = unpack(f"{length}s", data, at + 9), at + 9 + length, 0, 0
        while position < length:
            entry, position = entry_at(body, position)
            leaf = encode(entry)
            if open_page and not found:
                must(open_page[0] == 2048 or open_page[1] + len(leaf) > 1048576, "a page ends too early")
            must(profile == 2 or entry[0] == b"F", "kind under the portable profile")
            if entries:
                before, now = entries[-1][1].split(b"/"), entry[1].split(b"/")
                must(before < now and now[: len(before)] != before, "order")
            entries.append(entry)
            found += 1
            marked = H(b"\0" + leaf)[0] == 0
            must(not marked or position == length, "a page ends too late")
        must(found == count, "number of entries")
        open_page = None if marked else (count, length)
        index += struct.pack(">II", length, count) + H(body)
    must(entries and len(index) // 40 <= 16777216 and sum(e[2] for e in entries) < 1 << 63, "number of pages, or sum")
    end = totals(entries)
    root = mth([data[:16], *map(encode, entries), end])
    rest = struct.pack(">cII", b"I", len(index), len(index) // 40) + index + end + struct.pack(">Q", at) + root
    must(data[at:] == rest, "index or footer")
    return Manifest(profile, chunk, entries, root)


def walk(folder: bytes, profile: int, chunk: int, prefix: bytes = b"") -> list[Entry]:
    """Section 1, with the digests of section 2."""
    entries: list[Entry] = []
    for name in sorted(os.listdir(folder)):
        full, path, mode = folder + b"/" + name, prefix + name, os.lstat(folder + b"/" + name).st_mode
        if stat.S_ISDIR(mode):
            below = walk(full, profile, chunk, path + b"/")
            must(below or profile == 2 or path == b"lost+found", "empty directory")
            entries += below or ([] if path == b"lost+found" else [(b"D", path, 0, b"")])
        elif stat.S_ISREG(mode):
            with open(full, "rb") as file:
                content = file.read()
            chunks = [H(content[i : i + chunk]) for i in range(0, len(content), chunk)]
            kind, digest = b"X" if profile == 2 and mode & 0o100 else b"F", mth(chunks) if chunks[1:] else H(content)
            entries.append((kind, path, len(content), digest))
        else:
            must(stat.S_ISLNK(mode) and profile == 2, "special file")
            entries.append((b"L", path, len(os.readlink(full)), os.readlink(full)))
    return entries


def from_path(leaf: bytes, index: int, size: int, path: list[str]) -> bytes:
    """Root over `size` leaves from one of them and its audit path (RFC 6962 section 2.1.1)."""
    must(0 <= index < size and bool(path) == (size > 1), "index or path")
    if size == 1:
        return H(b"\0" + leaf)
    k, other = 1 << (size - 1).bit_length() - 1, base64.b64decode(path[-1])
    if index < k:
        return H(b"\1" + from_path(leaf, index, k, path[:-1]) + other)
    return H(b"\1" + other + from_path(leaf, index - k, size - k, path[:-1]))


def check_parameters(proof: dict[str, Any], root: bytes) -> tuple[int, int]:
    """Section 6: profile and chunk size of the set."""
    leaf = base64.b64decode(proof["parameters"]["leaf"])
    must(proof["root"] == "sha256:" + root.hex(), "another root")
    must(from_path(leaf, 0, proof["size"], proof["parameters"]["path"]) == root, "other parameters")
    return parameters(leaf)


def check_inclusion(proof: dict[str, Any], root: bytes) -> Entry:
    check_parameters(proof, root)
    leaf = base64.b64decode(proof["leaf"])
    must(from_path(leaf, proof["index"], proof["size"], proof["path"]) == root, "the entry is not in it")
    return entry_at(leaf)[0]


def cut(a: int, b: int, hashes: list[str]) -> Iterable[Subtree]:
    """The leaves from a to b - 1 as perfect subtrees."""
    for text in hashes:
        must(a < b, "number of hashes")
        k = max(k for k in range((b - a).bit_length()) if a % (1 << k) == 0)
        yield k, base64.b64decode(text)
        a += 1 << k
    must(a == b, "number of hashes")


def check_range(proof: dict[str, Any], root: bytes, directory: bytes, folder: bytes) -> None:
    """Section 6: the folder is `directory` of the set."""
    entries, names = walk(folder, *check_parameters(proof, root)), directory.split(b"/")
    size, first, end = proof["size"], proof["first"], proof["first"] + proof["count"]
    given, before, after = (base64.b64decode(proof[name]) for name in ("directory", "before", "after"))
    must(given == directory and 1 <= first < end < size and len(entries) == proof["count"], "directory or count")
    at_start, at_end = proof["before"] == proof["parameters"]["leaf"], after[:1] == b"E" and len(after) == 25
    must(at_start if first == 1 else entry_at(before)[0][1].split(b"/") < names, "what is before")
    must(at_end if end == size - 1 else entry_at(after)[0][1].split(b"/")[: len(names)] > names, "what is behind")
    below = (encode((kind, directory + b"/" + path, n, content)) for kind, path, n, content in entries)
    middle = ((0, H(b"\0" + leaf)) for leaf in (before, *below, after))
    left, right = cut(0, first - 1, proof["left"]), cut(end + 1, size, proof["right"])
    must(joined([*left, *middle, *right]) == root, "another folder")


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as opened:
        manifest = read(opened.read())
    print("sha256:" + manifest.root.hex())  # noqa: T201
    if sys.argv[2:]:
        sys.exit(walk(os.fsencode(sys.argv[2]), manifest.profile, manifest.chunk) != manifest.entries)
