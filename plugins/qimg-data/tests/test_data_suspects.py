"""Near-duplicates, flips and outliers that were planted are found, at the rates that the documentation states."""

import json
import os
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.datasets import open_images
from qimg_core.errors import DataError
from qimg_data import plugin
from qimg_data.duplicates import hashes, near_duplicates
from qimg_data.suspects import find_suspects
from qimg_data.synthetic import DIGESTS, draw, open_synthetic


def drawn(n, seed=3):
    labels = np.arange(n) % 10
    return draw(labels, seed=seed).astype(np.float32) / 255, labels


def planted_copies(images, rng, k):
    """Copies with noise, less light or fewer grey levels; which they are of."""
    source = rng.permutation(len(images))[:k]
    copies = images[source].copy()
    for i, copy in enumerate(copies):
        changed = (copy + rng.normal(0, 0.03, copy.shape), copy * 0.9, np.round(copy * 15) / 15)[i % 3]
        copies[i] = np.clip(changed, 0, 1)
    return source, copies


def test_planted_copies_are_found_whatever_place_they_have():
    rng = np.random.default_rng(0)
    x, _ = drawn(500)
    source, copies = planted_copies(x, rng, 60)
    order = rng.permutation(560)
    pairs = near_duplicates(np.concatenate([x, copies])[order])
    place = np.argsort(order)
    found = {frozenset((p.first, p.second)) for p in pairs}
    hits = sum(frozenset((int(place[s]), int(place[500 + i]))) in found for i, s in enumerate(source))
    assert hits >= 57
    assert len(near_duplicates(x)) <= 5


def test_the_bands_propose_every_pair_that_all_pairs_have():
    x, _ = drawn(120)
    x = np.concatenate([x, np.clip(x[:30] + np.float32(0.02), 0, 1)])
    codes = [int(c) for c in hashes(x)]
    everyone = {
        (i, j)
        for i in range(len(x))
        for j in range(i + 1, len(x))
        if (codes[i] ^ codes[j]).bit_count() <= 7 and np.sqrt(((x[i] - x[j]) ** 2).mean()) <= 0.1
    }
    assert {(p.first, p.second) for p in near_duplicates(x, bits=7, distance=0.1)} == everyone
    with pytest.raises(DataError):
        near_duplicates(x, bits=8)


@pytest.mark.parametrize("same", range(8))
def test_two_hashes_with_a_single_byte_in_common_are_compared(same, monkeypatch):
    apart = sum(1 << 8 * byte for byte in range(8) if byte != same)  # 7 bits, one in each other byte
    monkeypatch.setattr("qimg_data.duplicates.hashes", lambda images: np.array([0, apart], dtype=np.uint64))
    (pair,) = near_duplicates(np.zeros((2, 4, 4, 1)), bits=7)
    assert (pair.first, pair.second, pair.bits) == (0, 1, 7)
    assert near_duplicates(np.zeros((2, 4, 4, 1)), bits=6) == ()


def test_the_hash_ranks_pairs_as_another_implementation_of_phash_does():
    x, _ = drawn(40)
    x = np.concatenate([x, np.clip(x + 0.05, 0, 1)])
    pictures = [Image.fromarray((a[..., 0] * 255).astype(np.uint8)) for a in x]
    theirs = [imagehash.phash(p) for p in pictures]
    ours = [int(c) for c in hashes(x)]
    pairs = [(i, j) for i in range(80) for j in range(i)]
    a = [(ours[i] ^ ours[j]).bit_count() for i, j in pairs]
    b = [theirs[i] - theirs[j] for i, j in pairs]
    assert np.corrcoef(a, b)[0, 1] > 0.6


def rates(x, y, rng, strangers, flips=120):
    """Precision and recall of planted flips, and of strangers among the images."""
    n, k = len(x), len(strangers)
    at = rng.permutation(n)
    flipped, far = set(at[:flips].tolist()), set(at[flips : flips + k].tolist())
    x, y = x.copy(), y.copy()
    y[at[:flips]] = (y[at[:flips]] + rng.integers(1, 10, flips)) % 10
    x[at[flips : flips + k]] = strangers
    found = find_suspects(x, y)
    got, out = set(found.flips) - far, set(found.outliers) - flipped
    return len(got & flipped) / len(got), len(got & flipped) / flips, len(out & far) / len(out), len(out & far) / k


