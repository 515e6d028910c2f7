"""Reads what a bundle says before, or without, checking who says it."""

from __future__ import annotations

import base64

from lineward.domain import dataset as datasets
from lineward.domain import statement, strictjson
from lineward.domain.errors import InvalidInputError
from lineward.domain.reasons import Reason


def unverified_statement(bundle: bytes) -> statement.Statement:
    """The statement inside a bundle, believed by nobody: what it says is signed anew by who uses it."""
    raw = strictjson.parse(bundle, cap=datasets.MAX_BUNDLE, what="the bundle")
    try:
        envelope = raw["dsseEnvelope"]
        return statement.parse(envelope["payloadType"], base64.b64decode(envelope["payload"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(Reason.EVIDENCE_INVALID, "the bundle holds no statement") from error
