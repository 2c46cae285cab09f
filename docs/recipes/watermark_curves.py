"""Operating curves of both watermarks, their null, and what the mark in the noise does to quality.

    python docs/recipes/watermark_curves.py noise   --work FOLDER [--chunks 6]   # images, then noise under each attack
    python docs/recipes/watermark_curves.py pixels  --work FOLDER --data DATA    # 28, 64 and 256 pixels
    python docs/recipes/watermark_curves.py null    --work FOLDER --data DATA    # 100,000 keys on real and made images
    python docs/recipes/watermark_curves.py quality --work FOLDER --data DATA    # evaluated with and without, N = 2,000
    python docs/recipes/watermark_curves.py report  --work FOLDER                # the tables of docs/how-to/watermark.md

Every part keeps what it has done in FOLDER and goes on from there. DATA holds ``mnist`` and ``neu-steel`` as IDX files.
Chunks of 240 images; all seeds are below.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy.stats import beta, norm

from qimg_marks.watermark import WatermarkKey, detect, mark_pixels, shading, spread
from qimg_marks.watermark.bits import image_nonce, keystream, signs_of
from qimg_marks.watermark.finding import threshold
from qimg_marks.watermark.source import marked_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = WatermarkKey(bytes(range(32)))  # public: for measuring only
RUN, SEED, PLAIN_SEED, CHUNK, SHAPE, CELLS = "curves", 2026, 99, 240, (1, 28, 28), 784
RATE = 1e-6


# -- attacks: uint8 (h, w) and a generator to uint8 (h, w) ---------------------------------------


def _jpeg(quality: int) -> Callable[..., Any]:
    def attack(image: Any, rng: Any) -> Any:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=quality)
        return np.array(Image.open(io.BytesIO(out.getvalue())))

    return attack


def _noise(deviation: float) -> Callable[..., Any]:
    return lambda image, rng: np.clip(np.rint(image + rng.normal(0, deviation, image.shape)), 0, 255).astype(np.uint8)


def _to(image: Any, h: int, w: int) -> Any:
    return np.array(Image.fromarray(image).resize((w, h), Image.Resampling.BICUBIC))


def _scaled(factor: float) -> Callable[..., Any]:
    def attack(image: Any, rng: Any) -> Any:
        h, w = image.shape
        return _to(_to(image, int(h * factor), int(w * factor)), h, w)

    return attack


def _crop(share: float) -> Callable[..., Any]:
    def attack(image: Any, rng: Any) -> Any:
        h, w = image.shape
        cut = round(h * (1 - share) / 2)
        return _to(image[cut : h - cut, cut : w - cut], h, w)

    return attack


ATTACKS: dict[str, Callable[..., Any]] = {
    "none": lambda image, _: image,
    "jpeg90": _jpeg(90),
    "jpeg75": _jpeg(75),
    "jpeg50": _jpeg(50),
    "noise5": _noise(5),
    "noise10": _noise(10),
    "double": _scaled(2),
    "half": _scaled(0.5),
    "crop": _crop(26 / 28),
    "shift": lambda image, _: np.roll(image, (1, 1), (0, 1)),
}
FIRST = ("none", "jpeg50")
"""Measured on every chunk; the others on the first two."""


def attacked(name: str, images: Any, chunk: int) -> Any:
    rng = np.random.default_rng([chunk, len(name)])
    return np.stack([ATTACKS[name](image[..., 0], rng) for image in images])[..., None]


# -- the mark in the noise -------------------------------------------------------------------------


def keep(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file that is there whole or not at all; nothing where it is there already."""
    if not path.exists():
        part = path.with_name("part-" + path.name)
        write(part)
        os.replace(part, path)


def model() -> Any:
    import torch

    from qimg_core import Session

    torch.set_num_threads(1)
    return Session(None, seed=7, profile="light").generator("hybrid-unet", weights="mnist", sample_batch=80)


def sampled(net: Any, path: Path, noise: Callable[[], Any]) -> tuple[Any, Any]:
    def write(part: Path) -> None:
        images = net.sample(CHUNK, noise=noise())
        np.savez(part, q=images.to_uint8(), y=np.array(images.labels))

    keep(path, write)
    with np.load(path) as kept:
        return kept["q"], kept["y"]


def chunk_of(net: Any, work: Path, c: int) -> tuple[Any, Any]:
    rows = range(c * CHUNK, (c + 1) * CHUNK)
    return sampled(net, work / f"px{c}.npz", lambda: marked_noise(KEY, RUN, SEED, rows, SHAPE))


def noise_part(work: Path, chunks: int) -> None:
    from qimg_marks.watermark.detection import inverted

    net = model()
    for c in range(chunks):
        images, labels = chunk_of(net, work, c)
        for name in FIRST if c >= 2 else ATTACKS:

            def write(part: Path, name: str = name, c: int = c, images: Any = images, labels: Any = labels) -> None:
                np.save(part, inverted(attacked(name, images, c), net, labels.tolist()).astype(np.float16))

            keep(work / f"inv-{name}-{c}.npy", write)
            print(c, name, flush=True)


