"""The verify container as a process: what it leaves behind, and with which code it ends, for every kind of data."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lineward.adapters.files import create_manifest
from lineward.domain import verdict as verdicts
from lineward.domain.plan import Plan, PlannedOutput, PlannedVolume, Refusal
from lineward.domain.reasons import Reason
from lineward.domain.verdict import PodVerdict, Verdict

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, PR_CAPBSET_DROP = 1, 2, 19, 24


def as_in_a_pod() -> None:
    """Give up what root could do and a trainer cannot; called between fork and exec."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@dataclass
class Pod:
    """A data folder with its signed root, and a place where verify can leave its verdict."""

    folder: Path
    volume: PlannedVolume
    plan: Plan
    arguments: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "run" / "termination-log"

    def with_volumes(self, *volumes: PlannedVolume, outputs: tuple[PlannedOutput, ...] = ()) -> None:
        self.plan = replace(self.plan, volumes=volumes, outputs=outputs)

    def start(self) -> subprocess.Popen[str]:
        result = self.folder / "run" / "verdict.json"
        command = [sys.executable, "-I", "-m", "lineward_sidecar.verify", "--plan", self.plan.encode()]
        command += ["--result", str(result), "--termination-log", str(self.log), *self.arguments]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=as_in_a_pod)  # noqa: PLW1509

    def verify(self) -> tuple[int, PodVerdict]:
        process = self.start()
        errors = process.communicate(timeout=60)[1]
        assert all("message" in json.loads(line) for line in errors.splitlines()), errors
        left = self.log.read_text()
        assert (self.folder / "run" / "verdict.json").read_text() == left
        return process.returncode, verdicts.decode(left)


@pytest.fixture
def pod(tmp_path_factory: pytest.TempPathFactory) -> Pod:
    folder = tmp_path_factory.mktemp("pod")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    data = folder / "data"
    data.mkdir()
    (data / "classes").mkdir()
    for name in ("train.csv", "test.csv", "classes/readme.txt"):
        (data / name).write_text(f"contents of {name}\n")
    run = folder / "run"
    run.mkdir()
    run.chmod(0o777)
    with (folder / "manifest.lwm").open("wb") as out:
        made = create_manifest(data, out=out)
    volume = PlannedVolume(
        volume="data",
        path=str(data),
        claim="credit",
        resource="german-credit-1.0.0",
        dataset="german-credit",
        version="1.0.0",
        root=str(made.root),
        manifest_digest=str(made.manifest),
        manifest_path=str(folder / "manifest.lwm"),
    )
    return Pod(folder, volume, Plan("enforce", ("training",), (volume,)))


def test_equal_bytes_let_the_pod_go_on(pod: Pod) -> None:
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (0, Verdict.VERIFIED, Reason.VERIFIED)
    (volume,) = verdict.volumes
    assert volume.expected == volume.observed == pod.volume.root
    assert (volume.files, volume.bytes) == (3, 22 + 21 + 31)


def flip_a_byte(data: Path) -> None:
    text = (data / "train.csv").read_text()
    (data / "train.csv").write_text("K" + text[1:])


SWAP = (("train", "x"), ("test", "train"), ("x", "test"))
CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "one byte": (flip_a_byte, "modified train.csv", "train.csv modified; 1 of 3 files differs"),
    "added": (lambda data: (data / "x").write_text(""), "added x", "x added; 1 of 4 files differs"),
    "dot file": (lambda data: (data / ".x").write_text(""), "added .x", ".x added; 1 of 4 files differs"),
    "removed": (
        lambda data: (data / "test.csv").unlink(),
        "removed test.csv",
        "test.csv removed; 1 of 3 files differs",
    ),
    "renamed": (
        lambda data: (data / "test.csv").rename(data / "tess.csv"),
        "added tess.csv",
        "tess.csv added; 2 of 4 files differ",
    ),
    "swapped": (
        lambda data: [(data / f"{a}.csv").rename(data / f"{b}.csv") for a, b in SWAP],
        "modified test.csv",
        "test.csv modified; 2 of 3 files differ",
    ),
    "control characters": (
        lambda data: (data / "\x1b[2J\n").write_text(""),
        "added \\x1b[2J\\x0a",
        "\\x1b[2J\\x0a added",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_refused_by_name(pod: Pod, change: str) -> None:
    act, name, message = CHANGES[change]
    act(pod.data)
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (86, Verdict.REFUSED, Reason.CONTENT_DIFFERS)
    assert verdict.volumes[0].changed[0] == name
    assert verdict.message.startswith(message)
    assert verdict.message.endswith("from german-credit 1.0.0 (volume data)")
    assert verdict.volumes[0].observed not in {"", pod.volume.root}


@pytest.mark.parametrize("missing", [{"manifest_path": ""}, {"manifest_path": "/nonexistent"}, {"manifest_digest": ""}])
def test_without_manifest_there_is_a_verdict_without_names(pod: Pod, missing: dict[str, Any]) -> None:
    flip_a_byte(pod.data)
    pod.with_volumes(replace(pod.volume, **missing))
    code, verdict = pod.verify()
    assert (code, verdict.reason, verdict.volumes[0].changed) == (86, Reason.CONTENT_DIFFERS, ())
    assert "german-credit 1.0.0 (volume data)" in verdict.message


def test_manifest_of_other_bytes_neither_names_nor_vouches(pod: Pod) -> None:
    flip_a_byte(pod.data)
    with Path(pod.volume.manifest_path).open("wb") as out:
        create_manifest(pod.data, out=out)
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.volumes[0].changed) == (86, Verdict.REFUSED, ())