def test_planted_flips_and_noise_among_real_digits_are_found():
    rng = np.random.default_rng(1)
    digits = open_images("digits")
    precision, recall, out_precision, out_recall = rates(
        digits.all(), digits.labels, rng, rng.random((20, 8, 8, 1)), flips=60
    )
    assert precision > 0.8 and recall > 0.9 and out_precision > 0.5 and out_recall > 0.9


def test_without_anything_planted_little_is_suspected():
    digits = open_images("digits")
    found = find_suspects(digits.all(), digits.labels)
    assert len(found.flips) < 0.02 * digits.n and len(found.outliers) < 0.02 * digits.n


@pytest.mark.parametrize("seed", [5, pytest.param(6, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)])
def test_rates_on_mnist_are_as_the_documentation_states(seed):
    given = os.environ.get("QIMG_DATA")
    if given is None:
        pytest.skip("QIMG_DATA is not set: no real data here")
    rng = np.random.default_rng(seed)
    mnist, fashion = (open_images(Path(given) / name) for name in ("mnist", "fashion-mnist"))
    at = rng.permutation(mnist.n)[:4000]
    x, y = mnist.images(at), mnist.labels[at]
    strangers = np.concatenate([fashion.images(range(40)), rng.random((40, 28, 28, 1)).astype(np.float32)])
    measured = rates(x, y, rng, strangers)
    source, copies = planted_copies(x, rng, 150)
    pairs = {(p.first, p.second) for p in near_duplicates(np.concatenate([x, copies]))}
    hits = sum((int(s), 4000 + i) in pairs for i, s in enumerate(source)) / 150
    clean = len({p.second for p in near_duplicates(x)}) / 4000
    print(*(f"{x:.4f}" for x in (*measured, hits, clean)))
    assert measured[0] > 0.6 and measured[1] > 0.85
    assert measured[2] > 0.6 and measured[3] > 0.6
    assert hits > 0.97 and clean < 0.01


def test_shapes_that_do_not_fit_are_refused():
    x, y = drawn(50)
    for features, labels in ((x, y[:-1]), (x[:0], y[:0]), (x, y)):  # five of a class are too few for ten neighbours
        with pytest.raises(DataError):
            find_suspects(features, labels)
    with pytest.raises(DataError):
        near_duplicates(x[..., 0])


def test_the_baseline_is_the_pinned_one_on_this_machine():
    for split, n in (("train", 8000), ("test", 2000)):
        source = open_synthetic(split=split)
        assert source.digest == DIGESTS[split] and source.n == n
        assert np.bincount(source.labels).tolist() == [n // 10] * 10


def test_scan_reports_what_was_planted(tmp_path, capsys):
    registry = Registry(discover=False)
    registry.register(plugin, "data")
    digits = open_images("digits")
    x, y = digits.all()[:600], digits.labels[:600]
    labels = np.concatenate([y, y[:3]])
    true, labels[7] = int(labels[7]), (labels[7] + 1) % 10
    np.savez(tmp_path / "d.npz", x=np.concatenate([x, x[:3]]), y=labels)
    assert main(["manifest", "scan", str(tmp_path / "d.npz"), "--json"], registry=registry) == 1
    found = json.loads(capsys.readouterr().out)
    pairs = {(p["first"], p["second"]) for p in found["near_duplicates"]}
    assert {(0, 600), (1, 601), (2, 602)} <= pairs
    assert {"image": 7, "label": (true + 1) % 10, "neighbours": true} in found["flips"]
    pixels = (drawn(20)[0] * 255).astype(np.uint8)
    np.savez(tmp_path / "e.npz", x=pixels)
    assert main(["manifest", "scan", str(tmp_path / "e.npz")], registry=registry) == 0
    assert "need" in capsys.readouterr().out
