"""The audit report, against an API server: what it lists, how it says it, and how it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from lineward.cli import audit
from lineward.domain.errors import LinewardError

Json = dict[str, Any]


def training_run(name: str, namespace: str = "ml", mode: str = "audit", **refusal: str) -> Json:
    status: Json = {"mode": mode, "startedAt": "2026-11-22T12:00:00Z", "workload": {"kind": "Job", "name": name}}
    if refusal:
        status["wouldDeny"] = [refusal]
    return {"metadata": {"name": f"{name}-run", "namespace": namespace}, "status": status}


UNVOUCHED = {"reason": "Unvouched", "message": "no DatasetVersion names claim raw\x1b[2J", "volume": "data"}
RUNS = [
    training_run("fine"),
    training_run("loose", **UNVOUCHED),
    training_run("other", "lab", "warn", reason="HostPath", message="hostPath /etc"),
    training_run("strict", "lab", "enforce"),
]


class _Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        namespace = path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in path else ""
        kept = [run for run in RUNS if namespace in {"", run["metadata"]["namespace"]}]
        body: Json = {"items": kept[:2], "metadata": {"continue": "next"} if len(kept) > 2 else {}}
        if "continue=next" in query:
            body = {"items": kept[2:], "metadata": {}}
        if self.status != 200:
            body = {"message": "trainingruns is forbidden"}
        data = json.dumps(body).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Handler]]:
    handler = type("Handler", (_Handler,), {})
    serving = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{serving.server_address[1]}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    yield handler
    serving.shutdown()
    serving.server_close()


def test_the_table_names_run_reason_and_next_step(server: type[_Handler], capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.run([], "lineward audit") == 0
    out = capsys.readouterr().out
    assert "ml         loose-run  Job/loose" in out
    assert "Next step: attest the volume's data" in out
    assert "HostPath" in out
    assert "2 of 3 runs under audit or warn would have been denied." in out
    assert "\x1b" not in out


def test_json_and_yaml_say_the_same(server: type[_Handler], capsys: pytest.CaptureFixture[str]) -> None:
    audit.run(["-o", "json", "-n", "ml"], "lineward audit")
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == 2
    assert found["wouldDeny"][0]["reason"] == "Unvouched"
    assert found["wouldDeny"][0]["nextStep"].startswith("attest")
    audit.run(["-o", "yaml", "-n", "ml"], "lineward audit")
    assert yaml.safe_load(capsys.readouterr().out) == found


def test_one_namespace_without_findings_says_so(server: type[_Handler], capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.run(["--run", "fine-run", "--exit-code"], "lineward audit") == 0
    assert "Nothing would have been denied in 1 run" in capsys.readouterr().out


def test_findings_can_fail_a_pipeline(server: type[_Handler]) -> None:
    assert audit.run(["--exit-code"], "lineward audit") == 1


def test_a_refusing_api_server_is_no_clean_report(server: type[_Handler]) -> None:
    server.status = 403
    with pytest.raises(LinewardError, match=r"ClusterUnreachable: .*forbidden"):
        audit.run([], "lineward audit")


def test_without_kubeconfig_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "missing")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", missing)
    with pytest.raises(LinewardError, match="no usable kubeconfig"):
        audit.run([], "lineward audit")


def test_wrong_usage_leaves_with_64() -> None:
    with pytest.raises(SystemExit) as left:
        audit.run(["-n", "a", "-A"], "lineward audit")
    assert left.value.code == 64
