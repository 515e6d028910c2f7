"""What is put into a pod: as whom it runs, what it asks for, and that it may be done any number of times."""

from __future__ import annotations

import copy
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gate.pods import IMAGE, SETTINGS, Json, a_pod, a_world, mutated, reasons, validated, with_change

from lineward.domain import conformity, podspec, quantity
from lineward.domain.decision import decide
from lineward.domain.errors import InvalidInputError
from lineward.domain.injection import inject, patch, strip, without_ours
from lineward.domain.podspec import Pod
from lineward.domain.reasons import Reason
from lineward.domain.world import Bounds

TOKEN_MOUNT = {
    "name": "kube-api-access-abcde",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def verify(pod: Json) -> Json:
    container: Json = pod["spec"]["initContainers"][0]
    return container


def sidecar(pod: Json) -> Json:
    container: Json = pod["spec"]["initContainers"][1]
    return container


def test_injection_is_idempotent() -> None:
    once = mutated(a_pod())
    assert mutated(once) == once
    assert strip(once)["spec"]["containers"] == once["spec"]["containers"]


def test_the_patch_makes_the_injected_pod() -> None:
    before, after = a_pod(), mutated(a_pod())
    made = copy.deepcopy(before)
    for operation in patch(before, after):
        name = operation["path"].rpartition("/")[2]
        assert (operation["op"] == "add") is (name not in made["spec"])
        made["spec"][name] = operation["value"]
    assert made == after
    assert patch(after, after) == []


def test_stripping_what_was_all_there_was_removes_the_list() -> None:
    pod = mutated(a_pod())
    assert {"op": "remove", "path": "/spec/initContainers"} in patch(pod, strip(pod))


def test_enforce_makes_data_read_only_at_source_and_mounts_and_outputs_not() -> None:
    spec = mutated(a_pod())["spec"]
    data, out = spec["volumes"][:2]
    assert data["persistentVolumeClaim"] == {"claimName": "credit", "readOnly": True}
    assert out["persistentVolumeClaim"] == {"claimName": "model-out"}
    mounts = spec["containers"][0]["volumeMounts"]
    assert mounts[0] == {"name": "data", "mountPath": "/data", "readOnly": True, "recursiveReadOnly": "IfPossible"}
    assert "readOnly" not in mounts[1]


def test_a_mount_that_propagates_from_the_host_is_not_made_recursively_read_only() -> None:
    pod = with_change(
        lambda p: p["spec"]["containers"][0]["volumeMounts"][0].update(mountPropagation="HostToContainer")
    )
    mount = mutated(pod)["spec"]["containers"][0]["volumeMounts"][0]
    assert mount["readOnly"] is True
    assert "recursiveReadOnly" not in mount


def test_our_containers_only_read() -> None:
    for container in mutated(a_pod())["spec"]["initContainers"]:
        writable = [m["name"] for m in container["volumeMounts"] if not m.get("readOnly")]
        assert writable == ["lineward-run"]
    assert "lineward-token" not in str(verify(mutated(a_pod())))


def test_an_image_volume_is_data() -> None:
    pod = with_change(
        lambda p: (
            p["spec"]["volumes"].append({"name": "img", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}),
            p["spec"]["containers"][0]["volumeMounts"].append({"name": "img", "mountPath": "/img"}),
        )
    )
    made = mutated(pod)
    assert {"name": "img", "mountPath": "/lineward/data/img", "readOnly": True, "recursiveReadOnly": "IfPossible"} in (
        verify(made)["volumeMounts"]
    )
    assert validated(made) == ()
    made["spec"]["volumes"][4]["image"]["pullPolicy"] = "Always"
    assert validated(made) == ()


@pytest.mark.parametrize(
    ("pod_context", "container_context", "labels", "uid", "added"),
    [
        ({}, {"runAsUser": 1000}, {}, 1000, None),
        ({"runAsUser": 2000}, {}, {}, 2000, None),
        ({"runAsUser": 2000}, {"runAsUser": 1000}, RESTRICTED, 1000, None),
        ({}, {}, {}, 0, ["DAC_OVERRIDE"]),
        ({}, {"runAsUser": 0}, {}, 0, ["DAC_OVERRIDE"]),
        ({}, {}, RESTRICTED, 65532, None),
        ({"runAsNonRoot": True}, {}, {}, 65532, None),
        ({}, {"runAsNonRoot": True}, {}, 65532, None),
    ],
)
def test_it_runs_as_whom_the_trainer_runs(
    pod_context: Json, container_context: Json, labels: dict[str, str], uid: int, added: list[str] | None
) -> None:
    def as_given(pod: Json) -> None:
        pod["spec"]["securityContext"] = pod_context
        pod["spec"]["containers"][0]["securityContext"] = container_context

    pod = mutated(with_change(as_given), a_world(namespace_labels=labels))
    for container in pod["spec"]["initContainers"]:
        context = container["securityContext"]
        assert (context["runAsUser"], context["capabilities"].get("add")) == (uid, added)
        assert context["runAsNonRoot"] is (uid != 0)
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_trainer_is_the_container_that_mounts_data() -> None:
    proxy = {"name": "proxy", "image": "p", "securityContext": {"runAsUser": 7, "runAsGroup": 7}}
    labels = {"level": "s0:c1,c2"}
    pod = with_change(
        lambda p: (
            p["spec"]["containers"][0]["securityContext"].update(runAsGroup=3000, seLinuxOptions=labels),
            p["spec"]["containers"].insert(0, proxy),
        )
    )
    context = verify(mutated(pod))["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["seLinuxOptions"]) == (1000, 3000, labels)


def with_resources(*each: Json, pod_level: Json | None = None) -> Json:
    pod = a_pod()
    main = pod["spec"]["containers"][0]
    more = [{"name": f"c{i}", "image": "x", "resources": resources} for i, resources in enumerate(each[1:])]
    pod["spec"]["containers"] = [{**main, "resources": each[0]}, *more]
    if pod_level:
        pod["spec"]["resources"] = pod_level
    return pod


def test_verify_asks_for_what_the_application_containers_ask_for() -> None:
    one = {"requests": {"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": "1"}, "limits": {"memory": "1Gi"}}
    two = {"requests": {"cpu": "500m"}, "limits": {"memory": "512Mi", "cpu": "1"}}
    resources = verify(mutated(with_resources(one, two)))["resources"]
    assert resources == {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "1536Mi"}}


def test_a_guaranteed_pod_stays_guaranteed() -> None:
    both = {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    for container in mutated(with_resources(both))["spec"]["initContainers"]:
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert sidecar(mutated(with_resources(both)))["resources"]["limits"] == {"cpu": "100m", "memory": "128Mi"}


def test_under_pod_level_resources_ours_ask_for_nothing() -> None:
    pod = with_resources({}, pod_level={"requests": {"cpu": "1"}})
    assert [c["resources"] for c in mutated(pod)["spec"]["initContainers"]] == [{}, {}]


def test_the_sidecar_has_the_limits_that_a_quota_may_ask_for() -> None:
    limited = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
    resources = sidecar(mutated(with_resources(limited)))["resources"]
    assert resources == {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "100m", "memory": "128Mi"}}


def test_limit_ranges_are_met() -> None:
    bounds = Bounds(minimum={"cpu": Decimal("0.05")}, maximum={"memory": Decimal(2**30)})
    each = {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    pod = mutated(with_resources(each, each), a_world(bounds=bounds))
    assert sidecar(pod)["resources"]["requests"]["cpu"] == "50m"
    assert verify(pod)["resources"]["limits"]["memory"] == "1Gi"


def test_on_the_nodes_network_no_port_of_the_node_is_taken() -> None:
    assert "ports" not in sidecar(mutated(with_change(lambda p: p["spec"].update(hostNetwork=True))))
    assert sidecar(mutated(a_pod()))["ports"][0]["containerPort"] == 9465


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["volumeMounts"].append(dict(TOKEN_MOUNT)),
        lambda c: c["env"].append({"name": "AWS_ROLE_ARN", "value": "arn:x"}),
        lambda c: c["resources"].setdefault("limits", {}).update(cpu="3"),
        lambda c: c.update(imagePullPolicy="Always"),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_what_kubernetes_and_listed_webhooks_add_is_tolerated(change: object, index: int) -> None:
    pod = mutated(a_pod())
    change(pod["spec"]["initContainers"][index])  # type: ignore[operator]
    assert validated(pod) == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["volumeMounts"].append({**TOKEN_MOUNT, "readOnly": False}),
        lambda c: c["volumeMounts"].append({**TOKEN_MOUNT, "mountPath": "/opt/lineward"}),
        lambda c: c["volumeMounts"].append({**TOKEN_MOUNT, "subPath": "x"}),
        lambda c: c["volumeMounts"].append({**TOKEN_MOUNT, "name": "kube-api-access-evil-volume"}),
        lambda c: c["volumeMounts"].pop(0),
        lambda c: c["env"].append({"name": "LD_PRELOAD", "value": "/evil.so"}),
        lambda c: c["env"].append({"name": "PYTHONPATH", "value": "/evil"}),
        lambda c: c["env"].append({"name": "OTHER", "value": "x"}),
        lambda c: c["env"].insert(0, {"name": "LINEWARD_POD_UID", "value": "x"}),
        lambda c: c.update(envFrom=[{"configMapRef": {"name": "evil"}}]),
        lambda c: c.update(args=["x"]),
        lambda c: c.update(workingDir="/evil"),
        lambda c: c.update(lifecycle={"postStart": {"exec": {"command": ["x"]}}}),
        lambda c: c.update(stdin=True),
        lambda c: c.update(restartPolicy="OnFailure"),
        lambda c: c["command"].__setitem__(1, "-c"),
        lambda c: c["securityContext"].update(runAsUser=4),
        lambda c: c["resources"]["requests"].update(memory="1"),
        lambda c: c["resources"].update(claims=[{"name": "x"}]),
        lambda c: c.update(volumeDevices=[{"name": "out", "devicePath": "/x"}]),
        lambda c: c.update(newField={}),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_anything_else_in_ours_is_refused(change: object, index: int) -> None:
    pod = mutated(a_pod())
    change(pod["spec"]["initContainers"][index])  # type: ignore[operator]
    assert reasons(validated(pod)) == [Reason.NOT_INJECTED]


@pytest.mark.parametrize(
    "change",
    [
        lambda volumes: volumes.append({"name": "lineward-manifest-9", "emptyDir": {}}),
        lambda volumes: volumes[-1]["projected"].update(defaultMode=511),
        lambda volumes: volumes[-2].update(emptyDir={}),
        lambda volumes: volumes[-3].update(configMap={"name": "evil"}),
        lambda volumes: volumes.append(copy.deepcopy(volumes[-1])),
        lambda volumes: volumes.pop(),
    ],
)
def test_our_volumes_are_compared_too(change: object) -> None:
    pod = mutated(a_pod())
    change(pod["spec"]["volumes"])  # type: ignore[operator]
    assert reasons(validated(pod)) in ([Reason.NOT_INJECTED], [Reason.RESERVED_NAME])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in inner for found in paths(child, (*path, key)))]


