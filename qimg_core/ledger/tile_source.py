"""Where the files of a published log are read from: a folder, or an http(s) address (imports errors, storage).

`httpx` is imported when an address is opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qimg_core.errors import ConfigurationError, StorageError
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

MOST_BYTES = 256 * (2 + 65_535)  # a full entry bundle of the longest entries


class TileSource(ABC):
    """Gives files by their path relative to the log's address."""

    where: str

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """The whole file, or None where there is none.

        Raises:
            StorageError: it cannot be read, or is longer than any file of a published log.
        """

    def close(self) -> None:
        """Release connections; the default does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FolderSource(TileSource):
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)

    def read(self, path: str) -> bytes | None:
        """See `TileSource.read`."""
        place = self.folder / path
        try:
            with place.open("rb") as file:
                return _bounded(file.read(MOST_BYTES + 1), str(place))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise storage_error(error, "read", place) from error


class WebSource(TileSource):
    """An http(s) address. What comes from it is checked against signatures, so plain http does.

    Args:
        url: the log's address; files lie below it.
        transport: replaces the network in tests.
    """

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        import httpx

        self.where = url.rstrip("/")
        self._http = httpx.Client(transport=transport, timeout=httpx.Timeout(30.0, connect=10.0))

    def read(self, path: str) -> bytes | None:
        """See `TileSource.read`."""
        import httpx

        address = f"{self.where}/{path}"
        try:
            with self._http.stream("GET", address) as answer:
                if answer.status_code in (404, 410):
                    return None
                if answer.status_code != 200:
                    raise StorageError(f"{address} answers {answer.status_code}", hint="check the address of the log")
                data = b""
                for part in answer.iter_bytes():
                    data = _bounded(data + part, address)
                return data
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StorageError(f"cannot read {address}: {error}", hint="check the address and the network") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _bounded(data: bytes, where: str) -> bytes:
    if len(data) > MOST_BYTES:
        raise StorageError(f"{where} is longer than any file of a published log", hint="check the address of the log")
    return data


def open_source(where: str | Path) -> TileSource:
    """A folder or an http(s) address.

    Raises:
        ConfigurationError: no such folder, or another kind of address.
    """
    text = str(where)
    if text.startswith(("http://", "https://")):
        return WebSource(text)
    if "://" in text:
        raise ConfigurationError(f"{text} is no address of a published log", hint="http://, https://, or a folder")
    if not Path(where).is_dir():
        raise ConfigurationError(f"no folder {where}", hint="name the folder that `qimg ledger publish` wrote")
    return FolderSource(Path(where))
