"""Messages for people: none is longer than they read, whatever names and findings it is made of."""

from __future__ import annotations

MAX_MESSAGE = 300
"""Characters of one message, with its next step and where to read."""
MIN_ROOM = 40
"""Characters that what was found keeps of its own; names and descriptions around it give way to them."""


def cut(text: str, room: int = MAX_MESSAGE) -> str:
    """The text, or its start and an ellipsis where it is longer than `room` characters."""
    return text if len(text) <= room else f"{text[: max(0, room - 3)]}..."


def framed(head: str, message: str, tail: str = "") -> str:
    """The message between two parts that stay whole."""
    return f"{head}{cut(message, MAX_MESSAGE - len(head) - len(tail))}{tail}"


def of_pod(name: str, message: str, tail: str = "") -> str:
    """A message about a pod; a long name keeps its end, which tells the pod from others of its workload."""
    room = MAX_MESSAGE - MIN_ROOM - len("pod : ") - len(tail)
    shown = name if len(name) <= room else f"...{name[3 - room :]}"
    return framed(f"pod {shown}: ", message, tail)
