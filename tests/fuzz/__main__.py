"""`python -m tests.fuzz TARGET [libFuzzer options]`: coverage-guided, for as long as -runs or -max_total_time says."""

from __future__ import annotations

import random
import sys

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["lineward"]):
    from tests.fuzz.targets import TARGETS


class Guided:
    """Choices read from the fuzzer's bytes; where these end, from a generator seeded by them."""

    def __init__(self, data: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(data)
        self._random = random.Random(data)  # noqa: S311 - reproducible on purpose

    def below(self, end: int) -> int:
        if self._provider.remaining_bytes():
            return int(self._provider.ConsumeIntInRange(0, end - 1))
        return self._random.randrange(end)


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [libFuzzer options]")
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: target(Guided(data)) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
