"""IDX, NPZ and PNG folders: the same data in each gives the same digest; bad files say what is wrong."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qimg_core.datasets import ArraySource, ImageSource, open_images
from qimg_core.errors import ConfigurationError, DataError, UnknownName

X = np.random.default_rng(4).integers(0, 256, (12, 6, 5)).astype(np.uint8)
Y = np.array([3, 1, 0, 2, 2, 1, 3, 0, 0, 1, 2, 3])


def _idx(array: np.ndarray) -> bytes:
    code = {"uint8": 8, "int32": 12, "float32": 13}[array.dtype.name]
    head = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def _idx_folder(folder: Path, *, packed: bool, prefix: str = "train") -> Path:
    folder.mkdir(exist_ok=True)
    for part, array in (("images-idx3", X), ("labels-idx1", Y.astype(np.uint8))):
        data = _idx(array)
        name = f"{prefix}-{part}-ubyte" + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(data) if packed else data)
    return folder


def _png_folder(folder: Path, *, classes: bool = True) -> Path:
    for i, (image, label) in enumerate(zip(X, Y, strict=True)):
        place = folder / str(label) if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:05d}.png")
    return folder


def test_one_digest_whatever_the_container(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "keras.npz", x_train=X[..., None], y_train=Y[:, None], x_test=X[:2], y_test=Y[:2])
    np.savez(tmp_path / "floats.npz", images=X.astype(np.float32) / np.float32(255), labels=Y.astype(np.int32))
    raw = _idx_folder(tmp_path / "raw", packed=False)
    packed = _idx_folder(tmp_path / "packed", packed=True)
    paths = [
        raw,
        packed,
        raw / "train-images-idx3-ubyte",
        packed / "train-images-idx3-ubyte.gz",
        tmp_path / "plain.npz",
        tmp_path / "keras.npz",
        tmp_path / "floats.npz",
        _png_folder(tmp_path / "png"),
    ]
    wanted = ArraySource(name="a", pixels=X, labels=Y)
    for path in paths:
        source = open_images(path)
        assert source.digest == wanted.digest, path
        np.testing.assert_array_equal(source.images([5]), wanted.images([5]))
        assert open_images(str(path), digest=wanted.digest).n_classes == 4
    flat = open_images(_png_folder(tmp_path / "flat", classes=False))
    assert flat.digest == ArraySource(name="a", pixels=X).digest
    assert flat.labels is None


def test_provenance_is_json_without_floats_or_folders_above(tmp_path: Path) -> None:
    def walk(value: object) -> None:
        if isinstance(value, dict):
            assert all(isinstance(k, str) for k in value)
            for part in value.values():
                walk(part)
        elif isinstance(value, list):
            for part in value:
                walk(part)
        else:
            assert value is None or isinstance(value, (str, int))
            assert str(tmp_path) not in str(value)

    np.savez(tmp_path / "a.npz", x=X, y=Y)
    for path in (_idx_folder(tmp_path / "idx", packed=True), tmp_path / "a.npz", _png_folder(tmp_path / "png")):
        source = open_images(path, size=3)
        walk(dict(source.provenance))
        assert source.shape == (3, 3, 1)


def test_idx_names_one_digest_for_raw_and_packed(tmp_path: Path) -> None:
    raw = open_images(_idx_folder(tmp_path / "raw", packed=False)).provenance["unpacked_files"]
    packed = open_images(_idx_folder(tmp_path / "packed", packed=True)).provenance["unpacked_files"]
    assert list(raw.values()) == list(packed.values())


def test_splits(tmp_path: Path) -> None:
    folder = _idx_folder(_idx_folder(tmp_path / "idx", packed=False), packed=True, prefix="t10k")
    assert open_images(folder, split="test").n == 12
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2])
    assert open_images(tmp_path / "a.npz", split="test").n == 2
    _png_folder(tmp_path / "png" / "train")
    _png_folder(tmp_path / "png" / "test", classes=False)
    assert open_images(tmp_path / "png").n_classes == 4
    assert open_images(tmp_path / "png", split="test").labels is None
    np.savez(tmp_path / "one.npz", x=X, y=Y)
    for path in (tmp_path / "one.npz", tmp_path / "png" / "train", _idx_folder(tmp_path / "only", packed=False)):
        with pytest.raises(DataError, match="test"):
            open_images(path, split="test")
    with pytest.raises(ConfigurationError, match="split"):
        open_images("digits", split="all")  # type: ignore[arg-type]


def test_class_names_are_sorted_and_kept(tmp_path: Path) -> None:
    for name, place in (("1.png", "scratch"), ("2.png", "crack"), ("3.png", "patch")):
        (tmp_path / place).mkdir()
        Image.fromarray(X[0]).save(tmp_path / place / name)
    source = open_images(tmp_path)
    assert source.labels is not None
    assert source.labels.tolist() == [2, 0, 1]
    assert source.provenance["classes"] == ["crack", "patch", "scratch"]


def test_opaque_alpha_and_palettes_are_what_they_look_like(tmp_path: Path) -> None:
    rgb = np.stack([X[0], X[1], X[2]], axis=-1)
    Image.fromarray(np.concatenate([rgb, np.full((6, 5, 1), 255, np.uint8)], axis=2)).save(tmp_path / "a.png")
    Image.fromarray(rgb).quantize(256).save(tmp_path / "b.png")
    np.testing.assert_array_equal(open_images(tmp_path).images([0])[0], (rgb / 255).astype(np.float32))
    Image.fromarray(np.concatenate([rgb, X[3][..., None]], axis=2)).save(tmp_path / "c.png")
    with pytest.raises(DataError, match=r"c\.png.*transparent"):
        open_images(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("part", ["images-idx3", "labels-idx1"])
def test_every_truncation_of_an_idx_file_is_found(tmp_path: Path, packed: bool, part: str) -> None:
    folder = _idx_folder(tmp_path / "idx", packed=packed)
    path = folder / f"train-{part}-ubyte{'.gz' if packed else ''}"
    data = path.read_bytes()
    for end in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:end])
        with pytest.raises(DataError):
            open_images(folder)
    path.write_bytes((gzip.compress if packed else bytes)((gzip.decompress if packed else bytes)(data) + b"\0"))
    with pytest.raises(DataError, match="more than"):
        open_images(folder)


def test_an_idx_header_that_lies_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "big.idx").write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**15, 2**10) + b"abc")
    with pytest.raises(DataError, match="truncated"):
        open_images(tmp_path / "big.idx")


def test_idx_files_of_floats_and_without_labels(tmp_path: Path) -> None:
    (tmp_path / "faces.idx").write_bytes(_idx((X / 255).astype(np.float32)))
    assert open_images(tmp_path / "faces.idx").digest == ArraySource(name="a", pixels=X).digest
    (tmp_path / "nan.idx").write_bytes(_idx(np.full((2, 3, 3), np.nan, np.float32)))
    with pytest.raises(DataError, match="NaN"):
        open_images(tmp_path / "nan.idx")


def test_missing_labels_are_named(tmp_path: Path) -> None:
    folder = _idx_folder(tmp_path / "idx", packed=False)
    (folder / "train-labels-idx1-ubyte").unlink()
    for path in (folder, folder / "train-images-idx3-ubyte"):
        with pytest.raises(DataError, match=r"missing labels file.*train-labels-idx1-ubyte"):
            open_images(path)
    (folder / "train-labels-idx1-ubyte").write_bytes(_idx(Y[:5].astype(np.uint8)))
    with pytest.raises(DataError, match="12 images but 5 labels"):
        open_images(folder)
    np.savez(tmp_path / "a.npz", x=X, y_train=Y)
    with pytest.raises(DataError, match="not its labels"):
        open_images(tmp_path / "a.npz")


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no PNG files"):
        open_images(tmp_path)
    Image.fromarray(X[0]).save(tmp_path / "a.png")
    Image.fromarray(X[0][:4]).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"more than one shape.*a\.png.*b\.png"):
        open_images(tmp_path)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"b\.png"):
        open_images(tmp_path)
    (tmp_path / "b.png").unlink()
    (tmp_path / "more").mkdir()
    Image.fromarray(X[0]).save(tmp_path / "more" / "c.png")
    with pytest.raises(DataError, match="beside"):
        open_images(tmp_path)
    (tmp_path / "more" / "c.png").rename(tmp_path / "more" / "c.jpg")
    with pytest.raises(DataError, match="only PNG"):
        open_images(tmp_path)


def test_bad_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=Y)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="truncated"):
        open_images(path)
    np.savez(path, pictures=X)
    with pytest.raises(DataError, match="pictures"):
        open_images(path)
    np.savez(path, x=np.array([{"pickled": 1}], dtype=object))
    with pytest.raises(DataError):
        open_images(path)
    np.savez(path, x=np.full((2, 4, 4), np.nan))
    with pytest.raises(DataError, match="NaN"):
        open_images(path)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match="neither IDX"):
        open_images(tmp_path / "a.txt")


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="did you mean 'mnist'") as caught:
        open_images("minst")
    assert caught.value.nearest == "mnist"
    for missing in ("./nowhere", "nowhere.npz", tmp_path / "nowhere"):
        with pytest.raises(DataError, match="no file or folder"):
            open_images(missing)
    with pytest.raises(UnknownName):
        open_images("")

    def steel(*, split: str) -> ImageSource:
        return ArraySource(name=f"steel/{split}", pixels=X, labels=Y)

    assert open_images("steel", split="test", registered={"steel": steel}).name == "steel/test"
    with pytest.raises(UnknownName, match="'steel'"):
        open_images("stel", registered={"steel": steel})
    with pytest.raises(DataError, match="wanted sha256:00"):
        open_images("steel", registered={"steel": steel}, digest="sha256:00")
    monkeypatch.chdir(tmp_path)
    _png_folder(tmp_path / "digits")
    assert open_images("./digits").n == 12
    assert open_images("digits").n == 1438
