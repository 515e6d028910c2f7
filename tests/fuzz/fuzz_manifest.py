"""Feeds the manifest and proof readers with what libFuzzer thinks of: they refuse with a reason, or both readers agree.

`make fuzz RUNS=1000000`; the start corpus is the test vectors. Any crash leaves its input in the current folder.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

HERE = Path(__file__).resolve().parent
GOLDENS = HERE.parent / "format_goldens"
sys.path.insert(0, str(GOLDENS))

with atheris.instrument_imports(include=["lineward.domain", "second_reader"]):
    import second_reader  # type: ignore[import-not-found]

    from lineward.domain import proof
    from lineward.domain.entry import decode_all
    from lineward.domain.errors import InvalidInputError
    from lineward.domain.manifest_reader import ManifestReader


def read_manifest(data: bytes) -> bytes | None:
    """Root of an accepted manifest."""
    try:
        reader = ManifestReader(io.BytesIO(data))
        for page in reader.pages():
            for entry in decode_all(page.body):
                str(entry)
    except InvalidInputError:
        return None
    if not reader.summary:
        raise AssertionError("a manifest was read to its end without a summary")
    return reader.summary.root.raw


def read_manifest_again(data: bytes) -> bytes | None:
    """The same from the second reader."""
    try:
        return bytes(second_reader.read(data).root)
    except second_reader.Wrong:
        return None


def one(data: bytes) -> None:
    """One input: a proof if it begins like JSON, else a manifest."""
    if data.lstrip().startswith(b"{"):
        try:
            found = proof.decode(data)
            if proof.decode(found.encode().encode()) != found:
                raise AssertionError("a proof does not survive being written")
        except InvalidInputError:
            pass
        return
    if read_manifest(data) != read_manifest_again(data):
        raise AssertionError("the readers disagree")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
