"""Run a model on a rung: its images, and its first circuit as bit strings (imports qimg_core, numpy).

Both go through a session of their own, like everything else, so that each rung is a run of the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_compare.ladder.distances import pixel_distance, sampling_floor, total_variation
from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest, is_tensor
from qimg_core.measurement import Probabilities
from qimg_core.planning import plan_sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qimg_compare.ladder.rungs import Rung
    from qimg_core.circuit import Circuit
    from qimg_core.generator import Generator
    from qimg_core.images import Images

    Array = NDArray[np.float64]

PROBED_WIRES = 12
"""Outcome distributions of more wires are not compared: shots cannot fill them."""


@frozen(kw_only=True)
class Probe:
    """A circuit with some rows of its inputs, whose outcome distribution is compared.

    Args:
        circuit: of the model.
        inputs: (rows, n_inputs).
        weights: (n_weights,) or (rows, n_weights).
    """

    circuit: Circuit
    inputs: Array
    weights: Array


@frozen(kw_only=True)
class Climbed:
    """What a rung gave.

    Args:
        rung: which.
        run: id of its run.
        images: of the model.
        outcomes: (rows, 2**wires) probabilities or frequencies.
    """

    rung: Rung
    run: str
    images: Images
    outcomes: Array


@frozen(kw_only=True)
class Step:
    """A rung beside the exact one.

    Args:
        variation: total variation of the outcome distributions, mean over the probed rows.
        floor: what shots alone would give; 0 for exact numbers.
        pixel: mean absolute difference of the images' pixels.
        worst_pixel: of the image that differs most.
    """

    climbed: Climbed
    variation: float
    floor: float
    pixel: float
    worst_pixel: float


def _numbers(x: Any) -> Array:
    return np.asarray(x.detach().cpu() if is_tensor(x) else x, dtype=np.float64)


def probe_of(model: Generator, n: int, *, rows: int = 4, condition: Sequence[int] | None = None) -> Probe:
    """The first circuit that ``model.sample(n)`` runs, with its first rows.

    Args:
        model: bound to a `PlanningSession`.
        n: images.
        rows: at most so many.
        condition: classes in turn.

    Raises:
        ConfigurationError: a classical model, or more wires than shots can fill.
    """
    first = plan_sampling(model, n, condition=condition).first
    if first is None:
        raise ConfigurationError(
            f"{model.name} ({model.arm.value}) runs no circuit: there is nothing to climb",
            hint="--arm quantum, separable or frozen",
        )
    request = first.request
    if request.circuit.n_wires > PROBED_WIRES:
        raise ConfigurationError(
            f"outcomes of {request.circuit.n_wires} wires are too many to compare; up to {PROBED_WIRES} are"
        )
    weights = _numbers(request.by_row().weights)
    return Probe(
        circuit=request.circuit,
        inputs=_numbers(request.inputs)[:rows],
        weights=weights if weights.ndim == 1 else weights[:rows],
    )


def climb(model: Generator, rung: Rung, probe: Probe, n: int, *, condition: Sequence[int] | None = None) -> Climbed:
    """Sample images and measure the probe in the model's session.

    Raises:
        CapabilityError, BackendError, BudgetExceeded: from the road.
    """
    session = model.session
    images = model.sample(n, condition=condition)
    request = ExecutionRequest(
        circuit=probe.circuit,
        inputs=probe.inputs,
        weights=probe.weights,
        measurement=Probabilities(tuple(range(probe.circuit.n_wires))),
        shots=session.shots,
        seed=None if session.shots is None else session.seed_for("ladder", "shots"),
        noise=session.noise_model,
    )
    outcomes = session.execute(request, label="ladder").data
    return Climbed(rung=rung, run=session.run, images=images, outcomes=_numbers(outcomes))


def steps(climbed: Sequence[Climbed], *, seed: int) -> tuple[Step, ...]:
    """Each rung beside the first, which is the exact one."""
    exact, out = climbed[0], []
    for c in climbed:
        pixel = pixel_distance(np.asarray(c.images.pixels), np.asarray(exact.images.pixels))
        shots = c.rung.shots
        floor = 0.0 if shots is None else float(sampling_floor(exact.outcomes, shots, seed=seed).mean())
        out.append(
            Step(
                climbed=c,
                variation=float(total_variation(c.outcomes, exact.outcomes).mean()),
                floor=floor,
                pixel=float(pixel.mean()),
                worst_pixel=float(pixel.max()),
            )
        )
    return tuple(out)
