"""MNIST: found on this machine, or downloaded when asked (floor 4; imports errors, download, idx, source).

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits". Two digests are pinned:
of the gzip files as the mirrors serve them, and of the unpacked content, which also covers copies
that were packed anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from qimg_core.datasets import download as net
from qimg_core.datasets import idx
from qimg_core.errors import BackendUnavailable, ConfigurationError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from qimg_core.datasets.source import ArraySource

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

PACKED = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
"""SHA-256 of the files as they are served."""

UNPACKED = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of the files' unpacked content, by split and part."""


def cached() -> Path:
    """The folder that `download` fills."""
    return net.cache_folder() / "mnist"


def located() -> Path | None:
    """The folder that holds all four files: QIMG_MNIST if set, else the cache, else None.

    Raises:
        ConfigurationError: QIMG_MNIST is set to a folder that does not hold them.
    """
    given = os.environ.get("QIMG_MNIST")
    if given:
        folder = Path(given).expanduser()
        if not _complete(folder):
            raise ConfigurationError(
                f"QIMG_MNIST is {given!r}, which does not hold MNIST's four IDX files",
                hint="unset it, or point it at the folder of train-images-idx3-ubyte[.gz] and the others",
            )
        return folder
    return cached() if _complete(cached()) else None


def open_mnist(*, split: str = "train", download: bool = False, client: httpx.Client | None = None) -> ArraySource:
    """MNIST, 28x28 grey, its official split of 60,000 and 10,000.

    Args:
        split: ``train`` or ``test``.
        download: whether it may be downloaded if it is not on this machine.
        client: an httpx client, for proxies or tests.

    Raises:
        ConfigurationError: not on this machine and ``download`` is False.
        DataError: the files are not MNIST's.
        BackendUnavailable: the download failed.
    """
    folder = located()
    if folder is None:
        if not download:
            raise ConfigurationError(
                "MNIST is not on this machine and nothing is downloaded unasked",
                hint="qimg data get mnist, or set QIMG_MNIST to a folder that has its IDX files",
            )
        folder = fetch_mnist(client=client)
    source = idx.open_folder(folder, split=split)
    found = list(source.provenance["unpacked_files"].values())
    wanted = [f"sha256:{UNPACKED[f'{split}-{part}']}" for part in ("images", "labels")]
    if found != wanted:
        raise DataError(
            f"{folder} does not hold MNIST's {split} split: SHA-256 of the unpacked files {found}, wanted {wanted}",
            hint="to use other data in IDX files, give the folder's path instead of 'mnist'",
        )
    return evolve(source, name=f"mnist/{split}", provenance={"dataset": "mnist", "split": split, **source.provenance})


def fetch_mnist(
    *, client: httpx.Client | None = None, progress: Callable[[int, int | None], None] | None = None
) -> Path:
    """Download the four files (11 MB) to the cache, unless they are there. A killed download is simply run again.

    Returns:
        The folder.

    Raises:
        BackendUnavailable: no mirror could be reached.
        DataError: a mirror served other files.
        StorageError: the cache cannot be written.
    """
    for name, digest in PACKED.items():
        _from_a_mirror(name, digest, client, progress)
    return cached()


def _from_a_mirror(
    name: str, digest: str, client: httpx.Client | None, progress: Callable[[int, int | None], None] | None
) -> None:
    failures: list[str] = []
    for mirror in MIRRORS:
        try:
            net.fetch(mirror + name, digest, folder=cached(), client=client, progress=progress, largest=1 << 25)
        except (BackendUnavailable, ConfigurationError) as error:
            failures.append(error.message)
        else:
            return
    raise BackendUnavailable("; ".join(failures), hint="check the network, or set QIMG_MNIST to a copy you have")


def _complete(folder: Path) -> bool:
    return all(idx.find(folder, split, part) for split in ("train", "test") for part in ("images", "labels"))