def test_broken_manifest_does_not_hurt_good_data(pod: Pod) -> None:
    Path(pod.volume.manifest_path).write_bytes(b"\0" * 100)
    assert pod.verify()[0] == 0


def test_a_manifest_that_the_kubelet_mounted_names_what_differs(pod: Pod) -> None:
    mount = pod.folder / "mount"
    (mount / "..2026").mkdir(parents=True)
    (mount / "..data").symlink_to("..2026")
    (mount / "manifest.lwm").symlink_to("..data/manifest.lwm")
    (pod.folder / "manifest.lwm").rename(mount / "..2026" / "manifest.lwm")
    pod.with_volumes(replace(pod.volume, manifest_path=str(mount / "manifest.lwm")))
    flip_a_byte(pod.data)
    code, verdict = pod.verify()
    assert (code, verdict.volumes[0].changed) == (86, ("modified train.csv",))


def test_other_profile_or_chunk_size_is_another_root(pod: Pod) -> None:
    pod.with_volumes(replace(pod.volume, profile="posix", manifest_path=""))
    assert pod.verify()[0] == 86
    pod.with_volumes(replace(pod.volume, chunk_bytes=4096, manifest_path=""))
    assert pod.verify()[0] == 86


@pytest.mark.parametrize(
    "change",
    [{"profile": "none"}, {"chunk_bytes": 5}, {"root": "sha256:xyz"}, {"root": "md5:0"}, {"path": "/nonexistent"}],
)
def test_plan_that_cannot_be_followed_is_unknown(pod: Pod, change: dict[str, Any]) -> None:
    pod.with_volumes(replace(pod.volume, **change))
    code, verdict = pod.verify()
    assert (code, verdict.verdict) == (87, Verdict.UNKNOWN)


def test_unreadable_file_is_named_and_unknown(pod: Pod) -> None:
    (pod.data / "train.csv").chmod(0)
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (87, Verdict.UNKNOWN, Reason.UNREADABLE)
    assert "train.csv" in verdict.message


@pytest.mark.parametrize("special", ["fifo", "link"])
def test_special_files_are_refused(pod: Pod, special: str) -> None:
    if special == "fifo":
        os.mkfifo(pod.data / "x")
    else:
        (pod.data / "x").symlink_to("train.csv")
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (86, Verdict.REFUSED, Reason.SPECIAL_FILE)


def test_empty_folder_is_refused(pod: Pod) -> None:
    (pod.folder / "empty").mkdir()
    pod.with_volumes(replace(pod.volume, path=str(pod.folder / "empty")))
    code, verdict = pod.verify()
    assert (code, verdict.reason) == (86, Reason.EMPTY_DATASET)


@pytest.mark.parametrize("mode", ["audit", "warn"])
def test_audit_and_warn_report_and_let_pass(pod: Pod, mode: str) -> None:
    flip_a_byte(pod.data)
    unvouched = PlannedVolume(volume="more", path=str(pod.data), claim="other")
    refusal = Refusal(Reason.WRONG_IDENTITY, "signed by somebody else", "more")
    pod.plan = Plan(mode, ("training",), (pod.volume, unvouched), refusals=(refusal,))
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.mode) == (0, Verdict.REFUSED, mode)
    assert [volume.reason for volume in verdict.volumes] == [Reason.CONTENT_DIFFERS, Reason.WRONG_IDENTITY]
    assert verdict.message.endswith("; and 1 more")


