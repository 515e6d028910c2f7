"""Whatever goes wrong while a bundle is verified refuses it, unless it has nothing to do with the bundle."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.unit.evidence.test_key_bundles import KEY, STATEMENT, VAULT, root

from lineward.adapters import bundle, keys
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import provenance, statement
from lineward.domain.errors import RefusedError
from lineward.domain.reasons import Reason

STEPS = [(bundle, "parse"), (keys, "check"), (statement, "parse"), (provenance, "parse")]
"""By module, since the verifier calls them so: the first, the middle, and both after the signature."""


class Panic(BaseException):
    """What a panic in Rust is for Python (pyo3_runtime.PanicException): no `Exception`."""


def verify_where(
    step: tuple[ModuleType, str], error: BaseException, monkeypatch: pytest.MonkeyPatch, private: PrivateSigstore
) -> None:
    def broken(*_: object) -> None:
        raise error

    good = dumps(private.sign_with_key(STATEMENT, KEY))
    monkeypatch.setattr(*step, broken)
    SigstoreVerifier().verify(good, root(None, VAULT))


@pytest.mark.parametrize(
    "error", [Panic("called `Option::unwrap()`"), RuntimeError("no"), RecursionError(), KeyError()]
)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0].__name__}.{step[1]}")
def test_any_exception_is_a_refusal(
    step: tuple[ModuleType, str], error: BaseException, monkeypatch: pytest.MonkeyPatch, private: PrivateSigstore
) -> None:
    with pytest.raises(RefusedError, match="the bundle does not verify: ") as caught:
        verify_where(step, error, monkeypatch, private)
    assert caught.value.reason is Reason.EVIDENCE_INVALID


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0].__name__}.{step[1]}")
def test_what_says_nothing_about_the_bundle_is_no_refusal(
    step: tuple[ModuleType, str],
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    private: PrivateSigstore,
) -> None:
    with pytest.raises(error):
        verify_where(step, error(), monkeypatch, private)
