"""A TUF repository with a private Sigstore's trusted root in it, as files that any web server can serve.

Layout: https://theupdateframework.github.io/specification/latest/ (consistent snapshots) and the two targets that
Sigstore clients ask for.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]
from tests.loopback import serving
from tuf.api.metadata import (  # type: ignore[attr-defined]
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

ROLES = ("root", "timestamp", "snapshot", "targets")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def write(folder: Path, trust_config: Mapping[str, Any], *, expires: timedelta = timedelta(days=1)) -> Path:
    """Write a repository whose timestamp ends after `expires`; returns the root that a client is given."""
    (folder / "targets").mkdir(parents=True)
    signer, now = CryptoSigner.generate_ed25519(), datetime.now(UTC).replace(microsecond=0)
    targets = Targets(expires=now + timedelta(days=9))
    contents = {"trusted_root.json": "trustedRoot", "signing_config.v0.2.json": "signingConfig"}
    for name, member in contents.items():
        content = json.dumps(trust_config[member]).encode()
        target = TargetFile.from_data(name, content)
        targets.targets[name] = target
        (folder / "targets" / f"{target.hashes['sha256']}.{name}").write_bytes(content)
    root = Root(expires=now + timedelta(days=9), consistent_snapshot=True)
    for role in ROLES:
        root.add_key(signer.public_key, role)
    snapshot = Snapshot(expires=now + timedelta(days=9), meta={"targets.json": MetaFile(1)})
    timestamp = Timestamp(expires=now + expires, snapshot_meta=MetaFile(1))
    names = {"1.root": root, "1.snapshot": snapshot, "1.targets": targets, "timestamp": timestamp}
    for file, signed in names.items():
        metadata: Metadata[Any] = Metadata(signed)
        metadata.sign(signer)
        metadata.to_file(str(folder / f"{file}.json"))
    return folder / "1.root.json"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve the files on a free port of loopback; yields the URL."""
    with serving(functools.partial(_Quiet, directory=str(folder))) as url:
        yield url
