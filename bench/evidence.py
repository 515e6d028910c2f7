"""What verifying evidence costs beside bare sigstore-python, what a decision costs, and what each role imports.

Both verifiers check the same bundles by turns in one process; CPU times vary with the machine, the ratio is what to
watch. Both parse the statement. A decision is what the webhook does for one volume: find the DatasetVersions that name
it and their evidence, verified before, and judge. Imports are measured in processes of their own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import AllOf, Identity, OIDCIssuerV2
from sigstore_models.trustroot.v1 import TrustedRoot as RootMessage
from tests.conftest import vectors_folder
from tests.private_sigstore.entries import DSSE
from tests.private_sigstore.instance import PrivateSigstore, dumps
from tests.unit.evidence.samples import MANIFEST, PREDICATE, a_dataset, a_policy, an_evidence

from lineward.adapters import sources
from lineward.adapters.sigstore import SigstoreVerifier
from lineward.cli.conformance import embedded_root
from lineward.domain import statement, trustroot
from lineward.domain.digest import Digest
from lineward.domain.errors import LinewardError
from lineward.domain.matching import choose
from lineward.domain.policy import Policy
from lineward.domain.recall import Recall
from lineward.domain.statement import DATASET_PROVENANCE, Statement
from lineward.domain.world import World

CALLS = 400
"""Of each verifier, by turns; the lower quartile is taken, since other work on the machine only ever adds."""
ROLES = {
    "bare Python": "",
    "verify container": "import lineward_sidecar.verify",
    "lineward.domain.judge": "import lineward.domain.judge",
    "sigstore.verify": "import sigstore.verify",
    "evidence verifier": "import lineward.adapters.sigstore",
    "webhook": "import lineward_webhook.main",
    "operator": "import lineward_operator.main",
    "ledger": "import lineward_ledger.main",
    "sidecar": "import lineward_sidecar.main",
    "command line, verify": "import lineward.cli.main, lineward.cli.verify",
}


def seconds(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def compare(name: str, raw: bytes, root: str, identity: tuple[str, str], *, typed: bool = True) -> None:
    """Print the cost of one bundle, bare and ours; without `typed` both end with a decoded statement."""
    subject, issuer = identity
    bare = Verifier(trusted_root=TrustedRoot(RootMessage.from_json(root)))
    policy = AllOf([OIDCIssuerV2(issuer), Identity(identity=subject)])
    verifier, trust_root = SigstoreVerifier(), trustroot.make("r", root)

    def library() -> object:
        return json.loads(bare.verify_dsse(Bundle.from_json(raw), policy)[1])

    def lineward() -> object:
        if typed:
            return verifier.verify(raw, trust_root)
        signed = verifier.check(raw, trust_root)
        return statement.parse(signed.payload_type, signed.payload)

    pairs = [(seconds(library, 1), seconds(lineward, 1)) for _ in range(CALLS)]
    each = list(zip(*pairs, strict=True))
    one, two = (statistics.quantiles(times, n=4)[0] * 1000 for times in each)
    least, middle = (f(each[1]) / f(each[0]) for f in (min, statistics.median))
    print(
        f"{name:<34} {len(raw):>7} B  bare sigstore-python {one:6.2f} ms  lineward {two:6.2f} ms  ratio {two / one:.2f}"
        f" (of the minima {least:.2f}, of the medians {middle:.2f})"
    )


def bundles() -> None:
    private = PrivateSigstore()
    said = statement.build(Statement("d", Digest.parse(MANIFEST), DATASET_PROVENANCE, PREDICATE))
    root = dumps(private.trusted_root()).decode()
    identity = ("data-team@example.org", "https://issuer.example")
    raw = dumps(private.sign(said))
    compare("Rekor v2, dataset provenance", raw, root, identity)
    compare("the same, predicate not parsed", raw, root, identity, typed=False)
    compare("Rekor v1, dataset provenance", dumps(private.sign(said, kind=DSSE)), root, identity)
    case = vectors_folder() / "sigstore-conformance" / "bundle-verify" / "happy-path-intoto-in-dsse-v3"
    if not case.is_dir():
        print("Rekor v1, public-good root: skipped, the conformance vectors are not here")
        return
    raw = (case / "bundle.sigstore.json").read_bytes()
    compare("Rekor v1, public-good root", raw, embedded_root(), signer(raw))


def signer(raw: bytes) -> tuple[str, str]:
    """Subject and issuer of a bundle's certificate."""
    found = SigstoreVerifier().check(raw, trustroot.make("r", embedded_root())).signer
    return found.subject, found.issuer


def decisions() -> None:
    constraints = {
        "licenses": ["CC-BY-4.0"],
        "classifications": ["internal"],
        "purposes": ["credit-scoring"],
        "consent": "Required",
        "codeCommit": "Required",
    }
    plain = a_policy()
    strict = a_policy(require=[{"predicateType": DATASET_PROVENANCE, "maxAge": "8760h", "constraints": constraints}])
    recalls = tuple(Recall(f"r{i}", "why", dataset=f"another-{i}", consent="consent-1999-1") for i in range(5))
    for name, policy, called in (
        ("no constraint", plain, ()),
        ("age and five constraints", strict, ()),
        ("the same and five recalls", strict, recalls),
    ):
        cost = min(seconds(decision(policy, called), 5000) for _ in range(5))
        print(f"cached decision, {name:<27} {cost * 1e6:5.1f} us")


def decision(policy: Policy, recalls: Sequence[Recall]) -> Callable[[], object]:
    """Whether a policy lets a claim be read, by what the webhook has in its caches."""
    dataset = a_dataset(attestations=[{"bundle": "{}"}])
    root, attestation = trustroot.make(policy.trust_root, "{}"), dataset.attestations[0]
    assert attestation.digest is not None
    claim = dataset.volumes[0]
    world = World(
        namespace="ml",
        now=datetime(2026, 6, 1, tzinfo=UTC),
        trust_roots={root.name: root},
        datasets={claim: (dataset,)},
        evidence={(attestation.digest, root.digest): an_evidence()},
        recalls=recalls,
    )
    assert choose(claim, "", (policy,), world).dataset is dataset
    return lambda: choose(claim, "", (policy,), world)


def huge() -> None:
    raw = b'{"dsseEnvelope":{"payload":"' + base64.b64encode(bytes(45_000_000)) + b'"}}'
    verifier, root = SigstoreVerifier(), trustroot.make("r", "{}")

    def refuse() -> None:
        with contextlib.suppress(LinewardError):
            verifier.verify(raw, root)

    print(f"refusing a bundle of {len(raw) / 1e6:.0f} MB            {seconds(refuse, 10) * 1000:5.2f} ms")
    with tempfile.NamedTemporaryFile(suffix=".sigstore") as file:
        file.write(raw)
        file.flush()

        def read() -> None:
            with contextlib.suppress(LinewardError):
                sources.read_target(Path(file.name), sources.Inputs())

        print(f"the same as a file of the command line {seconds(read, 10) * 1000:5.2f} ms")


def imports() -> None:
    for name, code in ROLES.items():
        script = f"import time\n{code}\nstatus = open('/proc/self/status').read()\n"
        script += "print(time.process_time(), status.split('VmRSS:')[1].split()[0])"
        found = [
            subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
            for _ in range(5)
        ]
        cpu, memory = (statistics.median(float(run[i]) for run in found) for i in (0, 1))
        print(f"import {name:<26} {cpu:5.2f} s CPU  {memory / 1024:5.0f} MiB")


if __name__ == "__main__":
    bundles()
    decisions()
    huge()
    imports()
    print(f"peak memory of this run {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
