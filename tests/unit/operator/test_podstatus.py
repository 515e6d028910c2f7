"""What is believed of a pod's status, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shell.operator import pods
from tests.shell.operator.pods import AUDIT, BAD, GOOD, REFUSED, ROOT, VERIFIED, pod, verified

from lineward.domain import podstatus, verdict
from lineward.domain.errors import InvalidInputError
from lineward.domain.injection import verify_command
from lineward.domain.plan import Plan, Refusal
from lineward.domain.podstatus import PodRecord, genuine, observe
from lineward.domain.reasons import Reason
from lineward.domain.testimony import MESSAGE_BYTES
from lineward.domain.verdict import PodVerdict, Verdict, VolumeVerdict


def record(obj: pods.Json) -> PodRecord:
    found = observe(obj)
    assert found is not None
    return found.record


def test_a_pod_without_verify_is_nobodys_business() -> None:
    bare = pod()
    bare["spec"]["initContainers"] = []
    assert observe(bare) is None


def test_before_verify_ends_there_is_no_verdict() -> None:
    assert record(pod()).verdict is None


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (VERIFIED, 86),
        (VERIFIED, 87),
        (REFUSED, 0),
        (REFUSED, 87),
        (replace(REFUSED, verdict=Verdict.UNKNOWN), 0),
        (replace(VERIFIED, mode="audit"), 0),
        (replace(VERIFIED, volumes=(BAD,)), 0),
        (replace(VERIFIED, volumes=(replace(GOOD, observed=pods.OTHER),)), 0),
        (replace(VERIFIED, volumes=(replace(GOOD, expected=pods.OTHER, observed=pods.OTHER),)), 0),
        (replace(VERIFIED, volumes=(replace(GOOD, dataset="another"),)), 0),
        (replace(VERIFIED, volumes=(replace(GOOD, volume="another"),)), 0),
    ],
)
def test_a_verdict_that_contradicts_code_mode_or_plan_is_not_believed(found: PodVerdict, code: int) -> None:
    said = record(verified(pod(), found, code))
    assert (said.verdict, said.reason) == (Verdict.UNKNOWN, Reason.NO_VERDICT)
    assert "cannot be believed" in said.message


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("", 0, Reason.NO_VERDICT),
        ("all good, trust me", 0, Reason.NO_VERDICT),
        ("", 137, Reason.VERIFY_CRASHED),
        (VERIFIED.encode(), 137, Reason.VERIFY_CRASHED),
        ('{"verdict":"Verified"}', 1, Reason.VERIFY_CRASHED),
        ("x" * 4096, 86, Reason.NO_VERDICT),
    ],
)
def test_garbage_is_no_verdict(message: str, code: int, reason: Reason) -> None:
    said = record(verified(pod(), message, code))
    assert (said.verdict, said.reason) == (Verdict.UNKNOWN, reason)
    assert str(code) in said.message


EXCEPTED = replace(
    VERIFIED,
    verdict=Verdict.UNKNOWN,
    reason=Reason.EXCEPTED,
    volumes=(GOOD, VolumeVerdict("raw", Verdict.UNKNOWN, Reason.UNVOUCHED)),
)
WITH_EXCEPTION = replace(pods.PLAN, exceptions=(Refusal(Reason.UNVOUCHED, "excused", "raw"),))


def test_what_an_exception_let_through_trained_and_is_not_verified() -> None:
    said = record(verified(pod(plan=WITH_EXCEPTION), EXCEPTED, 0))
    assert (said.verdict, said.reason, said.started) == (Verdict.UNKNOWN, Reason.EXCEPTED, True)
    assert [volume.volume for volume in said.volumes] == ["data", "raw"]


@pytest.mark.parametrize(
    ("plan", "found"),
    [
        (pods.PLAN, EXCEPTED),
        (WITH_EXCEPTION, replace(EXCEPTED, verdict=Verdict.VERIFIED)),
        (WITH_EXCEPTION, VERIFIED),
    ],
)
def test_an_exception_that_the_plan_lacks_or_that_verifies_is_not_believed(plan: Plan, found: PodVerdict) -> None:
    said = record(verified(pod(plan=plan), found, 0))
    assert (said.verdict, said.reason) == (Verdict.UNKNOWN, Reason.NO_VERDICT)


def test_an_output_that_holds_something_is_told() -> None:
    full = VolumeVerdict("out", Verdict.REFUSED, Reason.OUTPUT_NOT_EMPTY)
    found = replace(REFUSED, reason=Reason.OUTPUT_NOT_EMPTY, volumes=(GOOD, full))
    said = record(verified(pod(), found, 86))
    assert (said.verdict, said.reason) == (Verdict.REFUSED, Reason.OUTPUT_NOT_EMPTY)
    assert said.volumes[-1] == full


def test_under_audit_every_verdict_leaves_with_zero() -> None:
    said = record(verified(pod(plan=AUDIT), replace(REFUSED, mode="audit")))
    assert (said.verdict, said.started) == (Verdict.REFUSED, True)


def test_verified_without_a_signed_root_is_not_believed() -> None:
    plan = replace(AUDIT, volumes=(replace(AUDIT.volumes[0], root=""),))
    found = replace(VERIFIED, mode="audit", volumes=(replace(GOOD, expected="", observed=ROOT),))
    assert record(verified(pod(plan=plan), found)).verdict is Verdict.UNKNOWN


def test_a_refused_pod_did_not_start_and_a_verified_one_did() -> None:
    assert not record(pods.refused(pod())).started
    assert record(verified(pod())).started


def test_a_restart_of_verify_keeps_the_last_verdict() -> None:
    obj = verified(pod(), REFUSED, 86)
    status = obj["status"]["initContainerStatuses"][0]
    status["lastState"], status["state"] = status["state"], {"waiting": {"reason": "CrashLoopBackOff"}}
    assert record(obj).verdict is Verdict.REFUSED


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_a_deleted_pod_has_ended(phase: str) -> None:
    obj = pod()
    obj["status"]["phase"] = phase
    found = observe(obj, gone=True)
    assert found is not None
    assert (found.record.phase, found.record.verdict) == ("Failed", Verdict.UNKNOWN)


@pytest.mark.parametrize("containers", [4, 8, 12, 16])
@pytest.mark.parametrize("code", [0, 86])
def test_a_message_that_the_kubelet_cut_still_tells_the_verdict(containers: int, code: int) -> None:
    """As status_manager.go cuts: 12 KiB over all containers of the pod."""
    volumes = tuple(replace(pods.PLAN.volumes[0], volume=f"data-{i}") for i in range(40))
    plan = replace(pods.PLAN, volumes=volumes)
    whole = VERIFIED if code == 0 else REFUSED
    part = GOOD if code == 0 else BAD
    found = replace(whole, volumes=tuple(replace(part, volume=volume.volume) for volume in volumes))
    obj = pod(plan=plan)
    obj["spec"]["containers"] = [{"name": f"c{i}"} for i in range(containers - 1)]
    cut = found.encode().encode()[: MESSAGE_BYTES // containers].decode(errors="replace")
    said = record(verified(obj, cut, code))
    assert (said.verdict, said.message) == (whole.verdict, whole.message)
    assert len(said.volumes) == 40
    if code == 0:
        assert {volume.verdict for volume in said.volumes} == {Verdict.VERIFIED}
    else:
        assert said.volumes[0].reason is Reason.CONTENT_DIFFERS
        assert said.volumes[-1].verdict is Verdict.UNKNOWN


@given(st.text(max_size=60), st.integers(0, 4096), st.integers(0, 5))
def test_a_cut_message_gives_the_same_verdict_or_none(message: str, length: int, volumes: int) -> None:
    made = replace(REFUSED, message=message, volumes=(BAD,) * volumes)
    text = made.encode().encode()[:length].decode(errors="replace")
    try:
        found = verdict.decode_cut(text)
    except InvalidInputError:
        return
    assert (found.verdict, found.reason, found.mode) == (made.verdict, made.reason, made.mode)
    assert all(isinstance(volume, VolumeVerdict) and volume == BAD for volume in found.volumes)


@pytest.mark.parametrize("text", ["", "{", '{"message":"x","verdict":"Fine","reason":"Verified","mode":"","volumes":['])
def test_a_start_of_something_else_is_no_verdict(text: str) -> None:
    with pytest.raises(InvalidInputError):
        verdict.decode_cut(text)


def test_an_injected_container_is_genuine_and_one_of_another_release_is_not() -> None:
    assert genuine(pod(), pods.IMAGE)
    assert not genuine(pod(), "registry.local/lineward-sidecar@sha256:" + "0" * 64)
    assert not genuine(pod(), pods.IMAGE.replace(":1", ":2"))


@pytest.mark.parametrize(
    "change",
    [
        {"image": "registry.local/other:1"},
        {"image": "evil.local/lineward-sidecar:1"},
        {"env": [{"name": "LD_PRELOAD", "value": "/x.so"}]},
        {"envFrom": [{"configMapRef": {"name": "x"}}]},
        {"volumeMounts": [{"name": "x", "mountPath": "/opt/lineward/lib"}]},
        {"volumeMounts": [{"name": "x", "mountPath": "/lineward"}]},
        {"terminationMessagePath": "/lineward/data/data/message"},
        {"terminationMessagePolicy": "FallbackToLogsOnError"},
        {"lifecycle": {"postStart": {"exec": {"command": ["sh"]}}}},
    ],
)
def test_a_container_built_otherwise_is_not_ours(change: pods.Json) -> None:
    obj = pod()
    obj["spec"]["initContainers"][0] |= change
    assert not genuine(obj, pods.IMAGE)


OTHER_PLAN = replace(pods.PLAN, volumes=()).encode()
TRUE_COMMAND = verify_command(pods.PLAN.encode())


@pytest.mark.parametrize(
    "change",
    [
        {"command": ["sh", "-c", "echo"]},
        {"command": None},
        {"command": TRUE_COMMAND[:4] + TRUE_COMMAND[6:]},
        {"command": [TRUE_COMMAND[0], *TRUE_COMMAND[2:]]},
        {"command": [*TRUE_COMMAND, "--plan", OTHER_PLAN]},
        {"command": [*TRUE_COMMAND[:4], "--plan", OTHER_PLAN, *TRUE_COMMAND[4:]]},
        {"command": [*TRUE_COMMAND[:-1], "/lineward/elsewhere"]},
        {"command": TRUE_COMMAND[:4], "args": TRUE_COMMAND[4:]},
        {"args": ["--plan", OTHER_PLAN]},
    ],
)
def test_a_command_that_is_not_word_for_word_the_webhooks_is_not_read(change: pods.Json) -> None:
    obj = verified(pod())
    obj["spec"]["initContainers"][0] |= change
    with pytest.raises(InvalidInputError):
        observe(obj)


TWO = replace(pods.PLAN, volumes=(*pods.PLAN.volumes, replace(pods.PLAN.volumes[0], volume="more")))


def said_of(count: int) -> str:
    """The message on one volume, with another count."""
    return VERIFIED.encode().replace('"count":1', f'"count":{count}')


@pytest.mark.parametrize("message", [said_of(1), said_of(2), said_of(3), said_of(0)])
def test_verified_that_is_silent_on_a_planned_volume_is_not_believed(message: str) -> None:
    said = record(verified(pod(plan=TWO), message))
    assert (said.verdict, said.reason) == (Verdict.UNKNOWN, Reason.NO_VERDICT)
    assert {volume.verdict for volume in said.volumes} == {Verdict.UNKNOWN}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_cut_message_that_counts_other_volumes_than_planned_is_not_believed(count: int) -> None:
    obj = pod(plan=replace(TWO, volumes=(*TWO.volumes, replace(TWO.volumes[0], volume="third"))))
    obj["spec"]["containers"] = [{"name": f"c{i}"} for i in range(23)]
    cut = said_of(count)[: MESSAGE_BYTES // 24].ljust(MESSAGE_BYTES // 24)
    said = record(verified(obj, cut))
    assert said.verdict is Verdict.UNKNOWN
    assert record(verified(obj, cut.replace(f'"count":{count}', '"count":3'))).verdict is Verdict.VERIFIED


def test_many_volumes_that_have_no_room_are_still_verified() -> None:
    volumes = tuple(replace(pods.PLAN.volumes[0], volume=f"data-{i}") for i in range(40))
    found = replace(VERIFIED, volumes=tuple(replace(GOOD, volume=volume.volume) for volume in volumes))
    said = record(verified(pod(plan=replace(pods.PLAN, volumes=volumes)), found))
    assert {volume.verdict for volume in said.volumes} == {Verdict.VERIFIED}
    assert len(said.volumes) == 40
    more = replace(pods.PLAN, volumes=(*volumes, replace(pods.PLAN.volumes[0], volume="unseen")))
    assert record(verified(pod(plan=more), found)).verdict is Verdict.UNKNOWN


def test_verify_must_be_first() -> None:
    obj = pod()
    obj["spec"]["initContainers"].insert(0, {"name": "earlier"})
    assert not genuine(obj, pods.IMAGE)


def test_an_owner_that_cannot_exist_is_none() -> None:
    forged = replace(pods.PLAN, owner_uid="not-a-uuid")
    found = observe(pod(plan=forged))
    assert found is not None
    assert found.owner.kind == "Pod"


def test_the_plans_owner_counts_not_the_edited_reference() -> None:
    obj = pod()
    obj["metadata"]["ownerReferences"][0]["uid"] = "99999999-9999-4999-8999-999999999999"
    found = observe(obj)
    assert found is not None
    assert (found.owner.uid, found.owner.api_version) == (pods.JOB, "batch/v1")


def test_an_unreadable_plan_is_an_error_not_a_guess() -> None:
    obj = pod()
    obj["spec"]["initContainers"][0]["command"][-3] = "{}"
    with pytest.raises(InvalidInputError):
        podstatus.observe(obj)
