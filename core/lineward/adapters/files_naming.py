"""Names what differs between a folder and the signed manifest, while the folder is being hashed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lineward.domain.changes import Changes, below, compare
from lineward.domain.digest import Digest
from lineward.domain.errors import InvalidInputError
from lineward.domain.manifest import Page, Parameters
from lineward.domain.manifest_reader import ManifestReader


class Naming:
    """Compares with a manifest; `note` says why its names must not be used, empty if they may."""

    def __init__(
        self, manifest: BinaryIO, root: Digest, digest: Digest | None, directory: bytes, max_names: int
    ) -> None:
        """`digest` is what the manifest's bytes must have; where it is None its entries must have `root`."""
        self.changes = Changes(max_names)
        self.note = ""
        self._manifest = manifest
        self._root = root
        self._digest = digest
        self._directory = directory

    def run(self, observed: Iterator[Page], parameters: Parameters) -> None:
        """Compare with the pages of the folder; raises what they raise."""
        self.note = self._compare(observed, parameters)

    def _compare(self, observed: Iterator[Page], parameters: Parameters) -> str:
        try:
            reader = ManifestReader(self._manifest)
            if reader.parameters != parameters:
                return "the manifest was made with other parameters, so what differs has no name"
            signed = below(reader.pages(), self._directory) if self._directory else reader.pages()
            for change in compare(signed, observed):
                self.changes.add(change)
        except (InvalidInputError, OSError) as error:
            return f"the manifest cannot be used, so what differs has no name: {error}"
        summary = reader.summary
        trusted = summary and (summary.manifest == self._digest if self._digest else summary.root == self._root)
        return "" if trusted else "the manifest is not the signed one, so what differs has no name"
