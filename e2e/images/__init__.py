"""Images without a registry: a base from Debian packages, the project's own from its Dockerfile, as archives.

An archive is named after everything that decides its content, so nothing is built twice.
"""

from e2e.images.build import IMAGES, Archive, Image, build, build_all
from e2e.images.buildah import ImageError

__all__ = ["IMAGES", "Archive", "Image", "ImageError", "build", "build_all"]
