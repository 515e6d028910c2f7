"""A policy's regular expression cannot stop the webhook, whatever its author or a signer thinks of."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lineward.domain import pattern

EXPLOSIVE = (
    "(a+)+c",
    "(a+|b)+c",
    "(a|a)+c",
    "(a+b?)+c",
    "(a|aa)+c",
    "([a-z]+[.]?)+@x",
    "(.*a){20}",
    "(a*)*?c",
    "((a+))+c",
    "(a+){2}c",
    r"([\w-]+|\.)+@corp\.com",
    "a*a*a*a*a*a*a*a*c",
)
"""Each takes a backtracking engine longer than the age of the universe on a subject of the longest kind."""


_TRY_ALL = """
import sys
from lineward.domain import pattern
for text in sys.argv[1:]:
    print(pattern.parse(text).matches("a" * 1023 + "!"))
"""


def test_no_pattern_takes_exponential_time() -> None:
    command = [sys.executable, "-c", _TRY_ALL, *(f"^{text}$" for text in EXPLOSIVE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False"] * len(EXPLOSIVE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r"^(?=a)a$", r"lookaround.*invalid perl operator: \(\?="),
        (r"^(a)\1$", r"backreferences.*invalid escape sequence: \\1"),
        (r"^($", r"missing \)"),
        (r"^a{1001}$", "repetition size"),
        (r"^(\pL{100}){3}$", "too large"),
        ("a$", "begin with"),
        ("^a", "begin with"),
        (r"^a\$", "begin with"),
    ],
)
def test_says_what_is_wrong_with_a_pattern(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pattern.parse(text)


@pytest.mark.parametrize(
    ("text", "subject", "whole"),
    [
        ("^a|b$", "a", True),
        ("^a|b$", "ab", False),
        ("^a$", "a\n", False),
        ("^(?m)a$", "a\nb", False),
        ("^.+$", "ä€😀", True),
        ("^.+$", "a\nb", False),
    ],
)
def test_matches_the_whole_subject_or_nothing(text: str, subject: str, *, whole: bool) -> None:
    assert pattern.parse(text).matches(subject) is whole
