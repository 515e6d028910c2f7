"""The plan and the verdict survive their round trip and fit where Kubernetes puts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineward.domain import plan, settings, verdict
from lineward.domain.errors import InvalidInputError
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume, Refusal
from lineward.domain.reasons import Reason
from lineward.domain.verdict import PodVerdict, Verdict, VolumeVerdict


def test_plan_round_trip() -> None:
    made = Plan(
        mode="audit",
        policies=("a", "b"),
        volumes=(PlannedVolume(volume="data", path="/lineward/data/data", root="sha256:00"),),
        outputs=(PlannedOutput(volume="out", path="/lineward/outputs/out", claim="model"),),
        refusals=(Refusal(Reason.UNVOUCHED, "no", "data"),),
    )
    assert plan.decode(made.encode()) == made


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"v":2}', '{"v":1,"mode":"x","extra":1}', "[" * 100_000])
def test_anything_else_is_not_a_plan(text: str) -> None:
    with pytest.raises(InvalidInputError):
        plan.decode(text)


@given(st.lists(st.text(max_size=300), max_size=30), st.text(max_size=6000), st.integers(0, 8))
def test_verdict_always_fits_the_termination_message(names: list[str], message: str, volumes: int) -> None:
    volume = VolumeVerdict("data", Verdict.REFUSED, Reason.CONTENT_DIFFERS, changed=tuple(names))
    made = PodVerdict(message, Verdict.REFUSED, Reason.CONTENT_DIFFERS, "enforce", (volume,) * volumes)
    text = made.encode()
    assert len(text.encode()) <= verdict.MAX_BYTES
    assert verdict.decode(text).verdict is Verdict.REFUSED


@pytest.mark.parametrize("text", ["", "Error", "{}", "null", '{"volumes":[]}', "x" * 5000])
def test_anything_else_is_not_a_verdict(text: str) -> None:
    with pytest.raises(InvalidInputError):
        verdict.decode(text)


@pytest.mark.parametrize("raw", [{"nonsense": 1}, {"ledgerUrl": 1}, {"interceptedNamespaces": "ml"}])
def test_wrong_settings_stop_the_server(raw: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        settings.parse(raw)


def test_settings_are_camel_case() -> None:
    read = settings.parse({"ledgerUrl": "http://l", "interceptedNamespaces": ["ml"], "tlsMode": "certManager"})
    assert (read.ledger_url, read.intercepted_namespaces, read.tls_mode) == ("http://l", ("ml",), "certManager")
