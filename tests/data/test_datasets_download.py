"""Downloads through a fake transport: digests, broken connections, mirrors, and nothing unasked."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from attrs import evolve

from qimg_core.datasets import cache_folder, fetch, open_images
from qimg_core.datasets.official import FASHION_MNIST, MNIST, OFFICIAL
from qimg_core.errors import BackendUnavailable, ConfigurationError, DataError, StorageError

BODY = b"some images " * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()
URL = "https://example.org/data/images.gz"


def _client(answer: Callable[[httpx.Request], httpx.Response]) -> tuple[httpx.Client, list[str]]:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return answer(request)

    return httpx.Client(transport=httpx.MockTransport(handle)), asked


def _served(data: bytes) -> httpx.Response:
    """Sent as a stream, as from a network: a response built with ``content`` counts as read already."""
    return httpx.Response(200, stream=httpx.ByteStream(data), headers={"Content-Length": str(len(data))})


class _Broken(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield BODY[:100]
        raise httpx.ReadError("connection reset")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIMG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QIMG_MNIST", raising=False)


def test_downloaded_once_and_then_found(tmp_path: Path) -> None:
    client, asked = _client(lambda _: _served(BODY))
    seen: list[tuple[int, int | None]] = []
    path = fetch(
        URL, "sha256:" + DIGEST.upper(), client=client, progress=lambda done, total: seen.append((done, total))
    )
    assert path == tmp_path / "cache" / "downloads" / "images.gz"
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert fetch(URL, DIGEST, client=client) == path
    assert asked == [URL]
    path.write_bytes(b"changed")
    assert fetch(URL, DIGEST, client=client).read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["images.gz"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: _served(BODY + b"x"), DataError),
        (lambda _: _served(b""), DataError),
        (lambda _: httpx.Response(404), ConfigurationError),
        (lambda _: httpx.Response(503), BackendUnavailable),
        (lambda _: httpx.Response(429), BackendUnavailable),
        (lambda _: httpx.Response(200, stream=_Broken()), BackendUnavailable),
    ],
)
def test_a_failed_download_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, answer: Callable[[httpx.Request], httpx.Response], error: type[Exception]
) -> None:
    (tmp_path / "images.gz").write_bytes(b"older")
    with pytest.raises(error):
        fetch(URL, DIGEST, folder=tmp_path, client=_client(answer)[0])
    assert [p.name for p in tmp_path.iterdir()] == ["images.gz"]
    assert (tmp_path / "images.gz").read_bytes() == b"older"


def test_no_connection_and_too_long() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(BackendUnavailable, match="no route"):
        fetch(URL, DIGEST, client=_client(refuse)[0])
    with pytest.raises(DataError, match="longer than 10 bytes"):
        fetch(URL, DIGEST, client=_client(lambda _: _served(BODY))[0], largest=10)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a",
        "file:///etc/passwd",
        "https://",
        "https://example.org/",
        "a.gz",
        "https://[x/a",
        "https://e.org:x/a",
    ],
)
def test_bad_urls_and_digests_are_refused_before_anything(url: str) -> None:
    client, asked = _client(lambda _: _served(BODY))
    with pytest.raises(ConfigurationError):
        fetch(url, DIGEST, client=client)
    for digest in ("", "md5:abc", DIGEST[:-1]):
        with pytest.raises(ConfigurationError, match="64 hex"):
            fetch(URL, digest, client=client)
    with pytest.raises(ConfigurationError):
        fetch(URL, DIGEST, name="../up.gz", client=client)
    assert asked == []
    assert not cache_folder().exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        fetch(URL, DIGEST, folder=tmp_path / "file", client=_client(lambda _: _served(BODY))[0])


def _small_mnist() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    out = {}
    for prefix, n in (("train", 6), ("t10k", 3)):
        images = struct.pack(">IIII", 2051, n, 28, 28) + rng.integers(0, 256, n * 784).astype(np.uint8).tobytes()
        labels = struct.pack(">II", 2049, n) + bytes(range(n))
        out[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(images)
        out[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(labels)
    return out


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files in place of MNIST and Fashion-MNIST, with the pins set to theirs."""
    files = _small_mnist()
    packed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    unpacked = {}
    for name, data in files.items():
        prefix, part = name.split("-")[:2]
        split = {"train": "train", "t10k": "test"}[prefix]
        unpacked[f"{split}-{part}"] = hashlib.sha256(gzip.decompress(data)).hexdigest()
    monkeypatch.setitem(OFFICIAL, "mnist", evolve(MNIST, packed=packed, unpacked=unpacked))
    monkeypatch.setitem(OFFICIAL, "fashion-mnist", evolve(FASHION_MNIST, packed=packed))
    return files


@pytest.mark.parametrize("name", list(OFFICIAL))
def test_a_known_set_from_the_second_mirror_when_the_first_is_down(served: dict[str, bytes], name: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if str(request.url).startswith(OFFICIAL[name].mirrors[0]):
            return httpx.Response(503)
        return _served(served[request.url.path.rsplit("/", 1)[1]])

    client, asked = _client(answer)
    source = OFFICIAL[name].open(split="test", download=True, client=client)
    assert (source.n, source.shape, source.name) == (3, (28, 28, 1), f"{name}/test")
    assert len(asked) == 8
    assert open_images(name).n == 6
    assert len(asked) == 8


def test_a_killed_mnist_download_goes_on(served: dict[str, bytes]) -> None:
    names = list(served)
    down = True

    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rsplit("/", 1)[1]
        return httpx.Response(503) if down and name == names[2] else _served(served[name])

    client, asked = _client(answer)
    with pytest.raises(BackendUnavailable, match="503"):
        OFFICIAL["mnist"].fetch(client=client)
    with pytest.raises(ConfigurationError, match="qimg data get mnist"):
        open_images("mnist")
    down = False
    OFFICIAL["mnist"].fetch(client=client)
    assert sum(url.endswith(names[0]) for url in asked) == 1
    assert open_images("mnist").n == 6


@pytest.mark.parametrize("name", list(OFFICIAL))
def test_other_files_in_its_place_are_refused(
    served: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    known = OFFICIAL[name]
    client, _ = _client(lambda request: _served(served[request.url.path.rsplit("/", 1)[1]]))
    folder = known.fetch(client=client)
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(struct.pack(">II", 2049, 6) + bytes(6)))
    with pytest.raises(DataError, match=f"does not hold {known.title}'s train split"):
        open_images(name)
    assert open_images(name, split="test").n == 3
    monkeypatch.setenv(known.variable, str(folder))
    assert open_images(name, split="test").n == 3
    labels.unlink()
    with pytest.raises(ConfigurationError, match=known.variable):
        open_images(name)


def test_files_packed_anew_are_known_where_their_content_is_pinned(served: dict[str, bytes]) -> None:
    client, _ = _client(lambda request: _served(served[request.url.path.rsplit("/", 1)[1]]))
    for known in OFFICIAL.values():
        path = known.fetch(client=client) / "t10k-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))
    assert open_images("mnist", split="test").n == 3
    with pytest.raises(DataError, match="Fashion-MNIST's test split"):
        open_images("fashion-mnist", split="test")


def test_nothing_is_downloaded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx.Client, "send", lambda *_, **__: pytest.fail("a request was sent"))
    for name in OFFICIAL:
        with pytest.raises(ConfigurationError, match=f"qimg data get {name}"):
            open_images(name)
    assert not cache_folder().exists()
