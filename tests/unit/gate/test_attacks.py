"""Each way in which an earlier gate was beaten on a real cluster is refused here; numbers are those attacks'."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.gate.pods import (
    LISTED_NFS,
    Json,
    a_pod,
    a_world,
    admitted,
    decided,
    mutated,
    of_another_version,
    reasons,
    validated,
    with_change,
)

from lineward.domain.dataset import ClaimVolume
from lineward.domain.reasons import Reason
from lineward.domain.update import judge_update
from lineward.domain.world import Writer


def main(pod: Json) -> Json:
    container: Json = pod["spec"]["containers"][0]
    return container


def verify(pod: Json) -> Json:
    container: Json = pod["spec"]["initContainers"][0]
    return container


def add_volume(pod: Json, name: str, source: Json, path: str = "", **mount: object) -> None:
    pod["spec"]["volumes"].append({"name": name, **source})
    if path:
        main(pod)["volumeMounts"].append({"name": name, "mountPath": path, **mount})


def test_an_honest_pod_passes_both_passes() -> None:
    pod = mutated(a_pod())
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["lineward-verify", "lineward-sidecar"]
    assert validated(pod) == ()


@pytest.mark.parametrize("list_index", [0, 1])
@pytest.mark.parametrize(
    "change", [{"image": "evil"}, {"command": ["true"]}, {"resources": {}}, {"securityContext": {"runAsUser": 7}}]
)
def test_1_2_a_changed_container_of_ours_is_refused_on_update(list_index: int, change: Json) -> None:
    old = mutated(a_pod())
    new = with_change(lambda p: p["spec"]["initContainers"][list_index].update(change), old)
    assert Reason.CONTAINER_CHANGED in reasons(judge_update(old, new))


def test_1_2_removing_or_moving_ours_is_refused_on_update() -> None:
    old = mutated(a_pod())
    assert reasons(judge_update(old, with_change(lambda p: p["spec"]["initContainers"].reverse(), old)))
    assert reasons(judge_update(old, with_change(lambda p: p["spec"].pop("initContainers"), old)))


def test_1_the_main_containers_image_and_foreign_labels_may_change() -> None:
    old = mutated(a_pod())
    new = with_change(lambda p: (main(p).update(image="newer"), p["metadata"]["labels"].update(team="x")), old)
    assert judge_update(old, new) == ()


def ephemeral(**fields: object) -> Callable[[Json], object]:
    return lambda p: p["spec"].update(ephemeralContainers=[{"name": "debug", "image": "busybox", **fields}])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"targetContainerName": "lineward-verify"}, Reason.CONTAINER_CHANGED),
        ({"targetContainerName": "lineward-sidecar"}, Reason.CONTAINER_CHANGED),
        ({"name": "lineward-debug"}, Reason.CONTAINER_CHANGED),
        ({"volumeMounts": [{"name": "lineward-token", "mountPath": "/t"}]}, Reason.RESERVED_NAME),
        ({"volumeMounts": [{"name": "data", "mountPath": "/d"}]}, Reason.DATA_WRITABLE),
        (
            {"volumeMounts": [{"name": "data", "mountPath": "/d", "readOnly": True, "subPath": "x"}]},
            Reason.DATA_WRITABLE,
        ),
        ({"volumeDevices": [{"name": "data", "devicePath": "/dev/x"}]}, Reason.BLOCK_DEVICE),
        ({"securityContext": {"privileged": True}}, Reason.PRIVILEGED),
        ({"securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}, Reason.PRIVILEGED),
        ({"securityContext": {"capabilities": {"add": ["cap_sys_admin"]}}}, Reason.PRIVILEGED),
    ],
)
def test_4_8_ephemeral_containers_reach_neither_ours_nor_the_data(fields: Json, reason: Reason) -> None:
    old = mutated(a_pod())
    assert reason in reasons(judge_update(old, with_change(ephemeral(**fields), old)))


def test_4_a_harmless_ephemeral_container_may_be_added() -> None:
    old = mutated(a_pod())
    mounts = [{"name": "data", "mountPath": "/d", "readOnly": True}, {"name": "out", "mountPath": "/o"}]
    assert judge_update(old, with_change(ephemeral(targetContainerName="main", volumeMounts=mounts), old)) == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"volumeMounts": [{"name": "data", "mountPath": "/d"}]}, Reason.DATA_WRITABLE),
        ({"volumeMounts": [{"name": "out", "mountPath": "/o"}]}, Reason.DATA_WRITABLE),
        ({"securityContext": {"privileged": True}}, Reason.PRIVILEGED),
    ],
)
def test_4_8_a_plan_of_another_version_protects_all_claims(fields: Json, reason: Reason) -> None:
    old = with_change(of_another_version, mutated(a_pod(), a_world(mode="audit")))
    assert reasons(judge_update(old, with_change(ephemeral(**fields), old))) == [reason]
    labelled = with_change(lambda p: p["metadata"]["labels"].update({"lineward.dev/x": "y"}), old)
    assert reasons(judge_update(old, labelled)) == [Reason.UNKNOWN_ANNOTATION]


def test_4_a_pod_that_is_being_deleted_is_judged_like_any_other() -> None:
    old = with_change(lambda p: p["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"), mutated(a_pod()))
    new = with_change(ephemeral(targetContainerName="lineward-verify"), old)
    assert reasons(judge_update(old, new)) == [Reason.CONTAINER_CHANGED]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["spec"].update(shareProcessNamespace=True),
        lambda p: p["spec"].update(hostPID=True),
        lambda p: main(p)["securityContext"].update(privileged=True),
        lambda p: main(p)["securityContext"].update(capabilities={"add": ["SYS_ADMIN"]}),
        lambda p: main(p)["securityContext"].update(capabilities={"add": ["CAP_SYS_PTRACE"]}),
        lambda p: main(p)["securityContext"].update(capabilities={"add": ["all"]}),
        lambda p: main(p)["securityContext"].update(capabilities={"add": ["DAC_READ_SEARCH"]}),
        lambda p: main(p)["securityContext"].update(procMount="Unmasked"),
        lambda p: main(p)["volumeMounts"][1].update(mountPropagation="Bidirectional"),
        lambda p: p["spec"].update(
            initContainers=[{"name": "i", "image": "x", "securityContext": {"privileged": True}}]
        ),
    ],
)
def test_5_6_11_nothing_that_reaches_around_the_gate(change: Callable[[Json], object]) -> None:
    assert reasons(admitted(with_change(change))) == [Reason.PRIVILEGED]


def test_7_a_pod_that_comes_already_injected_with_one_mount_more_is_made_afresh() -> None:
    forged = mutated(a_pod())
    forged["spec"]["volumes"].append({"name": "evil", "configMap": {"name": "evil"}})
    verify(forged)["volumeMounts"].append(
        {"name": "evil", "mountPath": "/usr/lib/python3.11/hashlib.py", "subPath": "h"}
    )
    assert reasons(validated(forged)) == [Reason.NOT_INJECTED]
    assert "evil" not in str(verify(mutated(forged)))


@pytest.mark.parametrize("path", ["/data", "/data/train.csv", "/data/a/b", "/", "data/x", "/x/../data/y", "//data/z"])
def test_9_nothing_is_mounted_at_under_or_above_the_data(path: str) -> None:
    pod = with_change(lambda p: add_volume(p, "smuggled", {"emptyDir": {}}, path))
    assert reasons(admitted(pod)) == [Reason.MOUNT_OVERLAP]


def test_9_the_kubelets_termination_message_file_does_not_hide_data_either() -> None:
    pod = with_change(lambda p: main(p).update(terminationMessagePath="/data/labels.csv"))
    assert reasons(admitted(pod)) == [Reason.MOUNT_OVERLAP]


@pytest.mark.parametrize("path", ["/etc", "/dev/data", "/proc/data", "/"])
def test_9_data_is_not_mounted_where_the_runtime_mounts(path: str) -> None:
    pod = with_change(lambda p: main(p)["volumeMounts"][0].update(mountPath=path))
    assert reasons(admitted(pod)) == [Reason.MOUNT_OVERLAP]


@pytest.mark.parametrize(
    ("data", "other"), [("/lib/d", "/usr/lib64/d"), ("/libs/d", "/usr/lib/d"), ("/var/locks", "/run/lock")]
)
def test_9_what_only_looks_like_such_a_link_is_no_overlap(data: str, other: str) -> None:
    def change(pod: Json) -> None:
        main(pod)["volumeMounts"][0].update(mountPath=data)
        add_volume(pod, "scratch", {"emptyDir": {}}, other)

    assert admitted(with_change(change)) == ()


@pytest.mark.parametrize("path", ["/data2", "/dat", "/other/data"])
def test_9_neighbouring_paths_are_no_overlap(path: str) -> None:
    assert admitted(with_change(lambda p: add_volume(p, "scratch", {"emptyDir": {}}, path))) == ()


@pytest.mark.parametrize(
    ("data", "other"),
    [
        ("/var/run/d", "/run/d"),
        ("/run/d", "/var/run/d/x"),
        ("/var/run", "/run/x"),
        ("/var/../var/./run/d/x", "/run/d"),
        ("/var", "/var/run/x"),
        ("/var/lock/d", "/run/lock/d/x"),
        ("/run/lock", "/var/lock/x"),
        ("/run", "/var/lock/x"),
        ("/bin/d", "/usr/bin/d/x"),
        ("/usr/sbin/d/x", "/sbin/d"),
        ("/lib/d", "/usr/lib/d"),
        ("/usr/lib64", "/lib64/x"),
        ("/usr", "/lib/x"),
    ],
)
def test_9_a_mount_through_a_link_of_most_images_is_a_mount_of_its_target(data: str, other: str) -> None:
    def change(pod: Json) -> None:
        main(pod)["volumeMounts"][0].update(mountPath=data)
        add_volume(pod, "smuggled", {"emptyDir": {}}, other)

    assert reasons(admitted(with_change(change))) == [Reason.MOUNT_OVERLAP]


def test_9_an_overlap_in_an_init_container_counts_too() -> None:
    mounts = [{"name": "data", "mountPath": "/in"}, {"name": "shm", "mountPath": "/in/deep"}]
    pod = with_change(lambda p: p["spec"].update(initContainers=[{"name": "i", "image": "x", "volumeMounts": mounts}]))
    assert reasons(admitted(pod)) == [Reason.MOUNT_OVERLAP]


def test_10_a_second_volume_name_for_the_data_claim_is_read_only_too() -> None:
    source = {"persistentVolumeClaim": {"claimName": "credit"}}
    pod = mutated(with_change(lambda p: add_volume(p, "again", source, "/again")))
    again = [v for v in pod["spec"]["volumes"] if v["name"] == "again"]
    assert again[0]["persistentVolumeClaim"]["readOnly"] is True
    assert validated(pod) == ()
    main(pod)["volumeMounts"][-1]["readOnly"] = False
    assert reasons(validated(pod)) == [Reason.DATA_WRITABLE]


def test_10_data_that_another_pod_can_write_is_refused() -> None:
    world = a_world(writers={"credit": [Writer("notebook")]})
    assert reasons(admitted(a_pod(), world)) == [Reason.DATA_WRITABLE]


def test_10_an_audited_reader_is_a_writer_for_enforce_but_not_for_audit() -> None:
    writers = {"credit": [Writer("rank-0", audited=True)]}
    assert reasons(admitted(a_pod(), a_world(writers=writers))) == [Reason.DATA_WRITABLE]
    audited = a_world(mode="audit", writers=writers)
    assert Reason.DATA_WRITABLE not in reasons(decided(a_pod(), audited).recorded)


def test_10_a_pod_that_no_policy_matches_does_not_write_what_a_protected_pod_reads() -> None:
    readers = {"credit": ["train-0"]}
    free = replace(a_world(protected_readers=readers), policies=())
    assert reasons(admitted(a_pod(), free)) == [Reason.DATA_WRITABLE]
    pod = with_change(lambda p: main(p)["volumeMounts"][0].update(readOnly=True))
    assert admitted(pod, free) == ()


def test_10_another_rank_of_the_same_run_may_read_it() -> None:
    assert admitted(a_pod(), a_world(protected_readers={"credit": ["train-0"]})) == ()


def test_10_an_output_is_not_the_data_of_a_running_pod() -> None:
    world = a_world(protected_readers={"model-out": ["train-0"]})
    assert reasons(admitted(a_pod(), world)) == [Reason.DATA_WRITABLE]


def test_10_a_claim_that_holds_a_dataset_is_never_an_output() -> None:
    world = a_world()
    dataset = next(iter(world.datasets.values()))
    both = replace(world, datasets={**world.datasets, ClaimVolume("model-out"): dataset})
    assert reasons(admitted(a_pod(), both)) == [Reason.DATA_WRITABLE]


@pytest.mark.parametrize("path", ["/var/lib/kubelet/pods", "/opt/cache/", "/opt", "/opt/cache/x"])
def test_12_a_host_path_is_refused_unless_listed_exactly(path: str) -> None:
    pod = with_change(lambda p: add_volume(p, "host", {"hostPath": {"path": path, "type": ""}}, "/host"))
    assert reasons(admitted(pod)) == [Reason.HOST_PATH]


def test_12_a_listed_host_path_is_allowed() -> None:
    pod = with_change(lambda p: add_volume(p, "host", {"hostPath": {"path": "/opt/cache"}}, "/host"))
    assert admitted(pod) == ()


@pytest.mark.parametrize("key", ["subPath", "subPathExpr"])
def test_a_part_of_the_data_is_refused(key: str) -> None:
    pod = with_change(lambda p: main(p)["volumeMounts"][0].update({key: "$(POD_NAME)"}))
    assert reasons(admitted(pod)) == [Reason.SUBPATH_NOT_SUPPORTED]


def test_block_devices_are_refused() -> None:
    def as_device(pod: Json) -> None:
        main(pod)["volumeMounts"].pop(0)
        main(pod)["volumeDevices"] = [{"name": "data", "devicePath": "/dev/data"}]

    assert reasons(admitted(with_change(as_device))) == [Reason.BLOCK_DEVICE]
    assert reasons(admitted(a_pod(), a_world(block_claims=frozenset({"credit"})))) == [Reason.BLOCK_DEVICE]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"quantumDisk": {}}, Reason.UNKNOWN_VOLUME_TYPE),
        ({}, Reason.UNKNOWN_VOLUME_TYPE),
        ({"emptyDir": {}, "hostPath": {"path": "/"}}, Reason.UNKNOWN_VOLUME_TYPE),
        ({"emptyDir": {}, "hostPath": None}, Reason.UNKNOWN_VOLUME_TYPE),
        ({"persistentVolumeClaim": {"claimName": "credit"}, "emptyDir": {}}, Reason.UNKNOWN_VOLUME_TYPE),
        ({"ephemeral": {"volumeClaimTemplate": {}}}, Reason.VOLUME_NOT_SUPPORTED),
        ({"csi": {"driver": "d"}}, Reason.VOLUME_NOT_SUPPORTED),
        ({"gitRepo": {"repository": "x"}}, Reason.VOLUME_NOT_SUPPORTED),
        ({"image": {"reference": "registry/x:latest"}}, Reason.UNVOUCHED),
        ({"nfs": LISTED_NFS}, Reason.UNVOUCHED),
        ({"nfs": {"server": "s", "path": "/p"}}, Reason.NFS_NOT_ALLOWED),
        ({"persistentVolumeClaim": {"claimName": "second", "readOnly": True}}, Reason.UNVOUCHED),
    ],
)
def test_volumes_that_nobody_vouches_for_are_refused(source: Json, reason: Reason) -> None:
    pod = with_change(lambda p: add_volume(p, "more", source, "/more", readOnly=True))
    refusals = admitted(pod)
    assert reasons(refusals) == [reason]
    assert refusals[0].volume == "more"


@pytest.mark.parametrize("where", ["labels", "annotations"])
@pytest.mark.parametrize("key", ["lineward.dev/skip", "lineward.dev/dataset", "x.lineward.dev/mode", "LineWard.dev/x"])
def test_a_pod_cannot_say_anything_else(where: str, key: str) -> None:
    pod = with_change(lambda p: p["metadata"].setdefault(where, {}).update({key: "true"}))
    assert reasons(admitted(pod)) == [Reason.UNKNOWN_ANNOTATION]


@pytest.mark.parametrize("text", ["data", "data=", "=x", "data=a,data=b", "other=german-credit-1.0.0", "out=x", ","])
def test_a_choice_that_means_nothing_is_refused(text: str) -> None:
    pod = with_change(lambda p: p["metadata"].update(annotations={"lineward.dev/datasets": text}))
    assert reasons(admitted(pod)) == [Reason.UNKNOWN_ANNOTATION]


def test_labels_of_ours_do_not_change_after_admission() -> None:
    old = mutated(a_pod())
    new = with_change(lambda p: p["metadata"]["labels"].update({"lineward.dev/run": "other"}), old)
    assert reasons(judge_update(old, new)) == [Reason.UNKNOWN_ANNOTATION]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["spec"]["containers"].append({"name": "lineward-verify", "image": "evil"}),
        lambda p: p["spec"]["containers"].append({"name": "lineward-x", "image": "evil"}),
        lambda p: p["spec"].update(initContainers=[{"name": "lineward-first", "image": "evil"}]),
        lambda p: p["spec"]["volumes"].append({"name": "lineward-extra", "emptyDir": {}}),
        lambda p: main(p)["volumeMounts"].append({"name": "lineward-run", "mountPath": "/r"}),
        lambda p: main(p)["volumeMounts"].append({"name": "lineward-token", "mountPath": "/t"}),
    ],
)
def test_reserved_names_are_refused(change: Callable[[Json], object]) -> None:
    assert Reason.RESERVED_NAME in reasons(admitted(with_change(change)))
    assert Reason.RESERVED_NAME in reasons(admitted(with_change(change), a_world(policies=())))


def test_a_forged_verifier_in_a_pod_that_no_policy_matches_is_refused() -> None:
    assert reasons(validated(mutated(a_pod()), a_world(policies=()))) == [Reason.RESERVED_NAME]


def test_the_ledgers_audience_is_reserved() -> None:
    token = {"serviceAccountToken": {"audience": "lineward-ledger", "path": "t"}}
    pod = with_change(lambda p: add_volume(p, "tok", {"projected": {"sources": [token]}}, "/tok"))
    assert reasons(admitted(pod)) == [Reason.AUDIENCE_RESERVED]


def test_containers_of_a_newer_kubernetes_are_refused() -> None:
    pod = with_change(lambda p: p["spec"].update(finallyContainers=[{"name": "x"}]))
    assert reasons(admitted(pod)) == [Reason.POD_NOT_SUPPORTED]


def test_windows_pods_are_refused_and_left_alone_under_audit() -> None:
    pod = with_change(lambda p: p["spec"].update(os={"name": "windows"}))
    assert reasons(admitted(pod)) == [Reason.POD_NOT_SUPPORTED]
    assert mutated(pod, a_world(mode="audit")) == pod


def test_a_container_that_a_later_webhook_put_ahead_of_ours_is_refused() -> None:
    pod = mutated(a_pod())
    pod["spec"]["initContainers"].insert(0, {"name": "mesh", "image": "proxy"})
    assert reasons(validated(pod)) == [Reason.NOT_INJECTED]
    assert [c["name"] for c in mutated(pod)["spec"]["initContainers"]] == [
        "lineward-verify",
        "lineward-sidecar",
        "mesh",
    ]


def test_a_skipped_mutating_pass_denies_only_under_enforce() -> None:
    assert reasons(validated(a_pod())) == [Reason.NOT_INJECTED]
    assert validated(a_pod(), a_world(mode="audit")) == ()


def test_data_made_writable_after_us_is_refused() -> None:
    pod = mutated(a_pod())
    source = with_change(lambda p: p["spec"]["volumes"][0]["persistentVolumeClaim"].pop("readOnly"), pod)
    mount = with_change(lambda p: main(p)["volumeMounts"][0].pop("readOnly"), pod)
    assert reasons(validated(source)) == [Reason.DATA_WRITABLE]
    assert reasons(validated(mount)) == [Reason.DATA_WRITABLE]


def test_the_original_is_never_changed() -> None:
    pod = a_pod()
    before = copy.deepcopy(pod)
    admitted(pod)
    assert pod == before
