"""Writes the chart's copies of crds/, because Helm upgrades templates but never the files of a chart's own crds folder.

Run by `make generate`; a test compares the copies with their source.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "crds"
COPIES = ROOT / "charts" / "lineward" / "templates" / "crds"
_HEADER = "{{- /* Generated from crds/ by `make generate`; do not edit. */ -}}\n{{- if .Values.crds.install }}\n"
_METADATA = "\nmetadata:\n"
_KEEP = "  annotations:\n    helm.sh/resource-policy: keep\n"


def copy(source: str) -> str:
    """The template of one definition: installed on demand, kept when the chart is uninstalled.

    Raises ValueError where the text would not survive as a template.
    """
    if "{{" in source or source.count(_METADATA) != 1:
        raise ValueError("a definition must have one metadata block and no template markers")
    return _HEADER + source.replace(_METADATA, _METADATA + _KEEP) + "{{- end }}\n"


def copies() -> dict[Path, str]:
    """All templates by path."""
    return {COPIES / path.name: copy(path.read_text()) for path in sorted(SOURCE.glob("*.yaml"))}


def main() -> None:
    for path, text in copies().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
