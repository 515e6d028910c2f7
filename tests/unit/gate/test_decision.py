"""Policies, modes, choices and exceptions: who is asked, and what becomes of the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.evidence.samples import NOW, a_dataset, a_policy, an_evidence
from tests.unit.gate.pods import (
    DATASET,
    ROOTS,
    SETTINGS,
    a_pod,
    a_world,
    admitted,
    decided,
    mutated,
    reasons,
    validated,
    with_change,
)

from lineward.domain import plan as plans
from lineward.domain import podspec
from lineward.domain.dataset import ClaimVolume
from lineward.domain.decision import render
from lineward.domain.evidence import Signer
from lineward.domain.exemption import Exemption
from lineward.domain.messages import MAX_MESSAGE
from lineward.domain.plan import Plan, Refusal
from lineward.domain.policy import Mode, Policy
from lineward.domain.reasons import Reason
from lineward.domain.recall import Recall
from lineward.domain.world import BrokenPolicy, World, Writer

CLAIM = ClaimVolume("credit")
OUTPUTS = {"outputs": [{"persistentVolumeClaim": {"name": "model-out"}}]}
KEY = (DATASET.attestations[0].digest, ROOTS["default"].digest)


def unvouched(mode: str = "enforce") -> World:
    return a_world(dataset=None, mode=mode)


def plan_of(pod: dict[str, object], world: World) -> Plan:
    injection = decided(pod, world).injection
    assert injection
    return injection.plan


def test_the_plan_promises_the_signed_root() -> None:
    plan = plan_of(a_pod(), a_world())
    (volume,) = plan.volumes
    assert (plan.mode, plan.policies, plan.refusals) == ("enforce", ("training",), ())
    assert (volume.volume, volume.claim, volume.path) == ("data", "credit", "/lineward/data/data")
    assert (volume.root, volume.resource) == (str(DATASET.integrity.root), "german-credit-1.0.0")
    assert volume.manifest_path == "/lineward/manifest/data/manifest.lwm"
    assert [(o.claim, o.path) for o in plan.outputs] == [("model-out", "/lineward/outputs/out")]
    assert (plan.owner_kind, plan.owner_name, plan.owner_uid) == ("Job", "train", "j-1")


def test_the_plan_keeps_to_the_shortest_timeout_of_the_policies_that_made_it() -> None:
    world = a_world()
    (policy,) = world.policies
    assert isinstance(policy, Policy)
    shorter = replace(policy, name="shorter", timeout=timedelta(minutes=10))
    audit = replace(policy, name="audit", timeout=timedelta(seconds=1), mode=Mode.AUDIT)
    assert plan_of(a_pod(), world).timeout_seconds == 3600
    assert plan_of(a_pod(), replace(world, policies=(policy, shorter, audit))).timeout_seconds == 600


def test_enforce_denies_what_nobody_vouches_for() -> None:
    decision = decided(a_pod(), unvouched())
    assert (decision.allowed, reasons(decision.denials)) == (False, [Reason.UNVOUCHED])
    message = render(decision.denials[0], podspec.parse(a_pod()))
    assert message.startswith('[lineward] volume "data" (claim credit): Unvouched: no DatasetVersion in namespace ml')
    assert message.endswith(
        ". Attest the volume's data: lineward attest DIR --pvc CLAIM, then kubectl apply. See docs/reasons.md#unvouched"
    )


def test_a_message_is_never_longer_than_a_screen() -> None:
    refusal = Refusal(Reason.UNVOUCHED, "x" * 5000, "data")
    assert len(render(refusal, podspec.parse(a_pod()))) == MAX_MESSAGE


@pytest.mark.parametrize("reason", Reason)
def test_a_message_with_the_longest_names_keeps_what_to_do_and_where_to_read(reason: Reason) -> None:
    pod, page = with_change(long_names), f"https://{'w' * 72}"
    (volume, *_) = podspec.parse(pod).volumes
    message = render(Refusal(reason, "x" * 5000, volume.name), podspec.parse(pod), page)
    assert len(message) <= MAX_MESSAGE
    assert message.endswith(f"{reason.next_step[1:]}. See {page}#{reason.value.lower()}")
    assert "xxx..." in message


def test_a_message_links_to_the_page_that_the_platform_team_serves() -> None:
    refusal = Refusal(Reason.UNVOUCHED, "", "data")
    assert render(refusal, podspec.parse(a_pod())).endswith("See docs/reasons.md#unvouched")
    assert render(refusal, podspec.parse(a_pod()), "https://wiki/r").endswith("See https://wiki/r#unvouched")


@pytest.mark.parametrize(("mode", "warned"), [("audit", 0), ("warn", 1)])
def test_audit_and_warn_admit_inject_and_leave_the_rest_alone(mode: str, warned: int) -> None:
    world = unvouched(mode)
    decision = decided(a_pod(), world)
    assert decision.allowed
    assert (len(decision.warnings), reasons(decision.recorded)) == (warned, [Reason.UNVOUCHED])
    pod = mutated(a_pod(), world)
    assert pod["spec"]["containers"] == a_pod()["spec"]["containers"]
    assert pod["spec"]["volumes"][:4] == a_pod()["spec"]["volumes"]
    plan = plan_of(a_pod(), world)
    assert (plan.volumes[0].root, reasons(plan.refusals)) == ("", [Reason.UNVOUCHED])
    assert validated(pod, world) == ()


@pytest.mark.parametrize("mode", ["audit", "warn"])
def test_audit_admits_whatever_breaks_the_rules(mode: str) -> None:
    pod = with_change(lambda p: p["spec"].update(hostPID=True))
    world = a_world(mode=mode)
    assert admitted(pod, world) == ()
    assert reasons(plan_of(pod, world).refusals) == [Reason.PRIVILEGED]


def test_a_forged_verifier_is_refused_even_under_audit() -> None:
    world = unvouched("audit")
    pod = mutated(a_pod(), world)
    forged = with_change(lambda p: p["spec"]["initContainers"][0].update(image="evil"), pod)
    assert reasons(validated(forged, world)) == [Reason.NOT_INJECTED]


def test_a_forged_root_is_refused_even_under_audit() -> None:
    forged = mutated(a_pod(), a_world(mode="audit"))
    assert reasons(validated(forged, unvouched("audit"))) == [Reason.NOT_INJECTED]


def test_under_audit_a_replica_that_knew_less_a_moment_ago_denies_nothing() -> None:
    assert validated(mutated(a_pod(), unvouched("audit")), a_world(mode="audit")) == ()


def test_under_enforce_the_plan_is_compared_exactly() -> None:
    assert reasons(validated(mutated(a_pod(), unvouched("audit")))) == [Reason.NOT_INJECTED]


def test_a_pod_without_data_gets_nothing() -> None:
    pod = with_change(lambda p: p["spec"].update(volumes=[], containers=[{"name": "main", "image": "x"}]))
    decision = decided(pod)
    assert (decision.allowed, decision.mode, decision.injection) == (True, Mode.ENFORCE, None)
    assert validated(pod) == ()


def test_a_pod_that_no_policy_matches_gets_nothing() -> None:
    world = a_world(policies=(a_policy(match={"namespaces": {"names": ["other"]}}),))
    assert decided(a_pod(), world).mode is None
    assert mutated(a_pod(), world) == a_pod()
    assert validated(a_pod(), world) == ()


def test_an_unknown_namespace_is_refused_where_a_policy_asks_for_its_labels() -> None:
    match = {"namespaces": {"selector": {"matchLabels": {"team": "risk"}}}}
    world = a_world(policies=(a_policy(match=match),), namespace_labels=None)
    assert reasons(decided(a_pod(), world).denials) == [Reason.INTERNAL_ERROR]


def test_all_policies_of_a_mode_must_be_met() -> None:
    other = a_policy(volumes=OUTPUTS, authorities=[{"name": "o", "keyless": {"issuer": "https://i", "subject": "o"}}])
    world = a_world()
    both = replace(world, policies=(*world.policies, replace(other, name="another")))
    assert reasons(decided(a_pod(), both).denials) == [Reason.WRONG_IDENTITY]


def test_an_audit_policy_beside_an_enforcing_one_denies_nothing() -> None:
    strict = replace(
        a_policy(authorities=[{"name": "o", "keyless": {"issuer": "https://i", "subject": "o"}}], mode="audit"),
        name="trial",
    )
    world = a_world()
    decision = decided(a_pod(), replace(world, policies=(*world.policies, strict)))
    assert (decision.allowed, decision.mode) == (True, Mode.ENFORCE)
    assert set(reasons(decision.recorded)) == {Reason.WRONG_IDENTITY, Reason.UNVOUCHED}
    assert decision.warnings == ()
    assert decision.injection
    assert decision.injection.plan.policies == ("training", "trial")


def test_a_policy_that_cannot_be_read_denies_as_its_mode_says() -> None:
    for mode, allowed in ((Mode.ENFORCE, False), (Mode.AUDIT, True)):
        decision = decided(a_pod(), a_world(policies=(BrokenPolicy("p", mode, "x"),)))
        assert (decision.allowed, reasons((*decision.denials, *decision.recorded))) == (
            allowed,
            [Reason.POLICY_INVALID],
        )


def test_a_recall_that_cannot_be_read_makes_nothing_certain() -> None:
    assert reasons(decided(a_pod(), a_world(broken_recalls=("r: x",))).denials) == [Reason.POLICY_INVALID]


def test_a_recall_counts_at_the_next_decision() -> None:
    recall = Recall("r", "consent withdrawn", dataset="german-credit")
    assert reasons(decided(a_pod(), a_world(recalls=(recall,))).denials) == [Reason.RECALLED]


def test_evidence_that_waits_for_verification_says_so() -> None:
    assert reasons(decided(a_pod(), a_world(evidence={})).denials) == [Reason.EVIDENCE_PENDING]


def test_evidence_that_was_refused_says_why() -> None:
    refused = {KEY: Refusal(Reason.EVIDENCE_INVALID, "bad signature")}
    assert reasons(decided(a_pod(), a_world(evidence=refused)).denials) == [Reason.EVIDENCE_INVALID]


def test_evidence_of_another_trust_root_does_not_count() -> None:
    world = a_world(trust_roots={"default": replace(ROOTS["default"], digest=DATASET.integrity.root)})
    assert reasons(decided(a_pod(), world).denials) == [Reason.EVIDENCE_PENDING]


def test_the_wrong_signer_is_refused() -> None:
    evidence = {KEY: an_evidence(signer=Signer(issuer="https://issuer.example", subject="mallory@example.org"))}
    assert reasons(decided(a_pod(), a_world(evidence=evidence)).denials) == [Reason.WRONG_IDENTITY]


def test_a_missing_or_broken_trust_root_is_refused() -> None:
    assert reasons(decided(a_pod(), a_world(trust_roots={})).denials) == [Reason.TRUST_ROOT_MISSING]
    broken = {"default": Refusal(Reason.TRUST_ROOT_INVALID, "x")}
    assert reasons(decided(a_pod(), a_world(trust_roots=broken)).denials) == [Reason.TRUST_ROOT_INVALID]


def test_several_good_versions_need_a_choice_and_a_choice_cannot_pick_a_bad_one() -> None:
    twin = replace(DATASET, name="twin")
    quarantined = replace(a_dataset(attestations=[{"bundle": "{}"}], lifecycle={"state": "quarantined"}), name="old")
    world = a_world(datasets={CLAIM: (DATASET, twin, quarantined)})
    assert reasons(decided(a_pod(), world).denials) == [Reason.AMBIGUOUS_DATASET]

    def choosing(name: str) -> list[Reason]:
        pod = with_change(lambda p: p["metadata"].update(annotations={"lineward.dev/datasets": f"data={name}"}))
        return reasons(decided(pod, world).denials)

    assert choosing("twin") == []
    assert choosing("old") == [Reason.NOT_ACTIVE]
    assert choosing("nobody") == [Reason.UNVOUCHED]
    assert reasons(decided(a_pod(), a_world(datasets={CLAIM: (DATASET, quarantined)})).denials) == []


def test_a_chosen_version_that_cannot_be_read_says_so() -> None:
    pod = with_change(lambda p: p["metadata"].update(annotations={"lineward.dev/datasets": "data=torn"}))
    world = a_world(broken_datasets={"torn": "spec.volumes must be a list"})
    assert reasons(decided(pod, world).denials) == [Reason.DATASET_INVALID]


def test_a_flood_of_candidates_is_not_judged() -> None:
    world = a_world(datasets={CLAIM: [replace(DATASET, name=f"d{i}") for i in range(1000)]})
    assert reasons(decided(a_pod(), world).denials) == [Reason.AMBIGUOUS_DATASET]


def test_a_listed_output_that_is_only_read_is_data() -> None:
    def read_only(pod: dict[str, dict[str, list[dict[str, dict[str, bool]]]]]) -> None:
        pod["spec"]["volumes"][1]["persistentVolumeClaim"]["readOnly"] = True

    refusals = admitted(with_change(read_only))
    assert [(r.reason, r.volume) for r in refusals] == [(Reason.UNVOUCHED, "out")]


def test_an_output_that_only_some_policies_list_is_refused() -> None:
    world = a_world()
    both = replace(world, policies=(*world.policies, replace(a_policy(), name="stricter")))
    assert reasons(decided(a_pod(), both).denials) == [Reason.OUTPUT_NOT_ALLOWED]


def exemption(**changes: object) -> Exemption:
    made = Exemption(
        home="lineward-system",
        name="migration",
        namespace="ml",
        kind="Job",
        workload="train",
        reasons=frozenset({Reason.UNVOUCHED}),
        justification="until Friday",
        expires=NOW + timedelta(hours=1),
        claim="credit",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_exception_admits_announces_and_promises_nothing() -> None:
    world = replace(unvouched(), exemptions=(exemption(),))
    decision = decided(a_pod(), world)
    assert decision.allowed
    assert "ProvenanceException migration" in decision.warnings[0].message
    assert decision.injection
    assert decision.injection.plan.volumes == ()
    assert reasons(decision.injection.plan.refusals) == [Reason.UNVOUCHED]
    assert [(r.reason, r.volume) for r in decision.injection.plan.exceptions] == [(Reason.UNVOUCHED, "data")]
    pod = mutated(a_pod(), world)
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["readOnly"] is True
    assert validated(pod, world) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "other"},
        {"kind": "Pod"},
        {"workload": "train2"},
        {"claim": "other"},
        {"expires": NOW},
        {"reasons": frozenset({Reason.NO_ATTESTATION})},
    ],
)
def test_an_exception_counts_only_for_exactly_what_it_names(changes: dict[str, object]) -> None:
    world = replace(unvouched(), exemptions=(exemption(**changes),))
    assert reasons(decided(a_pod(), world).denials) == [Reason.UNVOUCHED]


def test_an_exception_for_evidence_does_not_excuse_a_writer() -> None:
    world = replace(unvouched(), exemptions=(exemption(),), writers={"credit": [Writer("w")]})
    assert reasons(decided(a_pod(), world).denials) == [Reason.DATA_WRITABLE]


def test_one_policy_may_switch_the_sidecar_off() -> None:
    world = a_world(
        policies=(a_policy(volumes=OUTPUTS, sidecar="Disabled"), replace(a_policy(volumes=OUTPUTS), name="z"))
    )
    pod = mutated(a_pod(), world)
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["lineward-verify"]
    assert "lineward-token" not in json.dumps(pod)
    assert validated(pod, world) == ()


def test_settings_reach_the_containers() -> None:
    verify, sidecar = mutated(a_pod())["spec"]["initContainers"]
    assert verify["image"] == sidecar["image"] == SETTINGS.sidecar_image
    assert (verify["restartPolicy"], sidecar["restartPolicy"]) == ("Never", "Always")


@pytest.mark.parametrize(
    ("kind", "workloads", "matched"),
    [
        ("Job", ["Job"], True),
        ("Job", ["CronJob"], True),
        ("Job", ["TrainJob"], True),
        ("ReplicaSet", ["Deployment"], True),
        ("ConfigMap", ["Job", "Pod"], True),
        ("MadeUp", ["Pod"], True),
        ("StatefulSet", ["Job"], False),
        ("Job", ["Pod"], False),
    ],
)
def test_a_pod_does_not_leave_a_policy_by_what_it_says_of_its_owner(
    kind: str,
    workloads: list[str],
    matched: bool,  # noqa: FBT001
) -> None:
    pod = with_change(lambda p: p["metadata"]["ownerReferences"][0].update(kind=kind))
    policy = a_policy(match={"namespaces": {"names": ["ml"]}, "workloads": workloads}, volumes=OUTPUTS)
    assert (decided(pod, a_world(policies=(policy,))).mode is not None) is matched


def test_an_owner_that_does_not_control_is_no_owner() -> None:
    pod = with_change(lambda p: p["metadata"]["ownerReferences"][0].pop("controller"))
    policy = a_policy(match={"namespaces": {"names": ["ml"]}, "workloads": ["Pod"]}, volumes=OUTPUTS)
    assert decided(pod, a_world(policies=(policy,))).mode is Mode.ENFORCE


def test_a_pod_with_more_data_than_a_verdict_can_tell_is_refused() -> None:
    def flood(pod: dict[str, dict[str, list[dict[str, object]]]]) -> None:
        pod["spec"]["volumes"] += [
            {"name": f"v{i}", "persistentVolumeClaim": {"claimName": f"c{i}"}} for i in range(64)
        ]

    for mode in ("enforce", "audit"):
        decision = decided(with_change(flood), a_world(mode=mode))
        assert Reason.VOLUME_NOT_SUPPORTED in reasons((*decision.denials, *decision.recorded))
        assert len((*decision.denials, *decision.recorded)) <= 33
    assert mutated(with_change(flood), a_world(mode="audit")) == with_change(flood)


def long_names(pod: dict[str, dict[str, list[dict[str, object]]]]) -> None:
    """As many data volumes as a verdict can tell, with names as long as Kubernetes takes them."""
    names = [f"{i:02}" for i in range(64)]
    pod["spec"]["volumes"] = [
        {"name": n.ljust(63, "v"), "persistentVolumeClaim": {"claimName": n.ljust(253, "c")}} for n in names
    ]
    pod["spec"]["containers"][0]["volumeMounts"] = []


def long_world(mode: str, inside: str = "m") -> World:
    """All those volumes are vouched for, each with its manifest inside."""
    claims = [f"{i:02}".ljust(253, "c") for i in range(64)]
    manifest = DATASET.integrity.manifest
    assert manifest
    integrity = replace(DATASET.integrity, manifest=replace(manifest, config_map="", image="", volume_path=inside))
    dataset = replace(DATASET, integrity=integrity)
    return a_world(mode=mode, datasets={ClaimVolume(c): [replace(dataset, name=c)] for c in claims})


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_the_longest_names_that_kubernetes_takes_make_a_plan_that_can_be_read(mode: str) -> None:
    pod = with_change(long_names)
    plan = plan_of(pod, long_world(mode))
    assert len(plan.encode()) > 65536
    assert plans.decode(plan.encode()) == plan


def test_a_plan_that_no_argument_can_hold_is_refused_and_never_breaks_an_audited_pod() -> None:
    pod = with_change(long_names)
    enforced = decided(pod, long_world("enforce", "m" * 1024))
    assert enforced.denials[0].reason is Reason.VOLUME_NOT_SUPPORTED
    assert "argument" in enforced.denials[0].message
    for mode in ("warn", "audit"):
        world = long_world(mode, "m" * 1024)
        assert "argument" in decided(pod, world).recorded[0].message
        assert admitted(pod, world) == ()
        assert mutated(pod, world) == pod
    assert "argument" in decided(pod, long_world("warn", "m" * 1024)).warnings[0].message


def test_refusals_that_do_not_fit_into_the_plan_are_left_out() -> None:
    told = tuple(Refusal(Reason.UNVOUCHED, "\N{SNOWMAN}" * 300, f"v{i}") for i in range(100))
    fitted = Plan("audit", ("p",), refusals=told).fitted()
    assert fitted.fits
    assert 0 < len(fitted.refusals) < 100
    assert told[: len(fitted.refusals)] == fitted.refusals
