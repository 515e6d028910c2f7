"""Images of one static binary, written as an archive that ``ctr images import`` takes; no image tool is needed."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """The machine's architecture in Go's and the image format's words."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def write(binary: Path, reference: str, archive: Path) -> None:
    """Write the image ``reference`` whose entry point is ``/<binary's name>`` (as ``docker save`` does)."""
    layer = _tar({binary.name: (binary.read_bytes(), 0o755)})
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": [f"/{binary.name}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    members = {"layer.tar": (layer, 0o644), config_name: (config, 0o644), "manifest.json": (manifest, 0o644)}
    part = archive.with_suffix(".part")
    part.write_bytes(_tar(members))
    part.rename(archive)


def _tar(members: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar of these files (content and mode), with nothing in it that varies between runs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, mode) in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
