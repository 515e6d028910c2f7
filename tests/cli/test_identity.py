"""Who signs where nobody brings a token: a person with a browser, or the job of a CI platform.

The issuer is real as far as the protocols go: discovery, authorization code with PKCE (RFC 7636), and the token
endpoint that GitHub gives its jobs. The browser is a script that follows redirects, started as browsers are.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.private_sigstore.server import ACTIONS_TOKEN, PERSON, WORKFLOW

WHAT = ["--dataset", "german-credit", "--version", "1.0.0", "--namespace", "ml", "--pvc", "credit"]
FOLLOW = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10).read()"
FORGE = """
import sys, urllib.error, urllib.request
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_): return None
def step(url):
    try: urllib.request.build_opener(Stay).open(url, timeout=10)
    except urllib.error.HTTPError as error: return error.headers["Location"]
urllib.request.urlopen(step(step(sys.argv[1])).split("state=")[0] + "state=of-another", timeout=10).read()
"""
DENY = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[1] + "/auth/callback?error=access_denied", timeout=10).read()
"""


def attest(
    data: Path, out: Path, trust_config: Path, environment: dict[str, str], *, terminal: bool
) -> subprocess.CompletedProcess[bytes]:
    """`lineward attest` in a process of its own, at a terminal or not, without any other identity to be found."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "lineward.cli.main", "attest", data, *WHAT, "--trust-config", trust_config]
    platforms = ("GITHUB", "GITLAB", "CIRCLE", "BUILDKITE", "ACTIONS", "SIGSTORE", "BROWSER")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(platforms)}
    try:
        done = subprocess.run(
            [str(word) for word in (*command, "--out", out, "-o", "json", "--progress", "none")],
            env={**kept, "HOME": "/nonexistent", **environment},
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave if terminal else subprocess.PIPE,
            timeout=60,
            check=False,
        )
        said = os.read(master, 65536) if terminal else done.stderr
    finally:
        os.close(master)
        os.close(slave)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout, said)


def browser(folder: Path, script: str) -> dict[str, str]:
    path = folder / "browser.py"
    path.write_text(script)
    return {"BROWSER": f"{sys.executable} {path} %s"}


def test_a_person_signs_in_with_a_browser(data: Path, tmp_path: Path, trust_config: Path) -> None:
    done = attest(data, tmp_path / "out", trust_config, browser(tmp_path, FOLLOW), terminal=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signer"].startswith(PERSON)
    assert b"browser" in done.stderr


@pytest.mark.parametrize(("script", "says"), [(FORGE, b"state mismatch"), (DENY, b"access_denied")])
def test_an_answer_of_another_log_in_signs_nothing(
    data: Path, tmp_path: Path, trust_config: Path, script: str, says: bytes
) -> None:
    done = attest(data, tmp_path / "out", trust_config, browser(tmp_path, script), terminal=True)
    assert done.returncode == 2
    assert says in done.stderr.replace(b"\r\n", b" ")
    assert not (tmp_path / "out").exists()


def test_nobody_is_asked_where_nobody_is(data: Path, tmp_path: Path, trust_config: Path) -> None:
    done = attest(data, tmp_path / "out", trust_config, browser(tmp_path, FOLLOW), terminal=False)
    assert done.returncode == 2
    assert b"NoIdentity" in done.stderr


def test_a_job_of_github_signs_as_its_workflow(data: Path, tmp_path: Path, trust_config: Path) -> None:
    url = json.loads(trust_config.read_text())["signingConfig"]["caUrls"][0]["url"]
    job = {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": ACTIONS_TOKEN,
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/actions?x=1",
        "GITHUB_SHA": "a" * 40,
        "GITHUB_REPOSITORY": "org/repo",
    }
    done = attest(data, tmp_path / "out", trust_config, job, terminal=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signer"].startswith(WORKFLOW)
    forbidden = {**job, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "another"}
    done = attest(data, tmp_path / "none", trust_config, forbidden, terminal=False)
    assert done.returncode == 2
    assert b"NoIdentity" in done.stderr
    assert not (tmp_path / "none").exists()
