"""The cases of the demo, in the order in which they are shown.

Each prints what a user would see, and stops if it is not true.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.demo.stage import Stage
from e2e.support import workloads
from e2e.support.attesting import LINEWARD
from e2e.support.kubectl import Object, wait_for
from e2e.support.world import Identity, World

OUTPUT = "model"


@dataclass(frozen=True)
class Show:
    """What the cases share. `files` is the real data set, `team` the accepted signer, `intern` another one."""

    stage: Stage
    world: World
    files: dict[str, bytes]
    team: Identity
    intern: Identity
    workdir: Path

    def audit(self) -> None:
        """Before anything is enforced: the report of what would have been denied."""
        self.stage.title("0. Under audit: nothing is denied, and the report says what would have been")
        self.stage.say(
            "A platform team starts with a policy in mode audit. "
            "A Job trains on a claim that nobody vouches for. It runs."
        )
        self.world.storage.claim("credit-raw", self.files)
        self.world.set_policy("audit", self.team)
        name = self._submit("train-raw-audited", {"data": "credit-raw"})
        pod = workloads.wait_for_end(self.world.kubectl, name)
        self.stage.show(self.world.kubectl, "get", "jobs,pods", "-l", f"batch.kubernetes.io/job-name={name}")
        self.stage.expect(pod["status"]["phase"] == "Succeeded", "the unsigned Job ran to its end")
        run = self.world.run_of(name)
        self._lineward("audit", "--namespace", self.world.namespace)
        self.stage.expect(run["status"].get("wouldDeny"), "the report says what enforce would have denied")

    def admitted(self) -> None:
        """(a) Attested, admitted, trained, recorded."""
        kubectl, stage = self.world.kubectl, self.stage
        stage.title("a. Attested by the data team: admitted, verified byte by byte, trained")
        stage.say("The policy goes to enforce. The data team attests the folder: hash, sign, one object to apply.")
        self.world.storage.claim("credit", self.files)
        self.world.storage.claim(OUTPUT, {})
        self.world.set_policy("enforce", self.team, [OUTPUT])
        self._attest("credit", "german-credit", "1.0.0", self.team)
        stage.show(kubectl, "get", "datasetversions")
        name = self._submit("train-credit", {"data": "credit"}, output=OUTPUT, seconds=8)
        wait_for("the trainer to start", lambda: self._trains(name), 90)
        stage.say("While it trains: metrics of the sidecar in its pod.")
        pod_name = workloads.wait_for_pod(kubectl, name)["metadata"]["name"]
        path = f"/api/v1/namespaces/{self.world.namespace}/pods/{pod_name}:9465/proxy/metrics"
        wait_for(
            "the sidecar's metrics", lambda: b"lineward_volume_verified{" in kubectl.run("get", "--raw", path).stdout
        )
        stage.show(kubectl, "get", "--raw", path, keep="lineward_volume_")
        pod = workloads.wait_for_end(kubectl, name)
        stage.show(kubectl, "logs", f"job/{name}", "-c", "train")
        stage.expect(pod["status"]["phase"] == "Succeeded", "the Job trained to its end")
        run = self.world.run_of(name)
        stage.show(kubectl, "get", "trainingruns")
        stage.expect(run["status"]["verdict"] == "Verified", "the TrainingRun is Verified")
        stage.expect('"auc"' in self.world.storage.read(f"{OUTPUT}/model.json"), "the model lies in the output claim")
        stage.say("What the ledger holds of this run: lineage events (OpenLineage), from the sidecar and the operator.")
        events = self._events_of(run)
        stage.expect({"START", "RUNNING", "COMPLETE"} <= events, "START, RUNNING and COMPLETE were recorded")

    def unsigned(self) -> None:
        """(b) Nobody vouches for the data."""
        self.stage.title("b. The Job that ran under audit, now under enforce: denied")
        name = self._submit("train-raw", {"data": "credit-raw"})
        self._denied(name, "Unvouched")

    def wrong_identity(self) -> None:
        """(c) A valid signature by somebody whom the policy does not accept."""
        self.stage.title("c. Signed, but by somebody else: denied")
        self.stage.say(f"The signature of {self.intern.email} is valid. The policy accepts {self.team.email}.")
        self.world.storage.claim("credit-intern", self.files)
        self._attest("credit-intern", "german-credit", "1.0.1", self.intern)
        self.stage.show(self.world.kubectl, "get", "datasetversions")
        name = self._submit("train-intern", {"data": "credit-intern"})
        self._denied(name, "WrongIdentity")

    def tampered(self) -> None:
        """(d) One byte changed after signing."""
        kubectl, stage = self.world.kubectl, self.stage
        stage.title("d. One byte changed after signing: admitted on paper, stopped before training starts")
        self.world.storage.claim("credit-edited", self.files)
        self._attest("credit-edited", "german-credit", "1.1.0", self.team)
        victim = "credit-edited/applications-1.csv"
        self.world.storage.shell(f"printf X | dd of=/disk/{victim} bs=1 seek=5000 conv=notrunc status=none")
        stage.say(f"Someone with access to the disk overwrites byte 5000 of {victim}; size stays as it was.")
        name = self._submit("train-edited", {"data": "credit-edited"})
        pod = workloads.wait_for_end(kubectl, name)
        stage.show(kubectl, "get", "pod", pod["metadata"]["name"])
        verify = workloads.container_status(pod, "lineward-verify")
        message = verify["state"]["terminated"]["message"]
        stage.say("The verify container's termination message:")
        stage.printed(message)
        stage.expect("applications-1.csv" in message, "the message names the file")
        stage.expect(pod["status"]["phase"] == "Failed", "the pod failed at once")
        stage.expect(not workloads.was_started(pod, "train"), "the training container never started")
        self.world.run_of(name)
        uid = kubectl.get("job", name)["metadata"]["uid"]
        wait_for(
            "the Event on the Job",
            lambda: "ContentDiffers" in kubectl("get", "events", "--field-selector", f"involvedObject.uid={uid}"),
        )
        stage.show(kubectl, "get", "events", "--field-selector", f"involvedObject.name={name},reason=ContentDiffers")

    def undeclared(self) -> None:
        """(e) A second claim beside the vouched one."""
        self.stage.title("e. Vouched data, and a second claim that nobody declared, mounted read-only: denied")
        name = self._submit("train-two", {"data": "credit", "extra": "credit-raw"})
        self._denied(name, "Unvouched")

    def guards(self) -> None:
        """(f) The injected containers themselves under attack."""
        kubectl, stage = self.world.kubectl, self.stage
        stage.title("f. Patching the injected container's image, and exec into it: refused by the guards")
        stage.say("A pod is held by a scheduling gate, so that its verify container has not run yet.")
        gated = self.world.job("train-gated", {"data": "credit"})
        gated["spec"]["template"]["spec"]["schedulingGates"] = [{"name": "example.com/hold"}]
        workloads.submit(kubectl, gated)
        before = workloads.wait_for_pod(kubectl, "train-gated")
        name = before["metadata"]["name"]
        patch = f'[{{"op":"replace","path":"/spec/initContainers/0/image","value":"{self.world.trainer}"}}]'
        refused = stage.show(kubectl, "patch", "pod", name, "--type=json", "-p", patch)
        stage.expect(_refused_by("lineward-containers", refused), "the guard lineward-containers refuses the patch")
        refused = stage.show(kubectl, "exec", name, "-c", "lineward-verify", "--", "/bin/true")
        stage.expect(_refused_by("lineward-exec", refused), "the guard lineward-exec refuses to let anybody in")
        after = kubectl.get("pod", name)
        untouched = after["spec"]["initContainers"] == before["spec"]["initContainers"]
        stage.expect(
            untouched and not workloads.was_started(after, "lineward-verify"), "nothing in the pod has changed"
        )
        kubectl.delete("job", "train-gated")

    def _submit(self, name: str, data: dict[str, str], *, output: str = "", seconds: int = 0) -> str:
        job = self.world.job(name, data, output=output, seconds=seconds)
        self.stage.say(
            f"Job {name} mounts " + ", ".join(f"claim {claim} as {volume}" for volume, claim in data.items())
        )
        return workloads.submit(self.world.kubectl, job)

    def _denied(self, name: str, reason: str) -> None:
        message = workloads.denial(self.world.kubectl, name)
        self.stage.show(self.world.kubectl, "get", "job", name)
        self.stage.say("The Job's event:")
        self.stage.printed(message)
        self.stage.expect(reason in message, f"denied with reason {reason}")
        self.stage.expect(workloads.pod_of(self.world.kubectl, name) is None, "no pod was created")
        self.world.kubectl.delete("job", name)

    def _attest(self, claim: str, dataset: str, version: str, signer: Identity) -> None:
        folder = self.workdir / claim
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        out = self.workdir / f"{claim}-attested"
        arguments = self.world.attester.arguments(
            folder, dataset=dataset, version=version, claim=claim, namespace=self.world.namespace, out=out
        )
        done = self.world.attester.run(arguments, signer.token)
        self.stage.ran(f"lineward {' '.join(arguments)} --identity-token @{signer.email}.jwt", done)
        self.stage.expect(done.returncode == 0, f"attested as {signer.email}")
        self.stage.show(self.world.kubectl, "apply", "--server-side", "-f", str(out))
        wait_for("the operator's verdict", lambda: self._judged(dataset, version), 60)

    def _judged(self, dataset: str, version: str) -> bool:
        for one in self.world.kubectl.items("datasetversions"):
            if (one["spec"]["dataset"], one["spec"]["version"]) == (dataset, version):
                return bool(one.get("status", {}).get("conditions"))
        return False

    def _trains(self, job: str) -> bool:
        pod = workloads.pod_of(self.world.kubectl, job)
        return bool(pod and workloads.was_started(pod, "train"))

    def _lineward(self, *args: str) -> str:
        """`kubectl lineward ...` as the plugin runs it, shown."""
        done = self._called(*args)
        self.stage.ran(f"kubectl lineward {' '.join(args)}", done)
        self.stage.expect(done.returncode == 0, f"lineward {args[0]} answers")
        return done.stdout

    def _events_of(self, run: Object) -> set[str]:
        uid = run["spec"]["workloadRef"]["uid"]

        def complete() -> str:
            text = self._called("ledger", "events", "--run", uid).stdout
            return text if "COMPLETE" in text else ""

        wait_for("the run's events in the ledger", complete, 60)
        text = self._lineward("ledger", "events", "--run", uid)
        return {word for word in ("START", "RUNNING", "COMPLETE", "FAIL") if word in text}

    def _called(self, *args: str) -> subprocess.CompletedProcess[str]:
        kubeconfig = str(self.world.kubectl.kubeconfig)
        environment = {"KUBECONFIG": kubeconfig, "PATH": "/usr/bin:/bin", "HOME": str(self.workdir)}
        argv = [*LINEWARD, *args]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment)


def _refused_by(guard: str, said: str) -> bool:
    """Whether this ValidatingAdmissionPolicy refused, and not the webhook or the API server's own validation."""
    return f"ValidatingAdmissionPolicy '{guard}'" in said and "ContainerChanged" in said
