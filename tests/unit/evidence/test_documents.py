"""YAML that people write means what it shows: no aliases in any encoding, no duplicate keys, times stay text.

And it ends no process: what is refused is refused before libyaml builds anything of it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from lineward.adapters import documents
from lineward.domain.errors import InvalidInputError
from lineward.domain.strictjson import MAX_DEPTH

BOMB = "a: &a [x, x]\nb: [*a, *a]\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-16-le"])
def test_an_alias_refuses_in_every_encoding(encoding: str) -> None:
    mark = "" if encoding in {"utf-8", "utf-16"} else "\ufeff"
    with pytest.raises(InvalidInputError, match="has aliases"):
        documents.parse_all((mark + BOMB).encode(encoding), "f")


def test_an_alias_of_nothing_refuses() -> None:
    with pytest.raises(InvalidInputError, match="has aliases"):
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


DEEP = ("[", "{a: ", "- ", "? ", "a: [", "{? ", "[{", "- ? ")


@pytest.mark.parametrize("opening", DEEP)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_deep_file_refuses(opening: str, encoding: str) -> None:
    """In a process of its own: what recurses in C ends the process."""
    made = f"({opening!r} * ({documents.MAX_FILE} // 4 // {len(opening)})).encode({encoding!r})"
    read = f"from lineward.adapters import documents\ndocuments.parse_all({made}, 'f')"
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.returncode
    assert "InvalidInputError: RequestInvalid: f " in done.stderr


def test_nesting_is_read_up_to_the_depth_of_json() -> None:
    def nested(depth: int) -> bytes:
        return b"a: " + b"[" * (depth - 1) + b"]" * (depth - 1)

    assert len(documents.parse_all(nested(MAX_DEPTH), "f")) == 1
    with pytest.raises(InvalidInputError, match="deeper than 32"):
        documents.parse_all(nested(MAX_DEPTH + 1), "f")


@pytest.mark.parametrize(
    "text", ["a: !!binary aGk=", "a: !!set {b}", "a: !!timestamp 2026-01-01", "a: !own b", "!!map {a: 1}", "a: ! b"]
)
def test_a_tag_refuses(text: str) -> None:
    with pytest.raises(InvalidInputError, match="has the tag"):
        documents.parse_all(text.encode(), "f")


@pytest.mark.parametrize("text", ["a: {1: b}", "a: {true: b}", "a: [{null: b}]", "a: {1: b, c: d}"])
def test_a_key_that_is_no_text_refuses(text: str) -> None:
    with pytest.raises(InvalidInputError, match="a key is no text"):
        documents.parse_all(text.encode(), "f")


@pytest.mark.parametrize("value", ["1:30", "190:20:30.15", "1" + ":59" * 1_000_000])
def test_base_60_is_text(value: str) -> None:
    """As a number the last of them takes an hour to read."""
    assert documents.parse_all(f"a: {value}\nb: 1e3\n".encode(), "f") == [{"a": value, "b": "1e3"}]