def signs(indices: Any) -> Any:
    return np.stack([signs_of(shading.message(KEY, image_nonce(RUN, SEED, i), CELLS)) for i in indices])


def noise_results(work: Path, name: str) -> dict[str, Any] | None:
    found = sorted(int(p.stem.rsplit("-", 1)[1]) for p in work.glob(f"inv-{name}-*.npy"))
    if not found:
        return None
    z = np.concatenate([np.load(work / f"inv-{name}-{c}.npy").astype(np.float64) for c in found])
    e = np.concatenate([signs(range(c * CHUNK, (c + 1) * CHUNK)) for c in found])
    c = shading.coefficients(z)
    top, square = (c * e).sum(1), (c**2).sum(1)
    batches = top.reshape(-1, 16).sum(1) / np.sqrt(square.reshape(-1, 16).sum(1))
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.permutation(len(top))[:16] for _ in range(100_000)])
    again = top[drawn].sum(1) / np.sqrt(square[drawn].sum(1))
    right = ((z.reshape(len(z), -1) > 0) == (e > 0)).sum(1)
    return {
        "signs right": float(right.mean() / CELLS),
        "single": rate_of(top / np.sqrt(square)),
        "batch of 16": rate_of(batches),
        "random batches of 16": {
            "n": len(again),
            "found": int((again >= threshold(RATE)).sum()),
            "least": least(again),
        },
    }


def least(t: Any) -> float:
    return float(np.min(t))


def rate_of(t: Any, tries: int = 1) -> dict[str, Any]:
    """Found among n, with the exact (Clopper-Pearson) 95 % interval."""
    n, k = len(t), int((t >= threshold(RATE, tries)).sum())
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    return {"n": n, "found": k, "low": low, "high": high, "mean": float(np.mean(t)), "least": least(t)}


# -- the mark in the pixels ------------------------------------------------------------------------


def pictures(size: int, work: Path, data: Path) -> Any:
    """uint8 (n, size, size, 1): made digits, real steel, photographs of scikit-learn and procedural scenes."""
    from qimg_core.datasets.idx import open_folder

    if size == 28:
        with np.load(work / "px0.npz") as kept:
            return kept["q"]
    if size == 64:
        source = open_folder(data / "neu-steel", split="test")
        return np.rint(source.images(range(source.n)) * 255).astype(np.uint8)[..., :1]
    from sklearn.datasets import load_sample_images

    out = []
    for photo in load_sample_images().images:
        grey = np.asarray(Image.fromarray(photo).convert("L"))
        out += [grey[y : y + 256, x : x + 256] for y in (0, 85, 171) for x in (0, 96, 192, 288, 384)]
    return np.stack([*out, *scenes(30)])[..., None]


def scenes(n: int) -> Iterator[Any]:
    """Smooth shapes, an edge and grain, 256x256."""
    for seed in range(n):
        rng = np.random.default_rng([256, seed])
        y, x = np.mgrid[0:256, 0:256] / 256
        out = np.zeros((256, 256))
        for _ in range(6):
            fx, fy, phase = rng.uniform(0.5, 4, 3)
            out += rng.uniform(0.2, 1) * np.cos(2 * np.pi * (fx * x + fy * y + phase))
        grain = rng.normal(size=(257, 257))
        out += 0.15 * (grain[1:, 1:] + grain[:-1, 1:] + grain[1:, :-1]) * (x > 0.5) + 0.8 * (
            y + x > rng.uniform(0.7, 1.3)
        )
        yield (20 + 210 * (out - out.min()) / np.ptp(out)).astype(np.uint8)


