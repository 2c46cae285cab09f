"""Train a feature network on an IDX dataset and write it with its record: ``python -m qimg_metrics.image.train``.

The only module of the image metrics that reads a dataset; everything else takes arrays.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors
import torch

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import clopper_pearson
from qimg_metrics.features import FeatureNetwork, train_feature_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read_idx(path: Path) -> tuple[NDArray[np.uint8], str]:
    """The array of an IDX file of unsigned bytes, gzipped or not, and ``sha256:`` of its unpacked bytes.

    Raises:
        DataError: not there, not IDX, of another element type, or shorter or longer than it says.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise DataError(f"{path}: not an IDX file of unsigned bytes")
    head = 4 + 4 * raw[3]
    shape = tuple(int(v) for v in np.frombuffer(raw[4:head], dtype=">u4"))
    if len(shape) != raw[3] or len(raw) - head != int(np.prod(shape)):
        raise DataError(f"{path}: {len(raw) - head} bytes of values for the shape {shape}")
    return np.frombuffer(raw, dtype=np.uint8, offset=head).reshape(shape), f"sha256:{hashlib.sha256(raw).hexdigest()}"


def train(folder: Path, out: Path, *, seed: int, epochs: int, name: str) -> FeatureNetwork:
    """Train on the training split in `folder`, test on its test split, write `out` and `out` with ``.json``.

    Raises:
        DataError: a file is missing or damaged; nothing is written then.
    """
    arrays, digests = {}, {}
    for part in _PARTS:
        path = folder / f"{part}.gz"
        arrays[part], digests[part] = read_idx(path if path.is_file() else folder / part)
    images, labels, test_images, test_labels = (arrays[part] for part in _PARTS)

    def show(epoch: int, of: int, loss: float) -> None:
        sys.stderr.write(f"epoch {epoch}/{of}  loss {loss:.4f}  {time.perf_counter() - start:.0f} s\n")

    start = time.perf_counter()
    network = train_feature_network(_floats(images), labels.astype(np.int64), seed=seed, epochs=epochs, progress=show)
    seconds = time.perf_counter() - start
    network = network.tested(_floats(test_images), test_labels.astype(np.int64))
    accuracy = network.accuracy
    assert accuracy is not None
    right, n = accuracy
    low, high = clopper_pearson(right, n)
    record = {
        "what": "independent classifier whose features the image metrics compare; saw real training images only, "
        "shifted by up to 2 pixels, half with normal noise up to 0.1",
        "name": name,
        "format": "qimg-feature-network/1",
        "weights": network.digest,
        "accuracy": {
            "value": repr(right / n),
            "low": repr(low),
            "high": repr(high),
            "level": "0.95",
            "method": "Clopper-Pearson",
            "right": right,
            "n": n,
            "on": "the test split, float16 weights as stored",
        },
        "dataset": {
            "name": folder.name,
            "digest": network.metadata["dataset"],
            "files": digests,
            "n_train": len(images),
        },
        "seed": seed,
        "epochs": epochs,
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "safetensors": str(safetensors.__version__),
            "machine": platform.machine(),
        },
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python -m qimg_metrics.image.train "
        f"--seed {seed} --epochs {epochs} --name {name} {folder.name} {out.name}",
    }
    temporary = out.with_name(out.name + ".part")
    network.save(temporary)
    os.replace(temporary, out)
    out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return network


def _floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (images.astype(np.float32) / 255.0)[..., None] if images.ndim == 3 else images.astype(np.float32) / 255.0


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m qimg_metrics.image.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the four IDX files of a dataset")
    parser.add_argument("out", type=Path, help="weights file to write (.safetensors); its record goes beside it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--name", default="mnist-28")
    given = parser.parse_args()
    network = train(given.folder, given.out, seed=given.seed, epochs=given.epochs, name=given.name)
    sys.stdout.write(f"{given.out}  {network.digest}  accuracy {network.metadata['accuracy']}\n")


if __name__ == "__main__":
    main()
