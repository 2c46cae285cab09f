"""Every image metric against an implementation that is not ours, to 1e-6.

| metric | independent implementation |
|---|---|
| frechet | trace of `scipy.linalg.sqrtm`, here; closed forms in `test_image_frechet` |
| kid | `sklearn.metrics.pairwise.polynomial_kernel` and the sums of Gretton et al. |
| precision, recall, density, coverage | `sklearn.neighbors.NearestNeighbors` for radii and memberships |
| class_accuracy | `sklearn.metrics.accuracy_score`, `scipy.stats.binomtest` for both intervals |
| class_entropy, class_jsd | `scipy.stats.entropy`, `scipy.spatial.distance.jensenshannon` |
| nn_ratio, authenticity | `sklearn.neighbors.NearestNeighbors` |
| ndb | `sklearn.cluster.KMeans` from the same start, `scipy.stats.chi2_contingency` for each bin |
| sliced_wasserstein | `scipy.stats.wasserstein_distance` (order 1), optimal assignment (order 2), Gaussians |
| structural_coherence | SSIM written out window by window in numpy |
| train_on_synthetic, train_on_real | `sklearn.kernel_ridge.KernelRidge` |
| accepted, per accepted image | torch's softmax, division |
| latency | `scipy.stats.quantile_test` |
| convergence_steps | a noiseless exponential, solved for its step |

torchmetrics, prdc and POT are not among this project's tools; none is used.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, chi2_contingency, entropy, quantile_test, wasserstein_distance
from sklearn.cluster import KMeans
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import accuracy_score
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from qimg_metrics.bootstrap import generator
from qimg_metrics.image.acceptance import accepted, latency, per_accepted
from qimg_metrics.image.classes import class_accuracies, class_accuracy, class_entropy, class_jsd
from qimg_metrics.image.convergence import convergence_steps
from qimg_metrics.image.frechet import frechet_distance
from qimg_metrics.image.kid import mmd2_unbiased
from qimg_metrics.image.memorisation import authenticity, nn_ratio
from qimg_metrics.image.ndb import make_bins, ndb
from qimg_metrics.image.prdc import prdc
from qimg_metrics.image.sliced import make_slices, sliced_wasserstein, wasserstein
from qimg_metrics.image.structure import likeness_to_class, ssim, structural_coherence
from qimg_metrics.image.usefulness import make_exam, train_and_test

CLOSE = 1e-6


def features(n: int, seed: int, d: int = 6, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def pictures(n: int, seed: int, side: int = 6, channels: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((n, side, side, channels))


def test_frechet() -> None:
    x, y = features(1000, 0, shift=0.3), 1.4 * features(1200, 1)
    c1, c2 = np.cov(x.T), np.cov(y.T)
    gap = x.mean(0) - y.mean(0)
    wanted = gap @ gap + np.trace(c1 + c2 - 2 * np.real(sqrtm(c1 @ c2)))
    assert frechet_distance(x, y, resamples=20).value == pytest.approx(wanted, abs=CLOSE)


def test_kid() -> None:
    x, y = features(90, 2, shift=0.5), features(70, 3)
    xx, yy, xy = (polynomial_kernel(a, b, degree=3, gamma=1 / 6, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    n, m = 90, 70
    wanted = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * xy.mean()
    assert mmd2_unbiased(x, y) == pytest.approx(wanted, abs=CLOSE)


def test_precision_recall_density_coverage() -> None:
    fake, real, k = features(120, 4, shift=0.8), features(100, 5), 4

    def balls(centres: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
        found = NearestNeighbors(n_neighbors=k).fit(centres).kneighbors()[0][:, -1]
        reach, _ = NearestNeighbors(n_neighbors=len(centres)).fit(centres).kneighbors(points), None
        inside = np.zeros((len(centres), len(points)), bool)
        for j, (distance, index) in enumerate(zip(*reach, strict=True)):
            inside[index, j] = distance <= found[index]
        return inside

    in_real, in_fake = balls(real, fake), balls(fake, real)
    got = prdc(fake, real, k=k, resamples=20)
    assert got.precision.value == pytest.approx(in_real.any(0).mean(), abs=CLOSE)
    assert got.recall.value == pytest.approx(in_fake.any(0).mean(), abs=CLOSE)
    assert got.density.value == pytest.approx(in_real.sum() / (k * len(fake)), abs=CLOSE)
    assert got.coverage.value == pytest.approx(in_real.any(1).mean(), abs=CLOSE)


def test_classes() -> None:
    rng = np.random.default_rng(6)
    asked = rng.integers(0, 4, 200)
    found = np.where(rng.random(200) < 0.7, asked, rng.integers(0, 4, 200))
    estimate = class_accuracy(found, asked)
    assert estimate.value == pytest.approx(accuracy_score(asked, found), abs=CLOSE)
    exact = binomtest(int((found == asked).sum()), 200).proportion_ci(method="exact")
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high), abs=CLOSE)
    for c, one in enumerate(class_accuracies(found, asked, n_classes=4)):
        rows = asked == c
        score = binomtest(int((found[rows] == c).sum()), int(rows.sum())).proportion_ci(method="wilson")
        assert one.value == pytest.approx(accuracy_score(asked[rows], found[rows]), abs=CLOSE)
        assert (one.low, one.high) == pytest.approx((score.low, score.high), abs=CLOSE)
    shares, target = (np.bincount(v, minlength=4) / 200 for v in (found, asked))
    assert class_entropy(found, n_classes=4).value == pytest.approx(entropy(shares, base=4), abs=CLOSE)
    assert class_jsd(found, asked, n_classes=4).value == pytest.approx(
        jensenshannon(shares, target, base=2) ** 2, abs=CLOSE
    )


def test_memorisation() -> None:
    images, train, held = pictures(80, 7), pictures(150, 8), pictures(60, 9)
    near = NearestNeighbors(n_neighbors=1).fit(train.reshape(150, -1))
    d, i = (a[:, 0] for a in near.kneighbors(images.reshape(80, -1)))
    real = near.kneighbors(held.reshape(60, -1))[0][:, 0]
    assert nn_ratio(images, train, held).value == pytest.approx(np.median(d) / np.median(real), abs=CLOSE)
    own = near.kneighbors()[0][:, 0]  # without arguments: of the training images, not counting themselves
    assert authenticity(images, train).value == pytest.approx((d > own[i]).mean(), abs=CLOSE)
    assert 0 < (d > own[i]).mean() < 1


def test_ndb() -> None:
    real = features(600, 10)
    found = set()
    for k in (3, 12):
        bins = make_bins(real, k=k, seed=5)
        start = real[np.sort(generator(5, "ndb_bins").choice(600, k, replace=False))]
        lloyd = KMeans(k, init=start, n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(real)
        np.testing.assert_allclose(bins.centres, lloyd.cluster_centers_, atol=CLOSE)
        theirs = np.bincount(lloyd.labels_, minlength=k)
        np.testing.assert_array_equal(bins.counts, theirs)
        for shift in np.linspace(0, 0.4, 41):  # some of these bins lie near the threshold
            fake = features(400, 11, shift=shift)
            ours = np.bincount(lloyd.predict(fake), minlength=k)
            tables = [[[a, 400 - a], [b, 600 - b]] for a, b in zip(ours, theirs, strict=True)]
            different = [chi2_contingency(t, correction=False).pvalue < 0.05 for t in tables]
            assert ndb(fake, bins, resamples=20).value == pytest.approx(np.mean(different), abs=CLOSE)
            found.add(float(np.mean(different)))
    assert len(found) > 5


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 60), (37, 61), (1, 5)])
def test_wasserstein_on_a_line(n: int, m: int) -> None:
    x, y = np.sort(features(1, 12, n)), np.sort(2 * features(1, 13, m) + 1)
    assert wasserstein(x, y, order=1)[0] == pytest.approx(wasserstein_distance(x[0], y[0]), abs=CLOSE)
    both = math.lcm(n, m)  # repeated to one size, the best assignment is the exact distance of any order
    cost = (np.repeat(x[0], both // n)[:, None] - np.repeat(y[0], both // m)[None, :]) ** 2
    rows, columns = linear_sum_assignment(cost) if both < 500 else (np.arange(both), np.arange(both))
    assert wasserstein(x, y)[0] == pytest.approx(cost[rows, columns].mean(), abs=CLOSE)


def test_sliced_wasserstein_of_gaussians() -> None:
    rng = np.random.default_rng(14)
    spread = np.array([0.5, 1.0, 2.0])
    x, y = rng.standard_normal((4000, 3)) * spread + [1.0, 0, 0], rng.standard_normal((4000, 3))
    slices = make_slices(y, directions=40, seed=0)
    u = slices.directions
    sd = np.sqrt((spread[:, None] ** 2 * u**2).sum(0))
    wanted = np.sqrt((u[0] ** 2 + (sd - 1) ** 2).mean())  # one-dimensional Gaussians along the same directions
    got = sliced_wasserstein(x, slices, resamples=20)
    assert got.value == pytest.approx(wanted, rel=0.05)  # 4,000 draws
    # Exactly: a sample and its own shift have W2 = |u.a| along u; the order along each axis is kept.
    shift = np.array([0.3, -0.2, 0.5])
    moved = sliced_wasserstein(y + shift, slices, resamples=20)
    assert moved.value == pytest.approx(np.sqrt(((shift @ u) ** 2).mean()), abs=CLOSE)
    each = [wasserstein_distance((x @ u)[:, p], (y @ u)[:, p]) for p in range(5)]
    ours = wasserstein(np.sort((x @ u).T)[:5], slices.values[:5], order=1)
    np.testing.assert_allclose(ours, each, atol=CLOSE)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_window_by_window(channels: int) -> None:
    x, y = pictures(3, 15, side=14, channels=channels), pictures(3, 16, side=14, channels=channels)
    y = 0.5 * (x + y)
    w = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    w = np.outer(w, w) / w.sum() ** 2
    wide_x, wide_y = (np.pad(v, ((0, 0), (5, 5), (5, 5), (0, 0)), mode="symmetric") for v in (x, y))
    wanted = np.zeros(3)
    for image in range(3):
        for r in range(14):
            for s in range(14):
                for c in range(channels):
                    a, b = (v[image, r : r + 11, s : s + 11, c] for v in (wide_x, wide_y))
                    ma, mb = (w * a).sum(), (w * b).sum()
                    va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
                    cov = (w * (a - ma) * (b - mb)).sum()
                    top = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4)
                    wanted[image] += top / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)) / (14 * 14 * channels)
    np.testing.assert_allclose(ssim(x, y), wanted, atol=CLOSE)
    np.testing.assert_allclose(ssim(x, x), 1.0, atol=1e-12)


def test_likeness_looks_in_the_asked_class_only() -> None:
    train, labels = pictures(40, 17), np.arange(40) % 2
    images, asked = pictures(10, 18), np.arange(10) % 2
    wanted = np.empty(10)
    for i, c in enumerate(asked):
        own = train[labels == c]
        nearest = own[((own - images[i]) ** 2).sum((1, 2, 3)).argmin()]
        wanted[i] = ssim(images[i][None], nearest[None])[0]
    got = likeness_to_class(images, asked, train, labels)
    np.testing.assert_allclose(got, wanted, atol=CLOSE)
    assert structural_coherence(got, np.abs(wanted[:5]) + 0.1).value == pytest.approx(
        wanted.mean() / (np.abs(wanted[:5]) + 0.1).mean(), abs=CLOSE
    )


def test_train_on_synthetic() -> None:
    rng = np.random.default_rng(19)
    labels, test_labels = rng.integers(0, 3, 150), rng.integers(0, 3, 400)
    x, test = (rng.random((len(y), 20)) + 0.12 * y[:, None] for y in (labels, test_labels))
    exam = make_exam(test, test_labels, x, n_classes=3)
    theirs = KernelRidge(alpha=1e-2, kernel="rbf", gamma=exam.gamma).fit(x, np.eye(3)[labels]).predict(test)
    got = train_and_test(x, labels, exam)
    assert got.value == pytest.approx((theirs.argmax(1) == test_labels).mean(), abs=CLOSE)
    assert 0.5 < got.value < 0.99
    draws = generator(0, "usefulness_width").integers(0, 150, (2, 2000))
    assert exam.gamma == pytest.approx(2 / np.median(((x[draws[0]] - x[draws[1]]) ** 2).sum(1)), rel=1e-12)


def test_accepted_and_what_each_cost() -> None:
    logits = 4 * features(300, 20, d=5)
    asked = np.random.default_rng(21).integers(0, 5, 300)
    sure = torch.from_numpy(logits).softmax(1).numpy()[np.arange(300), asked]
    got = accepted(logits, asked, confidence=0.8)
    assert got.value == pytest.approx((sure >= 0.8).mean(), abs=CLOSE) and 0 < got.value < 1
    exact = binomtest(int((sure >= 0.8).sum()), 300).proportion_ci(method="exact")
    assert (got.low, got.high) == pytest.approx((exact.low, exact.high), abs=CLOSE)
    cost = per_accepted(12.0, got, name="seconds_per_accepted", unit="s")
    assert cost.value == pytest.approx(12.0 / (sure >= 0.8).sum(), abs=CLOSE)
    assert cost.low == pytest.approx(12.0 / (300 * exact.high)) and cost.high == pytest.approx(12.0 / (300 * exact.low))


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_latency(quantile: float) -> None:
    times = np.random.default_rng(22).exponential(size=200)
    got = latency(times.tolist(), quantile=quantile)
    assert got.value == pytest.approx(np.quantile(times, quantile), abs=CLOSE)
    theirs = quantile_test(times, p=quantile).confidence_interval(0.95)
    # Both are order statistics; at an end where the binomial tail is hit within rounding they may be one apart.
    ranks = np.sort(times)
    for ours, other in ((got.low, theirs.low), (got.high, theirs.high)):
        assert abs(int(np.searchsorted(ranks, ours)) - int(np.searchsorted(ranks, other))) <= 1


def test_convergence_of_an_exponential() -> None:
    # Losses a r^k: the mean over the w steps that end at step s is c r^(s - w), with c the mean of the first w.
    r, n, w = 0.99, 2000, 40
    losses = 3 * r ** np.arange(n)
    start, end = losses[:w].mean(), losses[-w:].mean()
    threshold = start - 0.9 * (start - end)
    wanted = w + math.ceil(math.log(threshold / start) / math.log(r))
    assert convergence_steps(losses, fraction=0.9, window=w).value == wanted
