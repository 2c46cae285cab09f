"""`Official`: a published data set in IDX files, with pinned digests (floor 4; imports errors, download, idx, source).

It is found on this machine or downloaded when asked. Two digests can be pinned: of the gzip files as the mirrors
serve them, and of the unpacked content, which also covers copies that were packed anew.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from qimg_core.datasets import download as net
from qimg_core.datasets import idx
from qimg_core.errors import BackendUnavailable, ConfigurationError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from qimg_core.datasets.source import ArraySource

    Progress = Callable[[int, int | None], None]


@frozen(kw_only=True)
class Official:
    """A data set that its publisher serves as four gzip files of IDX arrays.

    Args:
        name: as ``--data`` takes it.
        title: as people write it.
        about: a line for `qimg data list`.
        variable: of the environment: a folder that holds the files.
        mirrors: base URLs.
        packed: SHA-256 of the files as they are served, by name.
        unpacked: SHA-256 of their content, by split and part (``train-images``); empty if it is not known, and then
            only files as they are served are taken for the data set.
        largest: bytes of a file at most.
    """

    name: str
    title: str
    about: str
    variable: str
    mirrors: tuple[str, ...]
    packed: Mapping[str, str]
    unpacked: Mapping[str, str] = field(factory=dict)
    largest: int = 1 << 25

    @property
    def cached(self) -> Path:
        """The folder that `fetch` fills."""
        return net.cache_folder() / self.name

    def located(self) -> Path | None:
        """The folder that holds all four files: the variable's if set, else the cache, else None.

        Raises:
            ConfigurationError: the variable names a folder that does not hold them.
        """
        given = os.environ.get(self.variable)
        if given:
            folder = Path(given).expanduser()
            if not _complete(folder):
                raise ConfigurationError(
                    f"{self.variable} is {given!r}, which does not hold {self.title}'s four IDX files",
                    hint="unset it, or point it at the folder of train-images-idx3-ubyte[.gz] and the others",
                )
            return folder
        return self.cached if _complete(self.cached) else None

    def open(self, *, split: str = "train", download: bool = False, client: httpx.Client | None = None) -> ArraySource:
        """One split of it.

        Args:
            split: ``train`` or ``test``.
            download: whether it may be downloaded if it is not on this machine.
            client: an httpx client, for proxies or tests.

        Raises:
            ConfigurationError: not on this machine and ``download`` is False.
            DataError: the files are not the data set's.
            BackendUnavailable: the download failed.
        """
        folder = self.located()
        if folder is None:
            if not download:
                raise ConfigurationError(
                    f"{self.title} is not on this machine and nothing is downloaded unasked",
                    hint=f"qimg data get {self.name}, or set {self.variable} to a folder that has its IDX files",
                )
            folder = self.fetch(client=client)
        source = idx.open_folder(folder, split=split)
        found, wanted = self._digests(folder, split, source)
        if found != wanted:
            raise DataError(
                f"{folder} does not hold {self.title}'s {split} split: SHA-256 {found}, wanted {wanted}",
                hint=f"to use other data in IDX files, give the folder's path instead of {self.name!r}",
            )
        provenance = {"dataset": self.name, "split": split, **source.provenance}
        return evolve(source, name=f"{self.name}/{split}", provenance=provenance)

    def _digests(self, folder: Path, split: str, source: ArraySource) -> tuple[list[str], list[str]]:
        """What was found and what was wanted."""
        parts = ("images", "labels")
        if self.unpacked:
            wanted = [f"sha256:{self.unpacked[f'{split}-{part}']}" for part in parts]
            return list(source.provenance["unpacked_files"].values()), wanted
        files = [idx.find(folder, split, part) for part in parts]
        found = [f"sha256:{hashlib.sha256(f.read_bytes()).hexdigest()}" for f in files if f is not None]
        return found, [
            f"sha256:{self.packed[name]}" for part in parts for name in self.packed if _is(name, split, part)
        ]

    def fetch(self, *, client: httpx.Client | None = None, progress: Progress | None = None) -> Path:
        """Download the files to the cache, unless they are there. A killed download is simply run again.

        Returns:
            The folder.

        Raises:
            BackendUnavailable: no mirror could be reached.
            DataError: a mirror served other files.
            StorageError: the cache cannot be written.
        """
        for name, digest in self.packed.items():
            self._from_a_mirror(name, digest, client, progress)
        return self.cached

    def _from_a_mirror(self, name: str, digest: str, client: httpx.Client | None, progress: Progress | None) -> None:
        failures: list[str] = []
        for mirror in self.mirrors:
            try:
                net.fetch(
                    mirror + name, digest, folder=self.cached, client=client, progress=progress, largest=self.largest
                )
            except (BackendUnavailable, ConfigurationError) as error:
                failures.append(error.message)
            else:
                return
        raise BackendUnavailable(
            "; ".join(failures), hint=f"check the network, or set {self.variable} to a copy you have"
        )


def _complete(folder: Path) -> bool:
    return all(idx.find(folder, split, part) for split in ("train", "test") for part in ("images", "labels"))


def _is(name: str, split: str, part: str) -> bool:
    return name.startswith("t10k" if split == "test" else "train") and f"-{part}-" in name


MNIST = Official(
    name="mnist",
    title="MNIST",
    about="70,000 digits of 28x28",
    variable="QIMG_MNIST",
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    packed={
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    unpacked={
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
"""Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits": 60,000 + 10,000 images, 28x28 grey."""

FASHION_MNIST = Official(
    name="fashion-mnist",
    title="Fashion-MNIST",
    about="70,000 pieces of clothing of 28x28",
    variable="QIMG_FASHION_MNIST",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    packed={
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
"""H. Xiao, K. Rasul, R. Vollgraf 2017 (arXiv:1708.07747), MIT licence: 60,000 + 10,000 images, 28x28 grey."""

OFFICIAL = {d.name: d for d in (MNIST, FASHION_MNIST)}
