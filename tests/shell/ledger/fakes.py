"""A small API server that answers TokenReviews, and the ledger as a process beside it."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

AUDIENCE = "lineward-ledger"
WRITER = "system:serviceaccount:lineward-system:lineward-operator"
OWN_TOKEN = "own"


def token(username: str, pod_uid: str = "", audience: str = AUDIENCE) -> str:
    """Return a token that the fake knows how to review: the claims are in it, in clear."""
    claims = {"user": username, "podUid": pod_uid, "audience": audience}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"fake.{payload}.signature"


class FakeApiServer:
    """Answers TokenReviews for tokens made by `token`; `reviews` counts them, `status` is what it answers with."""

    def __init__(self) -> None:
        self.reviews = 0
        self.status = 201
        self.knows_audiences = True
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/apis/authentication.k8s.io/v1/tokenreviews"
                assert self.headers["Authorization"] == f"Bearer {OWN_TOKEN}"
                fake.reviews += 1
                answer = json.dumps({**raw, "status": fake.review(raw["spec"])}).encode()
                self.send_response(fake.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def review(self, spec: dict[str, Any]) -> dict[str, Any]:
        with suppress(ValueError, KeyError, IndexError):
            payload = spec["token"].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            if claims["audience"] in spec["audiences"] or not self.knows_audiences:
                extra = {
                    "authentication.kubernetes.io/pod-name": ["train-x"],
                    "authentication.kubernetes.io/pod-uid": [claims["podUid"]],
                }
                user = {"username": claims["user"], "uid": "u", "extra": extra if claims["podUid"] else {}}
                audiences = {"audiences": [claims["audience"]]} if self.knows_audiences else {}
                return {"authenticated": True, "user": user, **audiences}
        return {"authenticated": False, "error": "not one of ours"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class LedgerProcess:
    """`lineward-ledger` on a folder; may be killed and started again."""

    folder: Path
    api: FakeApiServer
    port: int = 0
    process: subprocess.Popen[str] | None = None
    logs: list[str] = field(default_factory=list)

    def command(self, *more: str) -> list[str]:
        own = self.folder / "own-token"
        own.write_text(OWN_TOKEN)
        return [
            *(sys.executable, "-I", "-m", "lineward_ledger.main", "--data", str(self.folder / "data")),
            *("--address", "127.0.0.1", "--port", str(self.port), "--writer", WRITER),
            *("--api-server", self.api.url, "--api-token-file", str(own), *more),
        ]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        for line in self.process.stderr:
            self.logs.append(line)
            record = json.loads(line)
            if record["message"] == "serving":
                self.port = record["port"]
                break
        else:
            raise AssertionError(f"the ledger did not start: {self.logs}")
        threading.Thread(target=self.logs.extend, args=(self.process.stderr,), daemon=True).start()

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def call(
        self, method: str, path: str, bearer: str = "", body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send one request; returns status and decoded JSON, or the text where it is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            sent = {**({"Authorization": f"Bearer {bearer}"} if bearer else {}), **(headers or {})}
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            text = response.read().decode()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, text
        finally:
            connection.close()

    def wait_for_size(self, size: int, bearer: str) -> None:
        until = time.monotonic() + 20
        while self.call("GET", "/api/v1/head", bearer)[1]["size"] < size:
            assert time.monotonic() < until
            time.sleep(0.02)