def pixels_part(work: Path, data: Path) -> None:
    for size in (28, 64, 256):
        plain = pictures(size, work, data)
        marked = mark_pixels(plain, KEY)
        error = ((plain.astype(np.float64) - marked) ** 2).mean((1, 2, 3))
        path = work / f"pixels-{size}.json"
        found = (
            json.loads(path.read_text()) if path.exists() else {"psnr": float((10 * np.log10(255**2 / error)).min())}
        )
        pattern = spread.pattern_signs(KEY, (size, size))
        for name in ATTACKS:
            if name in found:
                continue
            c = spread.coefficients(attacked(name, marked, 0))
            t = np.array([spread.statistic(one, pattern) for one in c])
            batches = [c[i : i + 16] for i in range(0, len(c) - 15, 16)]
            together = np.array([spread.statistic(spread.together(b), pattern) for b in batches])
            found[name] = {"single": rate_of(t), "batch of 16": rate_of(together)}
            if size > 28 and name in ("crop", "shift"):
                cut = attacked(name, marked[:: max(1, len(marked) // 24)][:24], 0)
                seen = [detect(one[None], KEY, resynchronise=True) for one in cut]
                found[name]["with search"] = rate_of(np.array([f.statistic for f in seen]), seen[0].tries)
            path.write_text(json.dumps(found, indent=1))
            print(size, name, flush=True)


# -- null and quality ------------------------------------------------------------------------------


def null_part(work: Path, data: Path) -> None:
    """Random keys against noise that was found in real digits, and against the pixels of all three sizes."""
    from qimg_core.datasets.idx import open_folder
    from qimg_marks.watermark.detection import inverted

    def write_noise(part: Path) -> None:
        real = np.rint(open_folder(data / "mnist", split="test").images(range(80)) * 255).astype(np.uint8)
        foreign = np.stack([_to(p[..., 0], 28, 28) for p in pictures(64, work, data)[:40]])[..., None]
        np.save(part, np.concatenate([inverted(x, net) for net in (model(),) for x in (real, foreign)]))

    keep(work / "null-noise.npy", write_noise)
    rng, found = np.random.default_rng(5), {}
    c = shading.coefficients(np.load(work / "null-noise.npy"))
    found["noise"] = null_of([(row, np.ones(CELLS, bool)) for row in c], rng, shading.USE)
    for size in (28, 64, 256):
        c = spread.coefficients(pictures(size, work, data)[:40])
        inside = spread.band((size, size))
        found[f"pixels {size}"] = null_of([(one, inside) for one in c], rng, spread.USE)
        if size == 28:
            batches = [(spread.together(c[i : i + 16]), inside) for i in range(0, 32, 16)]
            found["pixels 28, batches of 16"] = null_of(batches, rng, spread.USE)
    (work / "null.json").write_text(json.dumps(found, indent=1))


def null_of(c: list[tuple[Any, Any]], rng: Any, use: str, trials: int = 100_000) -> dict[str, Any]:
    """T of a fresh key and nonce for every trial; the images in turn."""
    kept = [(one[inside] / np.sqrt((one[inside] ** 2).sum())) for one, inside in c]
    t = np.empty(trials)
    for i in range(trials):
        row = kept[i % len(kept)]
        stream = keystream(WatermarkKey(rng.bytes(32)).derive(use), rng.bytes(12), row.size)
        t[i] = row @ signs_of(stream)
    shares = {str(level): [float((t > level).mean()), float(norm.sf(level))] for level in (2, 3, 4)}
    return {
        "trials": trials,
        "images": len(kept),
        "mean": float(t.mean()),
        "std": float(t.std()),
        "max": float(t.max()),
    } | {"P(T > t), found and Gaussian": shares}


def quality_part(work: Path, data: Path, n: int) -> None:
    from qimg_core.datasets.idx import open_folder
    from qimg_core.sampling_noise import session_noise
    from qimg_metrics.evaluation import evaluate_against, prepare_reference, table
    from qimg_metrics.features import shipped_network

    net, sets = model(), {}
    for name in ("marked", "plain"):
        parts = []
        for c in range(-(-n // CHUNK)):
            rows = c * CHUNK
            parts.append(
                chunk_of(net, work, c)
                if name == "marked"
                else sampled(
                    net, work / f"plain{c}.npz", lambda s=rows: session_noise(CHUNK, SHAPE, seed=PLAIN_SEED, start=s)
                )
            )
            print(name, c, flush=True)
        sets[name] = [np.concatenate([p[i] for p in parts])[:n] for i in (0, 1)]
    train, test = (open_folder(data / "mnist", split=split) for split in ("train", "test"))
    reference = prepare_reference(
        train=train.all(),
        train_labels=train.labels,
        test=test.all(),
        test_labels=test.labels,
        network=shipped_network("mnist-28"),
        n=n,
        seed=0,
    )
    judged = {k: evaluate_against(q / 255, y, reference) for k, (q, y) in sets.items()}
    (work / f"quality-{n}.txt").write_text(table(judged))
    print(table(judged))


def report(work: Path) -> None:
    out = {"noise": {name: noise_results(work, name) for name in ATTACKS}}
    for path in sorted(work.glob("*.json")):
        out[path.stem] = json.loads(path.read_text())
    print(json.dumps(out, indent=1))
    for path in sorted(work.glob("quality-*.txt")):
        print(path.read_text())


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("part", choices=["noise", "pixels", "null", "quality", "report"])
    ask.add_argument("--work", type=Path, required=True)
    ask.add_argument("--data", type=Path, default=Path(os.environ.get("QIMG_DATA", "data")))
    ask.add_argument("--chunks", type=int, default=6)
    ask.add_argument("--n", type=int, default=2000, help="images of quality")
    given = ask.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.part == "noise":
        noise_part(given.work, given.chunks)
    elif given.part == "report":
        report(given.work)
    elif given.part == "quality":
        quality_part(given.work, given.data, given.n)
    else:
        {"pixels": pixels_part, "null": null_part}[given.part](given.work, given.data)


if __name__ == "__main__":
    main()
