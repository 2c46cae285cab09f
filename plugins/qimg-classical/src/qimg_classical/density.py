"""`kde`: a kernel density of the training images' principal components, by class (imports qimg_core, numpy).

A baseline that any generator has to be held against: it has no net, and is fitted in seconds. An image is a training
image of the class, as its principal components give it back, moved by Gaussian noise. How far is the bandwidth: in
coordinate j of class c the kernel's standard deviation is h_c times the coordinate's own in that class, a product
kernel (Scott, Multivariate Density Estimation, 1992, chapter 6). h_c maximises the leave-one-out likelihood (Duin,
IEEE Trans. Comput. C-25, 1175, 1976), or is n^(-1/(d+4)) after Scott.

The weights hold the training images themselves, projected: whoever has them has those images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from attrs import frozen

from qimg_classical.circuitless import CircuitlessGenerator, only_form, uniform
from qimg_classical.principal import principal
from qimg_core.errors import ConfigurationError, WeightsError
from qimg_core.generator import Arm  # noqa: TC001 - a configuration's types are read when it is made
from qimg_core.weights import check_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_classical.circuitless import Array, Floats, Labels
    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

RULES = ("likelihood", "scott")
TRIED = (0.02, 1.5)
"""Between these the bandwidths lie that are tried, evenly in the logarithm."""
ASKED = 400
"""Images of a class, at most, whose likelihood is asked; the density is always that of all others."""


@frozen(kw_only=True)
class DensityConfig:
    """Settings of `DensityGenerator`.

    Args:
        arm: ``bypass``; a density has no circuit, and no other form.
        size: height and width of an image.
        channels: 1 or 3.
        classes: labels 0 to classes - 1; 1 learns images without their class.
        latent: principal components that are kept; what the others hold is lost.
        bandwidth: how it is chosen: ``likelihood`` or ``scott``.
        spread: what sampling multiplies the kernel's width with; 0 gives training images back, projected.
        sample_batch: images made together.
    """

    arm: Arm = only_form()
    size: int = 28
    channels: int = 1
    classes: int = 10
    latent: int = 32
    bandwidth: str = "likelihood"
    spread: float = 1.0
    sample_batch: int = 1024

    def __attrs_post_init__(self) -> None:
        pixels = self.size * self.size * self.channels
        if self.size < 1 or self.channels not in (1, 3) or pixels > 4096:
            raise ConfigurationError(
                f"wanted up to 4,096 numbers an image and 1 or 3 channels, got {self.size} x {self.size} x "
                f"{self.channels}",
                hint="shrink the images",
            )
        if not 1 <= self.latent <= pixels or min(self.classes, self.sample_batch) < 1:
            raise ConfigurationError(
                f"wanted 1 to {pixels} components, and classes and batch of 1 or more, got {self.latent}, "
                f"{self.classes}, {self.sample_batch}"
            )
        if self.bandwidth not in RULES:
            raise ConfigurationError(f"bandwidth: wanted {' or '.join(RULES)}, got {self.bandwidth!r}")
        if not (math.isfinite(self.spread) and self.spread >= 0):
            raise ConfigurationError(f"spread: wanted a number from 0 up, got {self.spread}")


class DensityGenerator(CircuitlessGenerator):
    """See the module's docstring.

    Each step tries one bandwidth, the first after Scott, and keeps for every class the best so far; the loss is the
    mean negative log-likelihood of what is kept, in nats an image, of coordinates in units of their spread. With
    ``scott`` all steps are the first.
    """

    name = "kde"
    config_type = DensityConfig
    weights_format = "kde/1"
    method = "kernel density in principal components"
    sampling_settings = frozenset({"spread", "sample_batch"})

    def __init__(self, session: Session, config: DensityConfig) -> None:
        super().__init__(session, config)
        c, rng = config, np.random.default_rng(session.seed_for("init", "kde"))
        pixels = c.size * c.size * c.channels
        self._set(
            {
                "centre": np.full(pixels, 0.5),
                "components": np.linalg.qr(rng.standard_normal((pixels, c.latent)))[0].T,
                "points": rng.standard_normal((2 * c.classes, c.latent)),
                "counts": np.full(c.classes, 2),
                "spreads": np.ones((c.classes, c.latent)),
                "bandwidths": np.ones(c.classes),
            }
        )
        self.best = np.full(c.classes, -np.inf)
        self._near: list[tuple[Floats, int]] = []

    def _set(self, state: Mapping[str, Any]) -> None:
        self._state: dict[str, Any] = {
            k: np.array(v, dtype=np.int64 if k == "counts" else np.float32) for k, v in state.items()
        }

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(1 + latent,): which training image, and where from it."""
        return (1 + self.config.latent,)

    @property
    def least_of_a_class(self) -> int:
        """Two: one alone has no spread."""
        return 2

    # -- fitting -----------------------------------------------------------------------------

    def begin(self, images: ImageSource, steps: int) -> None:
        """Components, points and spreads, which need no choice."""
        c: DensityConfig = self.config
        labels = self.labels_of(images)
        order = np.argsort(labels, kind="stable")
        flat = images.all().reshape(images.n, -1).astype(np.float64)[order]
        centre, components = principal(flat, c.latent)
        points = (flat - centre) @ components.T
        counts = np.bincount(labels, minlength=c.classes)
        spreads = [p.std(0, ddof=1) for p in np.split(points, np.cumsum(counts)[:-1])]
        self._set(
            {
                "centre": centre,
                "components": components,
                "points": points,
                "counts": counts,
                "spreads": spreads,
                "bandwidths": np.ones(c.classes),
            }
        )
        self.best = np.full(c.classes, -np.inf)
        self._measure()

    def resume(self, images: ImageSource, steps: int, state: Mapping[str, Any]) -> None:
        """See `CircuitlessGenerator.resume`."""
        if {"step", "best"} - state.keys():
            raise WeightsError(f"{self.name}: this is no training state: it lacks the step")
        self.load({k: v for k, v in state.items() if k not in ("step", "best")})
        self.step, self.best = int(state["step"][0]), np.array(state["best"], dtype=np.float64)
        self._measure()

    def _measure(self) -> None:
        """For every class, squared distances of some points to all in units of their spread, and the dimensions."""
        rng = np.random.default_rng(self.session.seed_for("train", "kde"))
        self._near = []
        for label in range(self.config.classes):
            points, spread = self._of(label)
            used = spread > 1e-6 * max(1e-12, float(spread.max()))  # a direction without spread has no density
            z = points[:, used] / spread[used]
            rows = np.sort(rng.permutation(len(z))[:ASKED])
            square = (z * z).sum(1)
            near = np.maximum(square[rows, None] + square - 2 * z[rows] @ z.T, 0)
            near[np.arange(len(rows)), rows] = np.inf  # a point says nothing about its own density
            self._near.append((near, int(used.sum())))

    def _of(self, label: int) -> tuple[Floats, Floats]:
        """Points and spreads of a class."""
        ends = np.concatenate([[0], np.cumsum(self._state["counts"])])
        points = self._state["points"][ends[label] : ends[label + 1]].astype(np.float64)
        return points, self._state["spreads"][label].astype(np.float64)

    def advance(self, steps: int) -> float:
        """Try one bandwidth, see the class's docstring."""
        c: DensityConfig = self.config
        if self.step == 0 or c.bandwidth == "scott":
            tried = scott(self._state["counts"], c.latent)
        else:
            tried = np.full(c.classes, np.geomspace(*TRIED, steps)[self.step])
        for label in range(c.classes):
            found = left_out(*self._near[label], float(tried[label]))
            if found > self.best[label]:
                self.best[label], self._state["bandwidths"][label] = found, tried[label]
        return -float(np.average(self.best, weights=self._state["counts"]))

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        return {
            **self.state(),
            "step": np.array([self.step], dtype=np.float32),
            "best": cast("Array", self.best.copy()),
        }

    # -- sampling and weights ----------------------------------------------------------------

    def made(self, noise: Array, labels: Labels) -> Floats:
        """A training image of each class by the first number, moved by the others."""
        c, s = self.config, self._state
        first = np.concatenate([[0], np.cumsum(s["counts"])])[labels]
        chosen = first + (uniform(noise[:, 0]) * s["counts"][labels]).astype(np.int64)
        width = s["bandwidths"][labels, None].astype(np.float64) * s["spreads"][labels] * c.spread
        points = s["points"][chosen] + width * noise[:, 1:]
        flat: Floats = points @ s["components"].astype(np.float64) + s["centre"]
        return flat.reshape(len(noise), c.size, c.size, c.channels)

    @property
    def settings(self) -> dict[str, Any]:
        """With the spread."""
        return {**super().settings, "spread": repr(self.config.spread)}

    def state(self) -> dict[str, Array]:
        """Components, the projected training images in the order of their classes, spreads, bandwidths."""
        return {k: v.copy() for k, v in self._state.items()}

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`. How many points there are is the weights' own affair."""
        wanted = {k: tuple(v.shape) for k, v in self._state.items()}
        if "points" in state and "counts" in state:
            wanted["points"] = (int(np.sum(state["counts"])), self.config.latent)
            if np.min(state["counts"], initial=1) < 1:
                raise WeightsError(f"{self.name}: the weights hold a class without any point")
        check_state(state, wanted, self.name)
        self._set(state)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        c, counts = self.config, self._state["counts"]
        return {**super().describe(), "components": c.latent, "points": int(counts.sum()), "bandwidth": c.bandwidth}


def scott(counts: Labels, dimensions: int) -> Floats:
    """Scott's rule n^(-1/(d+4)) for every class, in units of the spread; (classes,)."""
    return np.asarray(counts, dtype=np.float64) ** (-1 / (dimensions + 4))


def left_out(near: Floats, dimensions: int, h: float) -> float:
    """Mean log-likelihood of points under the kernel density of all others, in nats.

    Args:
        near: (m, n) squared distances in units of the spread, infinite where a point meets itself.
        dimensions: of the points.
        h: bandwidth in those units.
    """
    exponents = -near / (2 * h * h)
    largest = exponents.max(1, keepdims=True)
    total = np.log(np.exp(exponents - largest).sum(1)) + largest[:, 0]
    scale = math.log(near.shape[1] - 1) + dimensions * (math.log(h) + 0.5 * math.log(2 * math.pi))
    return float((total - scale).mean())
