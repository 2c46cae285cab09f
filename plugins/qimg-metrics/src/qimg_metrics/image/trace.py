"""The denoising trace: what a flow generator's images are at each time step (imports numpy, torch, qimg_core).

For generators that show their solver's state, as those of qimg-diffusion that flow do: ``model.trace`` is called with
(step, t, x) and ``model.to_pixels(x, labels)`` makes images of x. One call of ``sample``, on record like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs
import numpy as np
import torch

from qimg_core.errors import ConfigurationError
from qimg_metrics.bootstrap import LEVEL, Estimate, bootstrap
from qimg_metrics.image.acceptance import CONFIDENCE, accepted
from qimg_metrics.image.classes import class_accuracy
from qimg_metrics.image.kid import kid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from qimg_core.generator import Generator
    from qimg_core.images import Images
    from qimg_metrics.features import FeatureNetwork


class Traced(Protocol):
    """What a generator must have to be traced."""

    trace: Callable[[int, float, torch.Tensor], None] | None

    def to_pixels(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Solver states and labels (n,) -> pixels (n, h, w, c)."""


@attrs.frozen(kw_only=True)
class TracePoint:
    """One time step.

    Args:
        step: of the solver, from 0 (noise) to the last (the images).
        t: time, 0 .. 1.
        to_end: root mean square distance in pixels of this step's images from the final ones.
        class_accuracy: share that the network takes for the asked class; None where nothing was asked.
        accepted: share that it takes for the asked class with confidence; None as above.
        kid: kernel distance from real images; None where no real features were given.
    """

    step: int
    t: float
    to_end: Estimate
    class_accuracy: Estimate | None
    accepted: Estimate | None
    kid: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """A plain dict without floats."""
        kept = {k: getattr(self, k) for k in ("to_end", "class_accuracy", "accepted", "kid")}
        return {
            "step": self.step,
            "t": repr(self.t),
            **{k: None if e is None else e.to_json() for k, e in kept.items()},
        }


def denoising_trace(
    model: Generator,
    network: FeatureNetwork,
    *,
    n: int = 200,
    condition: Sequence[int] | None = None,
    real_features: ArrayLike | None = None,
    seed: int | None = None,
    confidence: float = CONFIDENCE,
    level: float = LEVEL,
) -> tuple[Images, tuple[TracePoint, ...]]:
    """Sample once and measure the images of every time step.

    Args:
        model: a flow generator, bound to its session.
        network: that judges; it has never seen images as noisy as the first steps', where it is a guess.
        n: images.
        condition: as in `Generator.sample`.
        real_features: of real images (m, d), for the kernel distance; 8 or more.
        seed: as in `Generator.sample`, and of the resamples.
        confidence: of `accepted`.
        level: of the intervals.

    Returns:
        The images, and a point for each step.

    Raises:
        ConfigurationError: a generator that shows no steps; nothing is sampled then.
        DataError: as the metrics, where the network does not fit the images.
    """
    if not (hasattr(model, "trace") and hasattr(model, "to_pixels")):
        raise ConfigurationError(
            f"{model.name} shows no time steps: it makes an image at once", hint="a trace is of flow generators"
        )
    traced = cast("Traced", model)
    seen: dict[int, tuple[float, list[torch.Tensor]]] = {}

    def look(step: int, t: float, x: torch.Tensor) -> None:
        seen.setdefault(step, (t, []))[1].append(x.detach().clone())

    before, traced.trace = traced.trace, look
    try:
        images = model.sample(n, condition=condition, seed=seed)
    finally:
        traced.trace = before
    labels = torch.tensor(images.labels or [0] * n)
    end = images.pixels.astype(np.float64)
    root = 0 if seed is None else seed
    points = []
    for step, (t, states) in sorted(seen.items()):
        pixels = _pixels(traced, states, labels)
        features, logits = network.features_and_logits(pixels)
        squares = ((pixels - end) ** 2).mean(axis=(1, 2, 3))
        low, high = bootstrap(squares, lambda v: float(np.sqrt(v.mean())), seed=root, name="to_end", level=level)
        asked = images.labels
        points.append(
            TracePoint(
                step=step,
                t=t,
                to_end=Estimate(
                    name="to_end",
                    value=float(np.sqrt(squares.mean())),
                    low=low,
                    high=high,
                    level=level,
                    n=n,
                    method="percentile bootstrap over images",
                    note="root mean square over images and pixels",
                ),
                class_accuracy=None if asked is None else class_accuracy(logits.argmax(axis=1), asked, level=level),
                accepted=None if asked is None else accepted(logits, asked, confidence=confidence, level=level),
                kid=None if real_features is None else kid(features, real_features, seed=root, level=level),
            )
        )
    return images, tuple(points)


def _pixels(model: Traced, states: Sequence[torch.Tensor], labels: torch.Tensor) -> NDArray[np.float64]:
    """Images of one step, batch by batch as the solver went."""
    done, at = [], 0
    with torch.no_grad():
        for x in states:
            done.append(model.to_pixels(x, labels[at : at + len(x)]).clamp(0, 1))
            at += len(x)
    out: NDArray[np.float64] = torch.cat(done).double().numpy()
    return out
