"""A namespace with real data in it: what every case of the demo and of the end-to-end tests starts from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.support import objects, workloads
from e2e.support.attesting import Attester
from e2e.support.kubectl import Kubectl, Object, wait_for
from e2e.support.storage import Storage

OPERATOR_ANSWERS_WITHIN = 60.0


@dataclass(frozen=True)
class Identity:
    """Someone who can sign: the issuer of their token and a token."""

    email: str
    issuer: str
    token: str


@dataclass(frozen=True)
class World:
    """One protected namespace. `kubectl` is bound to it, `trainer` is the training image."""

    kubectl: Kubectl
    storage: Storage
    attester: Attester
    trainer: str
    trusted_root: str

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    @property
    def policy_name(self) -> str:
        return f"training-{self.namespace}"

    def prepare(self) -> None:
        """Make the namespace, free of what an earlier run left, and the trust root."""
        self.kubectl.delete("provenancepolicy", self.policy_name)
        self.kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
            objects.trust_root("private", self.trusted_root),
        )
        self.kubectl.delete("jobs", "--all")
        self.kubectl.delete("datasetversions,trainingruns", "--all")

    def remove(self) -> None:
        """Take everything of this namespace away again, its volumes included."""
        if self.kubectl.get("crd", "provenancepolicies.lineward.dev"):
            self.kubectl.delete("provenancepolicy", self.policy_name)
            self.kubectl.delete("trustroot", "private")
        self.storage.remove()

    def set_policy(self, mode: str, accepted: Identity, outputs: Sequence[str] = ()) -> Object:
        """Apply the namespace's policy, wait until the operator has seen it, and return it."""
        wanted = objects.policy(
            self.policy_name,
            self.namespace,
            mode,
            issuer=accepted.issuer,
            subject=accepted.email,
            outputs=outputs,
        )
        self.kubectl.apply(wanted)
        wait_for(f"policy {mode} seen", lambda: self._condition("provenancepolicy", self.policy_name, "Ready"))
        return wanted

    def attest(self, files: Mapping[str, bytes], claim: str, signer: Identity, *, dataset: str, version: str) -> str:
        """Attest files as the content of a claim, apply the result, and return the DatasetVersion's name."""
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                Path(scratch, name).write_bytes(content)
            return self.attest_folder(Path(scratch), claim, signer, dataset=dataset, version=version)

    def attest_folder(self, folder: Path, claim: str, signer: Identity, *, dataset: str, version: str) -> str:
        """The same for what lies in a folder."""
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "attested")
            arguments = self.attester.arguments(
                folder, dataset=dataset, version=version, claim=claim, namespace=self.namespace, out=out
            )
            done = self.attester.run(arguments, signer.token)
            if done.returncode:
                raise RuntimeError(f"lineward attest: {done.stderr}")
            self.kubectl("apply", "--server-side", "-f", str(out))
        found = self.kubectl.items("datasetversions")
        return next(
            str(one["metadata"]["name"])
            for one in found
            if (one["spec"]["dataset"], one["spec"]["version"]) == (dataset, version)
        )

    def condition(self, kind: str, name: str, condition: str = "Verified") -> Object:
        """A condition that has been set for the object's present generation."""
        return wait_for(
            f"condition {condition} of {kind}/{name}",
            lambda: self._condition(kind, name, condition),
            OPERATOR_ANSWERS_WITHIN,
        )

    def job(self, name: str, data: Mapping[str, str], *, output: str = "", seconds: int = 0) -> Object:
        """A training Job on claims of this namespace."""
        return workloads.training_job(name, self.trainer, data, output=output, seconds=seconds)

    def run_of(self, job: str) -> Object:
        """The TrainingRun that the operator made for a Job, once it has a verdict."""
        uid = self.kubectl.get("job", job)["metadata"]["uid"]

        def judged() -> Object | None:
            for run in self.kubectl.items("trainingruns"):
                if run["spec"].get("workloadRef", {}).get("uid") == uid and run.get("status", {}).get("verdict"):
                    return run
            return None

        return wait_for(f"a TrainingRun with a verdict for job {job}", judged, OPERATOR_ANSWERS_WITHIN)

    def _condition(self, kind: str, name: str, condition: str) -> Object | None:
        found = self.kubectl.get(kind, name)
        if not found:
            return None
        generation = found["metadata"]["generation"]
        for one in found.get("status", {}).get("conditions", []):
            if one["type"] == condition and one.get("observedGeneration", generation) == generation:
                return dict(one)
        return None
