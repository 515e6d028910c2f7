"""Finds mounts that would hide, or be hidden by, verified data: the bytes below a data mount must be the data's alone.

Besides what the pod declares, the kubelet and the runtime mount paths of their own into every container; one of them,
`terminationMessagePath`, the pod's author chooses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lineward.domain.podspec import Container

RUNTIME_PATHS = ("/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""Mounted by the kubelet and the container runtime (OCI runtime spec, "Default Filesystems"; kubelet_pods.go)."""

_LINKS = {
    ("var", "run"): ("run",),
    ("var", "lock"): ("run", "lock"),
    ("bin",): ("usr", "bin"),
    ("sbin",): ("usr", "sbin"),
    ("lib",): ("usr", "lib"),
    ("lib64",): ("usr", "lib64"),
}
"""Links at the root of most images: /run as Debian and Fedora have it, and the merged /usr
(https://systemd.io/THE_CASE_FOR_THE_USR_MERGE). Links that only one image has cannot be seen from a pod."""

_Entry = tuple[tuple[str, ...], bool, str]
"""Path components, whether data is mounted there, and what to call it."""


def overlap(container: Container, data: Collection[str]) -> tuple[str, str] | None:
    """Return two paths of the container of which one lies at or under the other and one holds a volume of `data`."""
    mounts = [(m.path, m.volume in data) for m in container.mounts]
    if not any(is_data for _, is_data in mounts):
        return None
    others = [*(path for _, path in container.devices), container.message_path, *RUNTIME_PATHS]
    mounts += [(path, False) for path in others]
    entries: list[_Entry] = [(form, is_data, path) for path, is_data in mounts for form in _forms(path)]
    return _nested(sorted(entries, key=lambda entry: entry[0]))


def _nested(entries: list[_Entry]) -> tuple[str, str] | None:
    """Walk paths in order, keeping those above the current one: linear, however many mounts a pod brings."""
    above: list[_Entry] = []
    for entry in entries:
        while above and entry[0][: len(above[-1][0])] != above[-1][0]:
            above.pop()
        clash = above[-1] if above and entry[1] else next((a for a in above if a[1]), None)
        if clash:
            return clash[2], entry[2]
        above.append(entry)
    return None


def _forms(path: str) -> Iterator[tuple[str, ...]]:
    """The places that a path may mean: what is a link in most images is a folder in the others."""
    parts = _components(path)
    yield parts
    for link, target in _LINKS.items():
        if parts[: len(link)] == link:
            yield target + parts[len(link) :]


def _components(path: str) -> tuple[str, ...]:
    """Path components as the runtime resolves them: relative to the root, `.` and `..` taken away."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return tuple(parts)
