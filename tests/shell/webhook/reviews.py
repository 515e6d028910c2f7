"""AdmissionReviews as the API server sends them."""

from __future__ import annotations

import base64
import json
from typing import Any

Json = dict[str, Any]


def review(pod: Json | None, old: Json | None = None, operation: str = "CREATE", **request: object) -> Json:
    made: Json = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "ml",
        "operation": operation,
        "object": pod,
        "dryRun": False,
        **request,
    }
    if old is not None:
        made["oldObject"] = old
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": made}


def patched(pod: Json, response: Json) -> Json:
    """Apply the JSON Patch of an answer, as far as whole members of the spec go."""
    made: Json = json.loads(json.dumps(pod))
    if "patch" not in response:
        return made
    assert response["patchType"] == "JSONPatch"
    for operation in json.loads(base64.b64decode(response["patch"])):
        name = operation["path"].removeprefix("/spec/")
        assert (operation["op"] == "add") is (name not in made["spec"])
        if operation["op"] == "remove":
            del made["spec"][name]
        else:
            made["spec"][name] = operation["value"]
    return made
