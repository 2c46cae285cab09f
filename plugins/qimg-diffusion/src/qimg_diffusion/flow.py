"""Rectified flow matching: loss, guidance, and the ODE forwards and backwards (imports torch, numpy, errors).

A velocity field v(x, t, label) is trained so that dx/dt = v carries standard normal noise (t = 0) to
data (t = 1) along straight lines (Liu et al., arXiv:2209.03003; Lipman et al., arXiv:2210.02747).
Sampling solves the ODE; it draws no numbers, so an image is a function of its noise and its label.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

Velocity = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(x (n, ...), t (n,), labels (n,)) -> dx/dt, the shape of x."""
Trace = Callable[[int, float, torch.Tensor], None]
"""Called with (step, t, x) before every step of the solver and once at its end."""

TIMES = ("uniform", "logit-normal")
METHODS = ("euler", "heun", "heun-euler")


def draw_times(rng: np.random.Generator, n: int, law: str) -> npt.NDArray[np.float32]:
    """Training times, float32 (n,) in (0, 1).

    Args:
        rng: the step's own generator.
        n: how many.
        law: ``uniform``, or ``logit-normal``: the sigmoid of a standard normal, which asks more often
            for the middle of the way, where the velocity is hardest (Esser et al., arXiv:2403.03206).

    Raises:
        ConfigurationError: another law.
    """
    if law == "uniform":
        return rng.random(n, dtype=np.float32)
    if law == "logit-normal":
        return (1 / (1 + np.exp(-rng.standard_normal(n, dtype=np.float32)))).astype(np.float32)
    raise ConfigurationError(f"times: wanted one of {', '.join(TIMES)}, got {law!r}")


def between(noise: torch.Tensor, data: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The point (1 - t) noise + t data of each straight line; t is (n,)."""
    t = t.reshape(-1, *[1] * (data.ndim - 1))
    return (1 - t) * noise + t * data


def flow_loss(
    velocity: Velocity, data: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Mean squared error between the field and the lines' direction data - noise; a scalar."""
    return (velocity(between(noise, data, t), t, labels) - (data - noise)).square().mean()


def guided(velocity: Velocity, guidance: float, null: int) -> Velocity:
    """Classifier-free guidance (Ho and Salimans, arXiv:2207.12598): v_null + g (v_label - v_null).

    Both fields are asked in one call of twice the rows, so a step of the solver stays one request.

    Args:
        velocity: trained with some labels replaced by ``null``.
        guidance: g; 1 is the field itself and costs nothing extra.
        null: the label that means "any class".
    """
    if guidance == 1:
        return velocity

    def field(x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        both = velocity(torch.cat([x, x]), torch.cat([t, t]), torch.cat([labels, torch.full_like(labels, null)]))
        with_label, without = both.chunk(2)
        return without + guidance * (with_label - without)

    return field


def calls(steps: int, method: str) -> int:
    """How often `solve` evaluates the field."""
    return {"euler": steps, "heun": 2 * steps, "heun-euler": 2 * steps - 1}[method]


def solve(
    velocity: Velocity,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int,
    method: str = "euler",
    trace: Trace | None = None,
) -> torch.Tensor:
    """Carry noise to data, t = 0 to 1 in equal steps.

    Args:
        velocity: the field.
        x: noise (n, ...).
        labels: int64 (n,).
        steps: of the solver.
        method: ``euler`` (order 1, one evaluation a step), ``heun`` (order 2, two), or ``heun-euler``: Heun's with a
            last step of Euler's, so that the field is never asked at t = 1, where training hardly looked
            (Karras et al., arXiv:2206.00364, algorithm 1).
        trace: sees every step.

    Raises:
        ConfigurationError: no steps, or another method.
    """
    _check(steps, method)
    for k in range(steps):
        if trace is not None:
            trace(k, k / steps, x)
        x = _step(velocity, x, labels, k / steps, 1 / steps, _of(method, k, steps))
    if trace is not None:
        trace(steps, 1.0, x)
    return x


def unsolve(
    velocity: Velocity, x: torch.Tensor, labels: torch.Tensor, *, steps: int, method: str = "euler", sweeps: int = 1
) -> torch.Tensor:
    """Carry data back to noise: the inverse of `solve` with the same arguments.

    Every step y = x + h f(x) is undone by x = y - h f(x), begun at x = y and repeated ``sweeps`` times.
    Repeating converges to the exact inverse where h times the field's slope is below 1. A field trained on
    images is steeper than that near t = 1, where its steps forget most of x: there one sweep is best.
    """
    _check(steps, method)
    for k in reversed(range(steps)):
        after = x
        for _ in range(sweeps):
            x = after - (_step(velocity, x, labels, k / steps, 1 / steps, _of(method, k, steps)) - x)
    return x


def _of(method: str, k: int, steps: int) -> str:
    """The method of step k."""
    return method if method != "heun-euler" else "euler" if k == steps - 1 else "heun"


def _step(velocity: Velocity, x: torch.Tensor, labels: torch.Tensor, t: float, h: float, method: str) -> torch.Tensor:
    here = velocity(x, torch.full((len(x),), t), labels)
    if method == "euler":
        return x + h * here
    there = velocity(x + h * here, torch.full((len(x),), t + h), labels)
    return x + h / 2 * (here + there)


def _check(steps: int, method: str) -> None:
    if steps < 1:
        raise ConfigurationError(f"the sampler takes 1 step or more, got {steps}")
    if method not in METHODS:
        raise ConfigurationError(f"method: wanted one of {', '.join(METHODS)}, got {method!r}")
