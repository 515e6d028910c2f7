"""The webhook's certificates are renewed without a moment in which the API server would refuse them."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from lineward_operator import certificates
from lineward_operator.certificates import CA_LIFE, LEAF_LIFE, Chain, Pair, authority_data, leaf_data, read, renew

NAMES = ("lineward-webhook.lineward-system.svc", "lineward-webhook.lineward-system")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def bundle_of(chain: Chain) -> frozenset[str]:
    return frozenset(certificates.split(chain.bundle))


def stored(chain: Chain) -> Chain:
    """The chain after a trip through the two Secrets."""
    return read(authority_data(chain), leaf_data(chain))


def accepted(chain: Chain, published: frozenset[str]) -> bool:
    """Whether an API server that trusts `published` accepts the leaf."""
    leaf = chain.leaf
    return leaf is not None and any(certificates.issued_by(leaf.certificate, authority) for authority in published)


def test_the_first_pass_makes_everything() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    assert chain.leaf is not None
    leaf = x509.load_pem_x509_certificate(chain.leaf.certificate.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(NAMES)
    assert accepted(chain, bundle_of(chain))
    ssl.create_default_context(cadata=chain.bundle)


def test_the_second_pass_and_a_restart_change_nothing() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    assert renew(chain, NAMES, bundle_of(chain), NOW) == chain
    assert authority_data(stored(chain)) == authority_data(chain)
    assert leaf_data(stored(chain)) == leaf_data(chain)
    assert renew(stored(chain), NAMES, bundle_of(chain), NOW) == stored(chain)


def test_the_leaf_is_renewed_at_two_thirds_of_its_life() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    trusted = bundle_of(chain)
    assert renew(chain, NAMES, trusted, NOW + LEAF_LIFE * 0.6) == chain
    later = renew(chain, NAMES, trusted, NOW + LEAF_LIFE * 0.7)
    assert later.leaf != chain.leaf
    assert later.current == chain.current
    assert accepted(later, trusted)


def test_a_new_authority_is_published_before_it_signs() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    old = bundle_of(chain)
    when = NOW + CA_LIFE * 0.7
    waiting = renew(chain, NAMES, old, when)
    assert waiting.coming is not None
    assert accepted(waiting, old)
    assert old < bundle_of(waiting)
    assert renew(waiting, NAMES, old, when) == waiting
    switched = renew(waiting, NAMES, bundle_of(waiting), when)
    assert switched.coming is None
    assert switched.current == waiting.coming
    assert accepted(switched, bundle_of(waiting))
    assert old < bundle_of(switched)


def test_over_ten_years_the_api_server_never_refuses() -> None:
    """One pass a day; what is published is what the last pass made, as the configurations are written after it."""
    chain = renew(Chain(), NAMES, None, NOW)
    published = bundle_of(chain)
    for day in range(3650):
        when = NOW + timedelta(days=day)
        chain = renew(stored(chain), NAMES, published, when)
        assert accepted(chain, published)
        assert chain.leaf is not None
        assert certificates.expiry(chain.leaf.certificate) > when + timedelta(days=5)
        published = bundle_of(chain)
        assert len(published) <= 6


@pytest.mark.parametrize("lost", ["authority", "leaf", "both"])
def test_a_lost_secret_is_replaced(lost: str) -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    published = bundle_of(chain)
    left = read(
        {} if lost in {"authority", "both"} else authority_data(chain),
        {} if lost in {"leaf", "both"} else leaf_data(chain),
    )
    once = renew(left, NAMES, published, NOW)
    if lost == "authority":
        assert accepted(once, published), "the old leaf goes on until the new authority is published"
    twice = renew(once, NAMES, bundle_of(once), NOW)
    assert accepted(twice, bundle_of(once))


@pytest.mark.parametrize("damage", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_damaged_secrets_are_not_believed(damage: str) -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    broken = read({**authority_data(chain), "ca.key": damage}, {**leaf_data(chain), "tls.crt": damage})
    assert broken.current is None
    assert broken.leaf is None
    assert renew(broken, NAMES, None, NOW).leaf is not None


def test_a_leaf_of_somebody_elses_authority_is_replaced() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    other = certificates.mint_leaf(certificates.mint_authority(NOW), NAMES, NOW)
    mended = renew(replace(chain, leaf=other), NAMES, bundle_of(chain), NOW)
    assert accepted(mended, bundle_of(chain))


def test_a_key_that_does_not_fit_its_certificate_is_no_pair() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    assert chain.leaf is not None
    other = certificates.mint_authority(NOW)
    data = {**leaf_data(chain), "tls.key": other.key}
    assert read(authority_data(chain), data).leaf is None


def test_other_names_need_another_leaf() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    assert renew(chain, ("other.svc",), bundle_of(chain), NOW).leaf != chain.leaf


def test_the_authority_may_only_sign_leaves() -> None:
    parsed = x509.load_pem_x509_certificate(certificates.mint_authority(NOW).certificate.encode())
    basic = parsed.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)


def test_the_leafs_secret_never_holds_the_authoritys_key() -> None:
    chain = renew(Chain(), NAMES, None, NOW)
    assert isinstance(chain.current, Pair)
    assert chain.current.key not in "".join(leaf_data(chain).values())