def test_volume_without_root_never_passes_enforce(pod: Pod) -> None:
    pod.with_volumes(replace(pod.volume, root=""))
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (86, Verdict.REFUSED, Reason.UNVOUCHED)


def test_enforce_stops_at_the_first_refusal_and_says_what_it_did_not_see(pod: Pod) -> None:
    flip_a_byte(pod.data)
    pod.with_volumes(pod.volume, replace(pod.volume, volume="second"))
    code, verdict = pod.verify()
    assert code == 86
    assert [(v.volume, v.verdict) for v in verdict.volumes] == [("data", Verdict.REFUSED), ("second", Verdict.UNKNOWN)]


def test_all_volumes_must_be_equal(pod: Pod) -> None:
    other = pod.folder / "other"
    other.mkdir()
    (other / "train.csv").write_text("else")
    pod.with_volumes(pod.volume, replace(pod.volume, volume="second", path=str(other)))
    assert pod.verify()[0] == 86


def output(pod: Pod, *names: str) -> None:
    folder = pod.folder / "out"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).mkdir(parents=True)
    pod.with_volumes(pod.volume, outputs=(PlannedOutput("out", str(folder), "model-out"),))


@pytest.mark.parametrize("names", [[], ["lost+found"]])
def test_empty_output_passes(pod: Pod, names: list[str]) -> None:
    output(pod, *names)
    code, verdict = pod.verify()
    assert (code, [volume.volume for volume in verdict.volumes]) == (0, ["data"])


def test_unreadable_lost_and_found_is_as_good_as_empty(pod: Pod) -> None:
    output(pod, "lost+found")
    (pod.folder / "out" / "lost+found").chmod(0)
    assert pod.verify()[0] == 0


def test_lost_and_found_that_can_be_searched_hides_nothing(pod: Pod) -> None:
    """Who knows a name in a directory of mode 0711 can open it."""
    output(pod, "lost+found")
    (pod.folder / "out" / "lost+found" / "model.bin").touch()
    (pod.folder / "out" / "lost+found").chmod(0o111)
    code, verdict = pod.verify()
    assert (code, verdict.reason) == (86, Reason.OUTPUT_NOT_EMPTY)


@pytest.mark.parametrize("names", [["model.bin"], [".hidden"], ["lost+found/inside"], ["lost+found", "x"]])
def test_output_that_holds_anything_is_refused(pod: Pod, names: list[str]) -> None:
    output(pod, *names)
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (86, Verdict.REFUSED, Reason.OUTPUT_NOT_EMPTY)
    assert names[-1].split("/")[0] in verdict.message
    assert "claim model-out" in verdict.message


def test_lost_and_found_must_be_a_directory(pod: Pod) -> None:
    output(pod)
    (pod.folder / "out" / "lost+found").write_text("smuggled")
    assert pod.verify()[1].reason is Reason.OUTPUT_NOT_EMPTY


def test_output_that_is_missing_or_a_link_is_unknown(pod: Pod) -> None:
    (pod.folder / "out").symlink_to("/tmp")  # noqa: S108
    pod.with_volumes(pod.volume, outputs=(PlannedOutput("out", str(pod.folder / "out"), "model-out"),))
    code, verdict = pod.verify()
    assert (code, verdict.reason) == (87, Reason.UNREADABLE)


