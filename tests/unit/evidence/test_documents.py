"""YAML that people write means what it shows: no aliases in any encoding, no duplicate keys, times stay text."""

from __future__ import annotations

import pytest

from lineward.adapters import documents
from lineward.domain.errors import InvalidInputError

BOMB = "a: &a [x, x]\nb: [*a, *a]\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-16-le"])
def test_an_alias_refuses_in_every_encoding(encoding: str) -> None:
    mark = "" if encoding in {"utf-8", "utf-16"} else "\ufeff"
    with pytest.raises(InvalidInputError, match="has aliases"):
        documents.parse_all((mark + BOMB).encode(encoding), "f")


def test_an_alias_of_nothing_refuses() -> None:
    with pytest.raises(InvalidInputError, match="not YAML"):
        documents.parse_all(b"a: *b\n", "f")


def test_an_ampersand_is_text_where_it_is_text() -> None:
    assert documents.parse_all(b"a: R&D, 'x' *y\nb: '&c'\n", "f") == [{"a": "R&D, 'x' *y", "b": "&c"}]


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "{a: 1, a: 2}", "a: {b: 1, b: 1}", "a: 1\n<<: {a: 2}\n"])
def test_a_key_twice_refuses(text: str) -> None:
    with pytest.raises(InvalidInputError, match="duplicate key"):
        documents.parse_all(text.encode(), "f")


def test_a_time_stays_text() -> None:
    assert documents.parse_all(b"a: 2026-01-01T00:00:00Z\n", "f") == [{"a": "2026-01-01T00:00:00Z"}]


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [id]", "a: !!python/name:os.system", "- 1", "1: 2"])
def test_nothing_but_plain_objects(text: str) -> None:
    with pytest.raises(InvalidInputError):
        documents.parse_all(text.encode(), "f")
