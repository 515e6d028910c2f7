"""Doing something as a user who owns nothing, since root may do everything."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOBODY = 65534


def as_nobody(reaching: Path, action: Callable[[], Any]) -> Any:
    """What `action` returns (JSON values) in a process of its own, which is nobody's where this one is root's.

    `reaching` is made reachable for that user: its own folders get `r-x` for all, nothing in it changes.
    """
    for folder in (reaching, *reaching.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o555)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(readable)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = json.dumps(action()).encode()
            while answer:
                answer = answer[os.write(writable, answer) :]
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as answers:
        text = answers.read()
    os.waitpid(child, 0)
    assert text, "the other user's process ended without an answer"
    return json.loads(text)
