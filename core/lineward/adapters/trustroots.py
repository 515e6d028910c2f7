"""Looks at a trust root as a whole when it is read.

One bundle needs only some of a trust root. A key or authority that cannot be used is to be noticed before, not with the
first bundle that happens to need it.
"""

from __future__ import annotations

from cryptography.x509 import load_der_x509_certificate
from pydantic import ValidationError
from sigstore_models.trustroot.v1 import CertificateAuthority, TransparencyLogInstance

from lineward.adapters import keys
from lineward.adapters.anchors import Anchors
from lineward.domain.errors import InvalidInputError
from lineward.domain.evidence import TrustRoot
from lineward.domain.trustwindow import Window


def require_usable(root: TrustRoot) -> None:
    """Raise InvalidInputError(TrustRootInvalid) unless every key and authority can be used."""
    windows(root)


def windows(root: TrustRoot) -> list[Window]:
    """All keys and authorities of a trust root. Raises InvalidInputError(TrustRootInvalid)."""
    keys.load_all(root.keys)
    found = [Window("key", key.name, key.not_before, key.not_after, key.signing_time) for key in root.keys]
    if not root.trusted_root_json:
        return found
    message = _anchors(root.trusted_root_json).message
    found += [_log("transparency log", log) for log in message.tlogs]
    found += [_log("certificate transparency log", log) for log in message.ctlogs]
    found += [_authority("certificate authority", each) for each in message.certificate_authorities]
    found += [_authority("timestamping authority", each) for each in message.timestamp_authorities]
    return found


def _anchors(text: str) -> Anchors:
    try:
        return Anchors(text)
    except InvalidInputError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        raise InvalidInputError(error.reason, f"trustedRoot {_said(error.__cause__)}"[:300]) from error


def _said(error: ValidationError) -> str:
    """What is wrong, by the names in the file: pydantic's own text is about its classes, and shows the input."""
    problems = [(".".join(map(str, each["loc"])), each["type"], each["msg"]) for each in error.errors()]
    lacks = [where for where, kind, _ in problems if kind == "missing"]
    if lacks:
        return f"lacks {', '.join(lacks)}"
    where, _, said = problems[0]
    return f"is no Sigstore trusted root: {where}: {said}"


def _log(kind: str, log: TransparencyLogInstance) -> Window:
    window = log.public_key.valid_for
    return Window(kind, log.base_url, window.start if window else None, window.end if window else None)


def _authority(kind: str, authority: CertificateAuthority) -> Window:
    """An authority ends with the first of its certificates, however long the trust root would believe it."""
    name, window = authority.uri or authority.subject.common_name, authority.valid_for
    ends = [load_der_x509_certificate(each.raw_bytes).not_valid_after_utc for each in authority.cert_chain.certificates]
    return Window(kind, name, window.start, min([*ends, window.end] if window.end else ends, default=None))
