"""Another reader of manifest v1, written from docs/formats/manifest-v1.md alone; shares no code with Lineward.

`python second_reader.py FILE` checks a manifest and prints its root; `FILE DIR` also hashes the folder and compares.
"""

import base64
import hashlib
import os
import stat
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

Entry = tuple[bytes, bytes, int, bytes]  # kind, path, size, content


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


def mth(leaves: list[bytes]) -> bytes:
    """Section 4, over leaf data."""
    level = [H(b"\0" + leaf) for leaf in leaves]
    while len(level) > 1:  # pairing neighbours and carrying the odd one up is the same tree
        pairs = [H(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0] if level else H(b"")


def file_digest(content: bytes, chunk: int) -> bytes:
    """Section 2."""
    if len(content) <= chunk:
        return H(content)
    return mth([H(content[i : i + chunk]) for i in range(0, len(content), chunk)])


def number(data: bytes, at: int, size: int) -> int:
    must(at + size <= len(data), "cut off")
    return int.from_bytes(data[at : at + size], "big")


def parameters(data: bytes) -> tuple[int, int]:
    must(len(data) == 16 and data[:11] == b"\x89LWM\r\n\x1a\n\0\1\1", "magic, version or algorithm")
    profile, chunk = data[11], number(data, 12, 4)
    must(profile in (1, 2), "profile")
    must(4096 <= chunk <= 1 << 30 and chunk & (chunk - 1) == 0, "chunk size")
    return profile, chunk


def entry_at(data: bytes, at: int) -> tuple[Entry, int]:
    """Section 3."""
    kind, length, size = data[at : at + 1], number(data, at + 1, 2), number(data, at + 3, 8)
    must(kind in (b"F", b"X", b"L", b"D"), "kind")
    path = data[at + 11 : at + 11 + length]
    must(kind not in (b"F", b"X") or size < 1 << 63, "size of a file")
    must(kind != b"L" or 1 <= size <= 4095, "length of a target")
    must(kind != b"D" or size == 0, "size of a directory")
    content = {b"L": size, b"D": 0}.get(kind, 32)
    end = at + 11 + length + content
    must(end <= len(data), "cut off")
    names = path.split(b"/")
    must(length <= 32767 and len(names) <= 512, "length of a path")
    must(all(0 < len(n) <= 255 and n not in (b".", b"..") and b"\0" not in n for n in names), "name")
    return (kind, path, size, data[end - content : end]), end


def totals(entries: Iterable[Entry]) -> bytes:
    files = [e[2] for e in entries if e[0] in (b"F", b"X")]
    count = sum(1 for _ in entries)
    return b"E" + count.to_bytes(8, "big") + len(files).to_bytes(8, "big") + sum(files).to_bytes(8, "big")


def read(data: bytes) -> Manifest:
    """Section 5: the whole file, every rule."""
    profile, chunk = parameters(data[:16])
    entries: list[Entry] = []
    at, leaves, index = 16, [data[:16]], b""
    open_page: tuple[int, int] | None = None  # entries and bytes of a page that did not end on its mark
    while data[at : at + 1] == b"P":
        length, count = number(data, at + 1, 4), number(data, at + 5, 4)
        must(1 <= length <= 1048576 and 1 <= count <= 2048, "size of a page")
        body, at, position, found = data[at + 9 : at + 9 + length], at + 9 + length, 0, 0
        must(len(body) == length, "cut off")
        while position < length:
            entry, end = entry_at(body, position)
            leaf, position = body[position:end], end
            if open_page and not found:
                must(open_page[0] == 2048 or open_page[1] + len(leaf) > 1048576, "a page ends too early")
            must(profile == 2 or entry[0] == b"F", "kind under the portable profile")
            if entries:
                before, now = entries[-1][1].split(b"/"), entry[1].split(b"/")
                must(before < now and now[: len(before)] != before, "order")
            entries.append(entry)
            leaves.append(leaf)
            found += 1
            marked = H(b"\0" + leaf)[0] == 0
            must(not marked or position == length, "a page ends too late")
        must(found == count, "number of entries")
        open_page = None if marked else (count, length)
        index += length.to_bytes(4, "big") + count.to_bytes(4, "big") + H(body)
    must(data[at : at + 1] == b"I" and number(data, at + 1, 4) == len(index), "index")
    must(number(data, at + 5, 4) == len(index) // 40 <= 16777216, "number of pages")
    footer = at + 9 + len(index)
    must(data[at + 9 : footer] == index, "index")
    must(len(data) == footer + 65, "length of the file")
    leaves.append(data[footer : footer + 25])
    must(entries and leaves[-1] == totals(entries) and sum(e[2] for e in entries) < 1 << 63, "totals")
    must(number(data, footer + 25, 8) == at, "offset of the index")
    root = mth(leaves)
    must(data[footer + 33 :] == root, "root")
    return Manifest(profile, chunk, entries, root)


def walk(folder: bytes, profile: int, chunk: int, prefix: bytes = b"") -> list[Entry]:
    """Section 1."""
    entries: list[Entry] = []
    for name in sorted(os.listdir(folder)):
        full, path = folder + b"/" + name, prefix + name
        mode = os.lstat(full).st_mode
        if stat.S_ISDIR(mode):
            below = walk(full, profile, chunk, path + b"/")
            must(below or profile == 2 or path == b"lost+found", "empty directory")
            entries += below or ([] if path == b"lost+found" else [(b"D", path, 0, b"")])
        elif stat.S_ISREG(mode):
            with open(full, "rb") as file:
                content = file.read()
            kind = b"X" if profile == 2 and mode & 0o100 else b"F"
            entries.append((kind, path, len(content), file_digest(content, chunk)))
        else:
            must(stat.S_ISLNK(mode) and profile == 2, "special file")
            entries.append((b"L", path, len(os.readlink(full)), os.readlink(full)))
    return entries


def encode(entry: Entry) -> bytes:
    kind, path, size, content = entry
    return kind + len(path).to_bytes(2, "big") + size.to_bytes(8, "big") + path + content


def root_of(head: bytes, entries: list[Entry]) -> bytes:
    return mth([head, *map(encode, entries), totals(entries)])


def from_path(node: bytes, index: int, size: int, path: list[str]) -> bytes:
    """Root over `size` leaves from one leaf's hash and its audit path (RFC 6962 section 2.1.1)."""
    must(0 <= index < size and bool(path) == (size > 1), "index or path")
    if size == 1:
        return node
    k = 1 << (size - 1).bit_length() - 1
    if index < k:
        return H(b"\1" + from_path(node, index, k, path[:-1]) + base64.b64decode(path[-1]))
    return H(b"\1" + base64.b64decode(path[-1]) + from_path(node, index - k, size - k, path[:-1]))


def check_parameters(proof: dict[str, Any], root: bytes) -> tuple[int, int]:
    """Section 6: profile and chunk size of the set."""
    leaf = base64.b64decode(proof["parameters"]["leaf"])
    must(proof["root"] == "sha256:" + root.hex(), "another root")
    must(from_path(H(b"\0" + leaf), 0, proof["size"], proof["parameters"]["path"]) == root, "other parameters")
    return parameters(leaf)


def check_inclusion(proof: dict[str, Any], root: bytes) -> Entry:
    check_parameters(proof, root)
    leaf = base64.b64decode(proof["leaf"])
    must(from_path(H(b"\0" + leaf), proof["index"], proof["size"], proof["path"]) == root, "the entry is not in it")
    return entry_at(leaf, 0)[0]


def main(arguments: list[str]) -> int:
    with open(arguments[0], "rb") as file:
        manifest = read(file.read())
    print("sha256:" + manifest.root.hex())  # noqa: T201
    if len(arguments) > 1:
        found = walk(os.fsencode(arguments[1]), manifest.profile, manifest.chunk)
        return 0 if found == manifest.entries else 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Wrong as error:
        sys.exit(f"refused: {error}")
