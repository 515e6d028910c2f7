"""Writes the test vectors of manifest v1. Run it only to add vectors: after 0.1.0 none may change.

A folder is described by its entries: [kind, path in base64, content], where content is text, or [byte, length] for a
file of one repeated byte.
"""

import base64
import hashlib
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

other: Any = importlib.import_module("second_reader")

FOLDER = HERE / "manifest-v1"
Content = str | tuple[int, int]
Item = tuple[str, bytes, Content]


def described() -> dict[str, tuple[str, int, list[Item]]]:
    sizes = (0, 1, 4095, 4096, 4097, 12288, 40961)
    names = [
        b"a",
        b"a-b",
        b"a.b/c",
        b"a b",
        b"aa",
        b"b/a",
        b"b-/a",
        b"b/\xff",
        b"\xff\xfe",
        b".git/config",
        b"\x01",
        b"A",
    ]
    long: list[Item] = [("F", f"d{i:04}/".encode() * 50 + b"x" * 200 + str(i).encode(), "") for i in range(3)]
    return {
        "one-empty-file": ("portable", 8 << 20, [("F", b"empty", "")]),
        "names": ("portable", 8 << 20, [("F", name.replace(b"a.b", b"a,b"), "x") for name in names]),
        "chunks": ("portable", 4096, [("F", str(n).encode(), (n % 251, n)) for n in sizes]),
        "posix": (
            "posix",
            65536,
            [
                ("F", b"data/plain", "1"),
                ("X", b"data/run.sh", "#!/bin/sh\n"),
                ("L", b"data/link", "../somewhere"),
                ("D", b"empty", ""),
                ("L", b"self", "self"),
            ],
        ),
        "pages": ("portable", 8 << 20, [("F", f"{i % 7}/{i:05}".encode(), str(i)) for i in range(1500)]),
        "full-page": ("portable", 8 << 20, unmarked(2100)),
        "deep-and-long": ("portable", 8 << 20, long),
    }  # fmt: skip


def unmarked(count: int) -> list[Item]:
    """Entries of which none ends a page by itself, so that the limit of 2,048 does."""
    found: list[Item] = []
    number = 0
    while len(found) < count:
        path, text = f"{number:06}".encode(), ""
        leaf: bytes = other.encode((b"F", path, 0, hashlib.sha256(b"").digest()))
        if hashlib.sha256(b"\0" + leaf).digest()[0]:
            found.append(("F", path, text))
        number += 1
    return found


def build(folder: Path, items: list[Item]) -> None:
    """Make the folder that is described."""
    for kind, path, content in items:
        target = folder / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "L":
            target.symlink_to(str(content))
        elif kind == "D":
            target.mkdir()
        else:
            target.write_bytes(content.encode() if isinstance(content, str) else bytes([content[0]]) * content[1])
            target.chmod(0o755 if kind == "X" else 0o644)


def assemble(pages: list[list[bytes]], head: bytes, **changed: Any) -> bytes:
    """A manifest from encoded entries and wilful faults."""
    leaves = [leaf for page in pages for leaf in page]
    entries = []
    for leaf in leaves:
        try:
            entries.append(other.entry_at(leaf, 0)[0])
        except other.Wrong:
            entries.append((b"F", b"", 0, b""))
    totals: bytes = changed.get("totals", other.totals(entries))
    body = head
    index: bytes = b""
    for page in pages:
        data = b"".join(page)
        size = len(data).to_bytes(4, "big") + len(page).to_bytes(4, "big")
        body += b"P" + size + data
        index += size + hashlib.sha256(data).digest()
    index = changed.get("index", index)
    at = len(body) + changed.get("offset", 0)
    body += b"I" + len(index).to_bytes(4, "big") + changed.get("count", len(pages)).to_bytes(4, "big") + index
    root: bytes = changed.get("root", other.mth([head, *leaves, totals]))
    body += totals + at.to_bytes(8, "big") + root
    return bytes(body + changed.get("tail", b""))


