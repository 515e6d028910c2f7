"""`trust-root check` warns before a key ends, or an authority of which no other is left, certificates included."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Command
from tests.cli.test_key_trust import write_key
from tests.private_sigstore.instance import PrivateSigstore, dumps

from lineward.domain.draft import API_VERSION

NOW = datetime.now(UTC)


def root_of_keys(folder: Path, ends: dict[str, timedelta | None]) -> Path:
    keys: list[dict[str, Any]] = []
    for name, left in ends.items():
        write_key(folder, name)
        key = {"name": name, "pem": (folder / f"{name}.pub").read_text()}
        keys.append(key | ({"notAfter": f"{NOW + left:%Y-%m-%dT%H:%M:%SZ}"} if left else {}))
    root = {"apiVersion": API_VERSION, "kind": "TrustRoot", "metadata": {"name": "r"}, "spec": {"keys": keys}}
    (folder / "root.yaml").write_text(yaml.safe_dump(root))
    return folder / "root.yaml"


@pytest.mark.parametrize(
    ("left", "says"),
    [(2, "the last key a ends at"), (-2, "no key a is valid now"), (40, "nothing ends within 30 days")],
)
def test_no_other_key_stands_in_for_one_that_ends(
    left: int, says: str, tmp_path: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    root = root_of_keys(tmp_path, {"a": timedelta(days=left), "b": None})
    assert lineward("trust-root", "check", root)[0] == (0 if left == 40 else 1)
    assert says in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["certificate authority", "timestamping authority"])
def test_an_authority_ends_with_its_first_certificate(
    kind: str, tmp_path: Path, lineward: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    root = PrivateSigstore(NOW - timedelta(days=9), NOW + timedelta(days=9)).trusted_root()
    for each in (*root["certificateAuthorities"], *root["timestampAuthorities"]):
        each["validFor"].pop("end", None)
    path = tmp_path / "r.json"
    path.write_bytes(dumps(root))
    assert lineward("trust-root", "check", path)[0] == 1
    assert f"the last {kind} ends at" in capsys.readouterr().out
    assert lineward("trust-root", "show", path, "-o", "json") == (0, "")
    (shown,) = json.loads(capsys.readouterr().out)["trustRoots"]
    ends = [key["end"] for key in shown["keys"] if key["kind"] == kind]
    assert ends
    assert None not in ends