def put(value: Json, path: tuple[object, ...], new: object) -> Json:
    made = copy.deepcopy(value)
    node: object = made
    for key in path[:-1]:
        node = node[key]  # type: ignore[index]
    node[path[-1]] = new  # type: ignore[index]
    return made


def parsed(pod: Json) -> Pod | None:
    """None where the pod is refused because it cannot be read."""
    try:
        return podspec.parse(pod)
    except InvalidInputError:
        return None


INJECTED = mutated(a_pod())
OURS = [
    ("spec", "initContainers", i, *path)
    for i in (0, 1)
    for path in paths(INJECTED["spec"]["initContainers"][i])
    if path
]
ANYWHERE = [path for path in paths(a_pod()) if path]


@given(st.sampled_from(OURS), JSON)
def test_any_other_value_anywhere_in_ours_is_refused(path: tuple[object, ...], value: object) -> None:
    changed = put(INJECTED, path, value)
    pod = parsed(changed)
    if pod is None:
        return
    decision = decide(without_ours(pod), a_world(), SETTINGS)
    same = conformity.objection(changed, decision.injection, SETTINGS) is None
    assert not same or changed == INJECTED or path[3] in {"resources", "imagePullPolicy"}


@given(st.sampled_from(ANYWHERE), JSON, st.sampled_from(["audit", "enforce"]))
def test_no_pod_makes_a_decision_fail(path: tuple[object, ...], value: object, mode: str) -> None:
    changed = put(a_pod(), path, value)
    pod = parsed(changed)
    if pod is None:
        return
    decision = decide(pod, a_world(mode=mode), SETTINGS)
    if mode == "audit":
        assert decision.allowed


@given(st.sampled_from(["audit", "enforce"]), st.booleans(), st.lists(st.sampled_from(["a", "b", "c"]), unique=True))
def test_stripping_gives_the_users_pod_back(mode: str, restricted: bool, names: list[str]) -> None:  # noqa: FBT001
    pod = a_pod()
    if names:
        pod["spec"]["initContainers"] = [{"name": name, "image": "x"} for name in names]
    world = a_world(mode=mode, namespace_labels=RESTRICTED if restricted else {})
    decision = decide(podspec.parse(pod), world, SETTINGS)
    assert decision.injection
    injected = inject(pod, decision.injection, SETTINGS)
    unforced = inject(pod, replace(decision.injection, read_only=frozenset()), SETTINGS)
    assert strip(unforced) == pod
    assert inject(strip(injected), decision.injection, SETTINGS) == injected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1500m", "1.5"),
        ("2", "2"),
        ("1Gi", "1073741824"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        ("100u", "0.0001"),
        (3, "3"),
    ],
)
def test_quantities_are_compared_by_value(text: object, value: str) -> None:
    assert quantity.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "--1", "1.2.3", None, [], "9" * 99, "1e999"])
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(InvalidInputError):
        quantity.parse(text)
