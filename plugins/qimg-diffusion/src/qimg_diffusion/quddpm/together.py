"""The control of QuDDPM: the same T circuits trained at once, by the last target alone (imports qimg_core, torch).

No forward process takes part. What it reaches, the ancillas measured T times reach without the diffusion's targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.images import TrainStep
from qimg_diffusion.optimise import Optimiser, learning_rate
from qimg_diffusion.quddpm.distances import loss_of
from qimg_diffusion.quddpm.ensembles import haar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_diffusion.quddpm.model import QuDDPM
    from qimg_diffusion.quddpm.states import StateEnsemble


def fit_together(model: QuDDPM, data: StateEnsemble, *, steps: int) -> Iterator[TrainStep]:
    """Train all circuits of an untrained model together; yields after every step.

    Outcomes are drawn, as 2**(ancillas * T) of them cannot be weighed; small first angles (``spread``) help.

    Args:
        model: of any arm with something to train.
        data: what to learn.
        steps: how many, 1 or more.

    Raises:
        DataError: states of another number of wires.
        ConfigurationError: no steps, or an arm without anything to train.
    """
    model.check_images(data)
    if steps < 1 or model.arm in (Arm.FROZEN, Arm.BYPASS):
        raise ConfigurationError(f"wanted 1 step or more and an arm that trains, got {steps} and {model.arm}")
    return _steps(model, data, steps)


def _steps(model: QuDDPM, data: StateEnsemble, steps: int) -> Iterator[TrainStep]:
    c, optimiser = model.config, Optimiser(model.net, rate=model.config.rate, decay=0.0, average=0.0)
    real = torch.from_numpy(data.states.copy())
    for k in range(steps):
        rng = model.rng("together", k)
        target = real[rng.choice(data.n, min(c.batch, data.n), replace=False)]
        x = torch.from_numpy(haar(len(target), c.wires, rng))
        for t in reversed(range(c.timesteps)):
            x = model.net[t](x, torch.from_numpy(rng.random(len(x))))[0][:, 0]
        loss = loss_of(c, x[:, None], x.real.new_ones(len(x), 1), target)
        metrics = {"loss": optimiser.descend(loss, factor=learning_rate(k, steps))}
        model.session.step(k + 1, metrics)
        yield TrainStep(step=k + 1, metrics=metrics)
