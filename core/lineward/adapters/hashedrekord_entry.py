"""Log entries of type hashedrekord 0.0.2 over a DSSE envelope, as Rekor v2 writes them.

sigstore-python compares them as models, which takes longer than everything else that it checks of an entry. Of all
bodies only the one that is right is known here, in its canonical encoding (RFC 8785), and only for P-256, which Fulcio
certifies unless asked otherwise. About every other body the library is asked: it alone refuses.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from lineward.adapters.keys import pae

KIND = ("hashedrekord", "0.0.2")
_BODY = (
    b'{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{'
    b'"data":{"algorithm":"SHA2_256","digest":"%b"},"signature":{"content":"%b",'
    b'"verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"%b"}}}}}}'
)


def is_canonical(body: bytes, payload_type: str, payload: bytes, signature: bytes, certificate: Certificate) -> bool:
    """Whether an entry's body is, byte for byte, the one of this envelope, signature and signer.

    False as well for another payload type than ASCII, whose length the library counts in characters.
    """
    key = certificate.public_key()
    usual = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if not usual or not payload_type.isascii():
        return False
    digest = hashlib.sha256(pae(payload_type, payload)).digest()
    return body == _BODY % tuple(map(b64encode, (digest, signature, certificate.public_bytes(Encoding.DER))))
