"""`Rung`: where and under which noise a model runs; the usual ladder (imports attrs, numpy, qimg_core)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT = "exact"


@frozen(kw_only=True)
class Rung:
    """One step of a ladder.

    Args:
        name: short, unique.
        backend: device.
        noise: model, as ``--noise`` takes it, or None.
        shots: of each circuit; None for exact numbers.
    """

    name: str
    backend: str
    noise: str | None = None
    shots: int | None = None


def drawn_noise(seed: int, number: int, low: float, high: float) -> str:
    """A noise model with a depolarising and a read-out probability, each log-uniform between ``low`` and ``high``.

    A circuit that only works at one strength of noise shows it here.

    Raises:
        ConfigurationError: not 0 < low <= high < 0.5.
    """
    if not 0 < low <= high < 0.5:
        raise ConfigurationError(f"noise strengths: wanted 0 < low <= high < 0.5, got {low} and {high}")
    rng = np.random.default_rng(derive_seed(seed, "ladder", "noise", number))
    gate, readout = np.exp(rng.uniform(math.log(low), math.log(high), 2))
    return f"depolarizing={gate:.3g},readout={readout:.3g}"


def usual_rungs(
    simulator: str,
    devices: Sequence[str],
    *,
    shots: int,
    seed: int,
    draws: int = 3,
    strength: tuple[float, float] = (1e-3, 2e-2),
    noise: str | None = None,
) -> tuple[Rung, ...]:
    """Exact numbers, shots, drawn noise, a stated noise model, and devices, in that order.

    Args:
        simulator: runs the rungs that are not devices.
        devices: a rung each, e.g. a fake device with its calibration and then the device.
        shots: of each circuit on all rungs but the first.
        seed: of the drawn noise.
        draws: how many drawn noise models.
        strength: their range.
        noise: a stated model, e.g. from a calibration.

    Raises:
        ConfigurationError: a device twice, no shots, or bad strengths.
    """
    if shots < 1 or draws < 0:
        raise ConfigurationError(f"wanted 1 shot or more and no negative number of draws, got {shots} and {draws}")
    if len(set(devices)) != len(devices):
        raise ConfigurationError(f"a device stands twice in the ladder: {', '.join(devices)}")
    rungs = [Rung(name=EXACT, backend=simulator), Rung(name="shots", backend=simulator, shots=shots)]
    for number in range(draws):
        model = drawn_noise(seed, number, *strength)
        rungs.append(Rung(name=f"noise-{number + 1}", backend=simulator, noise=model, shots=shots))
    if noise is not None:
        rungs.append(Rung(name="stated-noise", backend=simulator, noise=noise, shots=shots))
    rungs += [Rung(name=device, backend=device, shots=shots) for device in devices]
    return tuple(rungs)
