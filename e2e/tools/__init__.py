"""Go programs of other projects, pinned by go.mod and go.sum and built from source into a cache.

Each folder here is one Go module of ours with a ``tool.toml`` beside it that says which packages become which
binaries. Nothing is downloaded as a binary.
"""

from e2e.tools.build import BuildError, binary, build
from e2e.tools.description import DescriptionError, Tool, load, load_all

__all__ = ["BuildError", "DescriptionError", "Tool", "binary", "build", "load", "load_all"]