def hold(pod: Pod) -> subprocess.Popen[str]:
    """Start a verification that cannot end by itself soon: a sparse file of a tebibyte."""
    with (pod.data / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    process = pod.start()
    deadline = time.monotonic() + 30
    while not pod.log.exists() or not pod.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    return process


def test_sigterm_ends_it_at_once_with_a_verdict(pod: Pod) -> None:
    process = hold(pod)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    verdict = verdicts.decode(pod.log.read_text())
    assert (process.returncode, verdict.verdict) == (87, Verdict.UNKNOWN)
    assert "SIGTERM" in verdict.message
    assert verdict.volumes[0].volume == "data"


def test_progress_is_logged_and_time_is_limited(pod: Pod) -> None:
    pod.plan = replace(pod.plan, timeout_seconds=7)
    process = hold(pod)
    errors = process.communicate(timeout=20)[1]
    verdict = verdicts.decode(pod.log.read_text())
    assert (process.returncode, verdict.verdict, verdict.reason) == (87, Verdict.UNKNOWN, Reason.VERIFICATION_TIMED_OUT)
    assert "longer than 7 s (volume data, " in verdict.message
    line, *_ = [json.loads(line) for line in errors.splitlines() if '"hashing"' in line]
    assert line["volume"] == "data"
    assert line["bytes"] > 0
    assert line["bytesPerSecond"] > 0


def test_time_limit_lets_audit_pass(pod: Pod) -> None:
    pod.plan = replace(pod.plan, timeout_seconds=2, mode="audit")
    process = hold(pod)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert verdicts.decode(pod.log.read_text()).verdict is Verdict.UNKNOWN


def test_being_killed_leaves_a_verdict_that_is_not_good(pod: Pod) -> None:
    process = hold(pod)
    process.kill()
    process.communicate(timeout=10)
    verdict = verdicts.decode(pod.log.read_text())
    assert (verdict.verdict, verdict.reason) == (Verdict.UNKNOWN, Reason.NO_VERDICT)


def test_earlier_longer_message_leaves_no_trace(pod: Pod) -> None:
    pod.log.write_text("x" * 10_000)
    assert pod.verify()[1].verdict is Verdict.VERIFIED


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_verdict_that_cannot_be_left_is_none(pod: Pod, mode: str) -> None:
    pod.plan = replace(pod.plan, mode=mode)
    pod.log.mkdir()
    process = pod.start()
    process.communicate(timeout=60)
    assert process.returncode == (87 if mode == "enforce" else 0)


def test_missing_result_folder_does_not_hurt(pod: Pod) -> None:
    pod.arguments = ["--result", "/nonexistent/verdict.json"]
    process = pod.start()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert verdicts.decode(pod.log.read_text()).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("plan", ["", "{}", "null", '{"v":1}'])
def test_what_is_no_plan_counts_as_enforced(pod: Pod, plan: str) -> None:
    pod.arguments = ["--plan", plan]
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.mode) == (87, Verdict.UNKNOWN, "enforce")


def test_unknown_mode_counts_as_enforced(pod: Pod) -> None:
    pod.plan = replace(pod.plan, mode="Audit")
    flip_a_byte(pod.data)
    assert pod.verify()[0] == 86


def test_wrong_arguments_are_no_verdict(pod: Pod) -> None:
    pod.arguments = ["--skip"]
    process = pod.start()
    assert "--skip" in process.communicate(timeout=60)[1]
    assert process.returncode == 64


def attach(pid: int) -> str:
    """Try what ptrace and a write to another process's memory need; returns the error, empty if it was allowed."""
    program = f"import os; os.open('/proc/{pid}/mem', os.O_RDWR)"
    tried = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=as_in_a_pod,
    )
    return tried.stderr


def test_same_uid_cannot_attach(pod: Pod) -> None:
    idle = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, preexec_fn=as_in_a_pod)  # noqa: PLW1509
    try:
        if attach(idle.pid):
            pytest.skip("this machine lets no process attach to another, so there is nothing to see")
    finally:
        idle.kill()
        idle.communicate()
    process = hold(pod)
    try:
        assert "PermissionError" in attach(process.pid)
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_an_exception_lets_the_pod_start_and_never_makes_it_verified(pod: Pod) -> None:
    let_through = Refusal(Reason.UNVOUCHED, "set aside by ProvenanceException migration", "raw")
    pod.plan = replace(pod.plan, exceptions=(let_through,))
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (0, Verdict.UNKNOWN, Reason.EXCEPTED)
    assert [(v.volume, v.verdict) for v in verdict.volumes] == [("data", Verdict.VERIFIED), ("raw", Verdict.UNKNOWN)]


def test_an_exception_excuses_no_changed_byte_beside_it(pod: Pod) -> None:
    pod.plan = replace(pod.plan, exceptions=(Refusal(Reason.UNVOUCHED, "x", "raw"),))
    (pod.data / "train.csv").write_text("other\n")
    code, verdict = pod.verify()
    assert (code, verdict.verdict, verdict.reason) == (verdicts.EXIT_DIFFERS, Verdict.REFUSED, Reason.CONTENT_DIFFERS)
