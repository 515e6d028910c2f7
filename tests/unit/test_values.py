"""Values that check what they are made of do so whichever way they are made."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Parameters, Profile

DIGEST = Digest(bytes(range(32)))


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_digest_has_32_bytes(raw: bytes) -> None:
    for make in (Digest, lambda raw: Digest._make([raw]), lambda raw: DIGEST._replace(raw=raw)):
        with pytest.raises(InvalidInputError, match="32 bytes"):
            make(raw)


@pytest.mark.parametrize("size", [0, -4096, 2048, 4097, 12288, 1 << 31])
def test_chunks_have_a_power_of_two(size: int) -> None:
    ways: list[Callable[[int], Parameters]] = [
        lambda size: Parameters(Profile.POSIX, size),
        lambda size: Parameters._make([Profile.POSIX, size]),
        lambda size: Parameters()._replace(chunk_bytes=size),
    ]
    for make in ways:
        with pytest.raises(InvalidInputError, match="power of two"):
            make(size)


def test_values_do_not_change() -> None:
    for value, name in ((DIGEST, "raw"), (DIGEST, "other"), (Parameters(), "chunk_bytes"), (Parameters(), "other")):
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


def test_copies_are_equal_and_of_their_type() -> None:
    for value in (DIGEST, Parameters(Profile.POSIX, 4096)):
        other = copy.deepcopy(value)
        assert (other, type(other)) == (value, type(value))
    assert Digest.parse(str(DIGEST)) == DIGEST


@pytest.mark.parametrize("text", ["", "sha256:", str(DIGEST).upper(), f" {DIGEST}", f"{DIGEST}\n", f"{DIGEST}0"])
def test_other_texts_are_no_digest(text: str) -> None:
    with pytest.raises(InvalidInputError, match="sha256: and 64 lower-case"):
        Digest.parse(text)
