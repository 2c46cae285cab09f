"""`ImageSource`: training images with an identity (floor 4; imports errors and seeds)."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int64]


@frozen(kw_only=True, eq=False)
class Batch:
    """Some images of a source.

    Args:
        images: float32 (k, h, w, c) in [0, 1].
        labels: int64 (k,), or None where the source has none.
        indices: int64 (k,), which images of the source these are.
    """

    images: Floats
    labels: Labels | None
    indices: Labels


class ImageSource(ABC):
    """Where training images come from. All images of a source have one shape; their order is fixed."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for people, such as ``mnist/train``. The digest is the identity."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """``sha256:`` over images, labels and their order, whatever file they came in."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image; 1 or 3 channels."""

    @property
    @abstractmethod
    def n(self) -> int:
        """How many images."""

    @property
    @abstractmethod
    def labels(self) -> Labels | None:
        """int64 (n,), classes from 0 up; None where there are none."""

    @property
    @abstractmethod
    def provenance(self) -> Mapping[str, Any]:
        """JSON without floats that says where the images come from, with format, files, digests and what was done."""

    @abstractmethod
    def images(self, indices: Sequence[int] | Labels) -> Floats:
        """The images asked for, float32 (k, h, w, c) in [0, 1], in the order asked.

        Raises:
            IndexError: no such image.
        """

    def __len__(self) -> int:
        return self.n

    @property
    def n_classes(self) -> int:
        """One more than the largest label; 0 without labels."""
        return 0 if self.labels is None else int(self.labels.max()) + 1

    def all(self) -> Floats:
        """All images, float32 (n, h, w, c)."""
        return self.images(range(self.n))

    def batches(self, size: int, *, seed: int, epoch: int) -> Iterator[Batch]:
        """One pass over all images in an order that depends on seed and epoch alone.

        Args:
            size: images in a batch; the last one holds what is left.
            seed: root seed of the run.
            epoch: which pass, from 0.

        Raises:
            ConfigurationError: a size below 1.
        """
        import numpy as np

        if size < 1:
            raise ConfigurationError(f"a batch holds 1 image or more, got {size}")
        order = np.random.Generator(np.random.PCG64(derive_seed(seed, "batches", epoch))).permutation(self.n)
        labels = self.labels
        return (
            Batch(images=self.images(part), labels=None if labels is None else labels[part], indices=part)
            for part in (order[at : at + size] for at in range(0, self.n, size))
        )


def _stored(value: Any) -> Any:
    """uint8 where the values are 8-bit (k, or exactly k/255 in float32), else float32; read-only."""
    import numpy as np

    array = np.asarray(value)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise DataError(f"images are a non-empty array (n, h, w) or (n, h, w, c), got shape {np.shape(value)}")
    if array.shape[3] not in (1, 3):
        hint = "move the channels last: x.transpose(0, 2, 3, 1)" if array.shape[1] in (1, 3) else ""
        raise DataError(f"images have 1 or 3 channels, got shape {array.shape}", hint=hint)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError("images hold NaN or infinite values")
        if low < 0 or high > 1:
            hint = "divide by 255" if 1 < high <= 255 and low >= 0 else "rescale them"
            raise DataError(f"floating-point pixels lie in [0, 1], got [{low:.6g}, {high:.6g}]", hint=hint)
        array = array.astype(np.float32)
        whole = np.rint(array * np.float32(255)).astype(np.uint8)
        if np.array_equal(whole.astype(np.float32) / np.float32(255), array):
            array = whole
    elif array.dtype != np.uint8:
        raise DataError(
            f"pixels are uint8, or floating-point numbers in [0, 1], got {array.dtype}",
            hint="x.astype('uint8') if the values are whole numbers from 0 to 255",
        )
    return _frozen(array)


def _stored_labels(value: Any) -> Any:
    import numpy as np

    if value is None:
        return None
    array = np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"labels are whole numbers (n,), got {array.dtype} {array.shape}")
    if array.size and (array.min() < 0 or array.max() >= 1 << 31):
        raise DataError(f"labels are class numbers from 0 up, got {array.min()} to {array.max()}")
    return _frozen(array.astype(np.int64))


def _frozen(array: Any) -> Any:
    """Read-only and C-contiguous; copied where somebody else could still write to it."""
    import numpy as np

    if array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, order="C", copy=True)
        array.flags.writeable = False
    return array


@frozen(kw_only=True, eq=False)
class ArraySource(ImageSource):
    """Images held in memory, 8-bit where they are 8-bit.

    Args:
        name: short, for people.
        pixels: uint8, or floating-point numbers in [0, 1]; (n, h, w) or (n, h, w, c), c = 1 or 3.
        labels: whole numbers (n,) from 0 up.
        provenance: JSON facts without floats.

    Raises:
        DataError: another shape or type, no images, NaN, values out of range, labels that do not fit.
    """

    name: str
    pixels: Any = field(converter=_stored, repr=False)
    labels: Any = field(default=None, converter=_stored_labels, repr=False)
    provenance: Mapping[str, Any] = field(factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != self.n:
            raise DataError(f"{self.name}: {self.n} images but {len(self.labels)} labels")

    @cached_property
    def digest(self) -> str:
        """``sha256:`` over a head line ``qimg.dataset/1 TYPE n h w c LABELS`` and the bytes.

        TYPE is ``u8`` or ``f32`` (little-endian), pixels in C order; LABELS is ``none`` or ``i64``
        (little-endian), after the pixels.
        """
        kind = "u8" if self.pixels.dtype.itemsize == 1 else "f32"
        labelled = "none" if self.labels is None else "i64"
        size = " ".join(str(s) for s in self.pixels.shape)
        hasher = hashlib.sha256(f"qimg.dataset/1 {kind} {size} {labelled}\n".encode())
        hasher.update(self.pixels.astype(self.pixels.dtype.newbyteorder("<"), copy=False).data)
        if self.labels is not None:
            hasher.update(self.labels.astype("<i8", copy=False).data)
        return "sha256:" + hasher.hexdigest()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    @property
    def n(self) -> int:
        """How many images."""
        return int(self.pixels.shape[0])

    def images(self, indices: Sequence[int] | Labels) -> Floats:
        """float32 (k, h, w, c): 8-bit values divided by 255."""
        import numpy as np

        chosen = self.pixels[np.asarray(indices, dtype=np.int64)]
        if chosen.dtype == np.uint8:
            return np.asarray(chosen.astype(np.float32) / np.float32(255))
        return np.asarray(chosen)
