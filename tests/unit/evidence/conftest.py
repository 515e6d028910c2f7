from __future__ import annotations

import pytest
from tests.private_sigstore.instance import PrivateSigstore, dumps

from lineward.adapters.sigstore import SigstoreVerifier
from lineward.domain import trustroot
from lineward.domain.evidence import TrustRoot


@pytest.fixture(scope="session")
def private() -> PrivateSigstore:
    return PrivateSigstore()


@pytest.fixture(scope="session")
def verifier() -> SigstoreVerifier:
    return SigstoreVerifier()


@pytest.fixture(scope="session")
def trust_root(private: PrivateSigstore) -> TrustRoot:
    return trustroot.make("private", dumps(private.trusted_root()).decode())
