"""Training images with an identity: IDX, NPZ and PNG folders, MNIST, digits (floor 4).

Importing this loads neither numpy nor httpx; both are loaded when images are.
"""

from __future__ import annotations

from qimg_core.datasets.download import cache_folder, fetch
from qimg_core.datasets.opening import NAMES, open_images
from qimg_core.datasets.source import ArraySource, Batch, ImageSource

__all__ = ["NAMES", "ArraySource", "Batch", "ImageSource", "cache_folder", "fetch", "open_images"]
