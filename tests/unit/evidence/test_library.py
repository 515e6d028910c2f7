"""What we use of the sigstore library beyond its public API is still there, as it was, and used in one place only.

A failure means that the installed release differs from the one that `lineward.adapters.library` was written for: read
what changed before the pin in pyproject.toml moves.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.metadata
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import sigstore._internal.timestamp as timestamps
from sigstore import dsse, models
from sigstore._internal import trust
from sigstore.verify import verifier
from sigstore.verify.verifier import Verifier

from lineward.adapters import library

SOURCES = Path(library.__file__).parents[1]
ROOTS = [SOURCES, *(SOURCES.parents[1] / part for part in ("operator", "sidecar", "ledger"))]
SIGNATURES = {
    trust.Keyring.__init__: "(self, public_keys: 'list[common_v1.PublicKey]' = [])",
    trust.Keyring.verify: "(self, *, key_id: 'KeyID', signature: 'bytes', data: 'bytes') -> 'None'",
    models.TrustedRoot.__init__: "(self, inner: 'trustroot_v1.TrustedRoot')",
    models.TrustedRoot.rekor_keyring: "(self, purpose: 'KeyringPurpose') -> 'RekorKeyring'",
    models.TrustedRoot.ct_keyring: "(self, purpose: 'KeyringPurpose') -> 'CTKeyring'",
    models.TrustedRoot.get_timestamp_authorities: "(self) -> 'list[CertificateAuthority]'",
    models.TrustedRoot.get_fulcio_certs: "(self) -> 'list[Certificate]'",
    models.TransparencyLogEntry.__init__: "(self, inner: '_TransparencyLogEntry') -> 'None'",
    models.TransparencyLogEntry._verify: "(self, keyring: 'RekorKeyring') -> 'None'",
    dsse._verify: "(key: 'ec.EllipticCurvePublicKey', evp: 'Envelope') -> 'bytes'",
    verifier._validate_hashedrekord_v002_dsse_entry_body: "(bundle: 'Bundle') -> 'None'",
    Verifier._establish_time: "(self, bundle: 'Bundle') -> 'list[TimestampVerificationResult]'",
    Verifier._verify_timestamp_authority: "(self, bundle: 'Bundle') -> 'list[TimestampVerificationResult]'",
    Verifier._verify_common_signing_cert: "(self, bundle: 'Bundle', policy: 'VerificationPolicy') -> 'None'",
}
USES = {
    Verifier._verify_common_signing_cert: ("_establish_time", "_verify_chain_at_time", "ct_keyring", "rekor_keyring"),
    Verifier._verify_chain_at_time: ("_fulcio_certificate_chain",),
    Verifier._verify_signed_timestamp: ("get_timestamp_authorities",),
    Verifier.verify_dsse: (
        "_verify_common_signing_cert",
        "_dsse_envelope",
        "_verify",
        "log_entry",
        "_validate_hashedrekord_v002_dsse_entry_body",
    ),
    Verifier.verify_artifact: ("_verify_common_signing_cert", "log_entry"),
    models.TransparencyLogEntry._verify: ("verify_merkle_inclusion", "verify_checkpoint", "_verify_set"),
}
"""What each step of the library must still ask for, since our rules hold by answering it."""
STOOD_IN_FOR: dict[Callable[..., object], str] = {
    Verifier.verify_dsse: "61918155afdbbafa55149b682aae9d9518e9fa9d073a69b22f198b71337a71f2",
    verifier._validate_hashedrekord_v002_dsse_entry_body: (
        "744b071bd43ede3188c52d2e8a23a802569435aba409deca7569c96dc053c302"
    ),
}
"""What `_WindowedVerifier.verify_statement` does in place of the library, and the SHA-256 of its text."""
INSTALLED = f"sigstore {importlib.metadata.version('sigstore')}"


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda f: f.__qualname__)
def test_a_private_function_is_called_as_it_was(function: object) -> None:
    assert str(inspect.signature(function)) == SIGNATURES[function], f"{INSTALLED} changed it"  # type: ignore[arg-type, index]


@pytest.mark.parametrize("function", USES, ids=lambda f: f.__qualname__)
def test_a_step_still_asks_for_what_we_answer(function: object) -> None:
    code = function.__code__  # type: ignore[attr-defined]
    asked = set(code.co_names).union(*(inner.co_names for inner in code.co_consts if inspect.iscode(inner)))
    missing = [name for name in USES[function] if name not in asked]  # type: ignore[index]
    assert not missing, f"{INSTALLED} no longer uses {missing} there"


def test_a_time_result_is_source_and_time() -> None:
    names = [field.name for field in dataclasses.fields(timestamps.TimestampVerificationResult)]
    assert names == ["source", "time"], INSTALLED


@pytest.mark.parametrize("function", STOOD_IN_FOR, ids=lambda f: f.__qualname__)
def test_what_we_stand_in_for_is_as_it_was(function: Callable[..., object]) -> None:
    """A check that a release adds there would not come by itself."""
    text = inspect.getsource(function)
    assert hashlib.sha256(text.encode()).hexdigest() == STOOD_IN_FOR[function], f"{INSTALLED} changed it:\n{text}"


def test_the_pin_is_one_release() -> None:
    found = [r for r in importlib.metadata.requires("lineward") or [] if r.startswith("sigstore")]
    assert found
    assert all(requirement.startswith(INSTALLED.replace(" ", "==")) for requirement in found), found


def test_no_other_module_reaches_into_the_library() -> None:
    modules = [path for root in ROOTS for path in root.rglob("*.py")]
    assert len(modules) > 100
    reaching = [path for path in modules if _reaches(ast.parse(path.read_text()))]
    assert reaching == [Path(library.__file__)]


def _reaches(tree: ast.Module) -> bool:
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    private = any(name.startswith("sigstore._") for name in imported)
    return private or any(isinstance(node, ast.Attribute) and node.attr == "_inner" for node in ast.walk(tree))