def faults() -> dict[str, bytes]:
    """Manifests that are consistent but for one fault each."""
    empty = hashlib.sha256(b"").digest()
    head = bytes.fromhex("894c574d0d0a1a0a0001010100800000")
    posix = head[:11] + b"\2" + head[12:]

    def entry(path: bytes, kind: bytes = b"F", size: int = 0, content: bytes = empty) -> bytes:
        return bytes(other.encode((kind, path, size, content)))

    good = [entry(b"a"), entry(b"b")]
    cases = {
        "version": assemble([good], head[:8] + b"\0\2" + head[10:]),
        "algorithm": assemble([good], head[:10] + b"\2" + head[11:]),
        "profile": assemble([good], head[:11] + b"\3" + head[12:]),
        "chunk-size-not-a-power": assemble([good], head[:12] + (8 << 20 | 1).to_bytes(4, "big")),
        "chunk-size-too-small": assemble([good], head[:12] + (2048).to_bytes(4, "big")),
        "no-entries": assemble([], head),
        "empty-page": assemble([good, []], head),
        "order": assemble([good[::-1]], head),
        "twice": assemble([[entry(b"a"), entry(b"a")]], head),
        "order-by-bytes": assemble([[entry(b"a-b"), entry(b"a/b")]], head),
        "file-and-directory": assemble([[entry(b"a"), entry(b"a/b")]], head),
        "page-too-early": assemble([good[:1], good[1:]], head),
        "index": assemble([good], head, index=bytes(40)),
        "pages": assemble([good], head, count=2),
        "offset": assemble([good], head, offset=1),
        "root": assemble([good], head, root=bytes(32)),
        "tail": assemble([good], head, tail=b"\0"),
        "totals-entries": assemble([good], head, totals=b"E" + b"".join(n.to_bytes(8, "big") for n in (3, 2, 0))),
        "totals-bytes": assemble([good], head, totals=b"E" + b"".join(n.to_bytes(8, "big") for n in (2, 2, 1))),
        "kind": assemble([[entry(b"a", b"Z")]], posix),
        "symlink-in-portable": assemble([[entry(b"a", b"L", 1, b"t")]], head),
        "executable-in-portable": assemble([[entry(b"a", b"X")]], head),
        "directory-in-portable": assemble([[entry(b"a", b"D", 0, b"")]], head),
        "directory-with-size": assemble([[entry(b"a", b"D", 1, b"")]], posix),
        "symlink-without-target": assemble([[entry(b"a", b"L", 0, b"")]], posix),
        "symlink-too-long": assemble([[entry(b"a", b"L", 4096, b"t" * 4096)]], posix),
        "file-too-large": assemble([[entry(b"a", size=1 << 63)]], head),
        "sum-too-large": assemble([[entry(b"a", size=(1 << 63) - 1), entry(b"b", size=1)]], head),
    }
    for name, path in {
        "absolute": b"/a", "parent": b"a/../b", "dot": b"./a", "double-slash": b"a//b", "trailing-slash": b"a/",
        "empty-path": b"", "nul": b"a\0b", "long-name": b"x" * 256, "too-deep": b"/".join([b"d"] * 513),
        "too-long": b"/".join([b"x" * 255] * 129),
    }.items():  # fmt: skip
        cases[f"path-{name}"] = assemble([[entry(path)]], head)
    whole = assemble([good], head)
    cases |= {"cut-off": whole[:-1], "nothing": b"", "text-mode": whole.replace(b"\r\n", b"\n", 1)}
    marked = next(e for i in range(10**6) if hashlib.sha256(b"\0" + (e := entry(b"%d" % i))).digest()[0] == 0)
    cases["page-too-late"] = assemble([[marked, entry(b"z")]], head)
    cases["page-too-full"] = assemble([[entry(path) for _, path, _ in unmarked(2049)]], head)
    return cases


def main() -> None:
    from lineward.adapters.files import create_manifest, prove_path  # noqa: PLC0415 - the module is also imported alone
    from lineward.domain.manifest import Parameters, Profile  # noqa: PLC0415

    write: Callable[[str, bytes], int] = lambda name, data: (FOLDER / name).write_bytes(data)  # noqa: E731
    vectors = []
    for name, (profile, chunk, items) in described().items():
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder), items)
            out = io.BytesIO()
            summary = create_manifest(folder, Parameters(Profile(profile), chunk), out=out)
        write(f"valid/{name}.lwm", out.getvalue())
        tree = [[kind, base64.b64encode(path).decode(), content] for kind, path, content in items]
        vectors.append(
            {
                "file": f"valid/{name}.lwm",
                "profile": profile,
                "chunkBytes": chunk,
                "root": str(summary.root),
                "manifest": str(summary.manifest),
                "files": summary.files,
                "bytes": summary.bytes,
                "tree": tree if len(tree) < 100 else None,
            }
        )
    proofs = []
    for path in (b"3/00003", b"6", b"0", b"3"):
        proof = prove_path(io.BytesIO((FOLDER / "valid/pages.lwm").read_bytes()), path)
        file = f"proofs/{path.decode().replace('/', '-')}.json"
        write(file, proof.encode().encode())
        proofs.append({"file": file, "manifest": "valid/pages.lwm", "path": path.decode()})
    for name, data in faults().items():
        write(f"invalid/{name}.lwm", data)
    lines = json.dumps({"valid": vectors, "proofs": proofs}, indent=1)
    write("vectors.json", lines.encode() + b"\n")


if __name__ == "__main__":
    for each in ("valid", "invalid", "proofs"):
        shutil.rmtree(FOLDER / each, ignore_errors=True)
        (FOLDER / each).mkdir(parents=True)
    main()
