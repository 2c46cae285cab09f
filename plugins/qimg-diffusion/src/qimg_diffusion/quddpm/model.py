"""`quddpm`: an ensemble of states is learned by undoing its scrambling step by step (imports qimg_core, torch, numpy).

After Zhang, Xu, Chen, Zhuang, "Generative quantum machine learning via denoising diffusion probabilistic models",
PRL 132, 100602 (arXiv:2310.05866). Backward step t takes the ensemble at t + 1 to the ensemble at t; the steps are
trained one after the other, from T - 1 down to 0, each on what the trained ones before it give from Haar-random states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy.special import ndtr
from torch import nn

from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generation import check_noise, initial_noise, record_images
from qimg_core.generator import Arm, Generator, Parameters, Workload
from qimg_core.images import TrainStep
from qimg_core.weights import check_state
from qimg_diffusion.base import seeded
from qimg_diffusion.layers import count
from qimg_diffusion.optimise import Optimiser, arrays, assign, learning_rate
from qimg_diffusion.quddpm.backward import ClassicalStep, QuantumStep, angles_per_step
from qimg_diffusion.quddpm.config import QuDDPMConfig
from qimg_diffusion.quddpm.distances import loss_of
from qimg_diffusion.quddpm.ensembles import haar, normalised
from qimg_diffusion.quddpm.forward import forward, scrambler
from qimg_diffusion.quddpm.states import StateEnsemble, States

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

CLOSEST = 1e-7
"""A uniform draw made of a normal number stays this far from 0 and 1."""


class QuDDPM(Generator):
    """States out of Haar-random states, by T circuits with measured ancillas. Simulated classically.

    The initial noise of a state is 2 * 2**wires normal numbers, which normalised are a Haar-random state, and T
    more, whose normal quantiles draw the outcomes of the ancillas. So a sample is a function of its noise.
    """

    name = "quddpm"
    config_type = QuDDPMConfig
    weights_format = "quddpm/1"
    sampling_settings: ClassVar[frozenset[str]] = frozenset({"sample_batch"})

    def __init__(self, session: Session, config: QuDDPMConfig) -> None:
        super().__init__(session, config)
        self.net = nn.ModuleList(self._step(t) for t in range(config.timesteps))
        self.optimiser: Optimiser | None = None
        self._done = self._samples = 0

    def _step(self, t: int) -> nn.Module:
        if self.arm is Arm.BYPASS:
            return nn.Module()
        if self.arm is Arm.TWIN:
            with seeded(self.session, "twin", t):
                return ClassicalStep(self.config, angles_per_step(self.config))
        return QuantumStep(self.session, self.config, t)

    # -- training ----------------------------------------------------------------------------

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Any] | None = None) -> Iterator[TrainStep]:
        """See `Generator.fit`; ``images`` is a `StateEnsemble`. The steps are shared out evenly among the T circuits.

        Raises:
            DataError: something else than states of as many wires, or fewer than 2; before anything is done.
            ConfigurationError: no steps.
            WeightsError: ``start`` is no training state of this model.
            TrainingDiverged: the loss is no longer finite.
        """
        self.check_images(images)
        assert isinstance(images, StateEnsemble)
        if steps < 1:
            raise ConfigurationError(f"training takes 1 step or more, got {steps}")
        self._done = 0
        if start is not None:
            self._resume(start, steps)
        return self._steps(images, steps)

    def _steps(self, data: StateEnsemble, steps: int) -> Iterator[TrainStep]:
        c = self.config
        seed = self.session.seed_for("train", "forward")
        targets = torch.from_numpy(forward(self.session, c, data.states, seed))
        at, inputs, outputs = c.timesteps, torch.empty(0), self._haar()
        fresh = self._done == 0
        while self._done < steps:
            k = self._done
            t, own, of = share(k, steps, c.timesteps)
            while at > t:  # what the trained circuits make of the Haar-random states so far
                at, inputs = at - 1, outputs
                outputs = inputs if at == t else self._apply(at, inputs, self._draws("pool", at, len(inputs)))
            if own == 0 or fresh:
                if c.warm and t + 1 < c.timesteps and count(self.net[t]):
                    self.net[t].load_state_dict(self.net[t + 1].state_dict())
                self._begin(t)
            fresh = False
            rng = self.rng("batch", k)
            target = targets[t][rng.choice(data.n, min(c.batch, data.n), replace=False)]
            rows = rng.choice(c.pool, len(target), replace=c.pool < len(target))
            value = self._descend(t, inputs[rows], target, rng, learning_rate(own, of))
            self._done += 1
            metrics = {"loss": value, "time": float(t)}
            self.session.step(self._done, metrics)
            yield TrainStep(step=self._done, metrics=metrics)
            if self._done < steps and share(self._done, steps, c.timesteps)[0] != t:
                outputs = self._apply(t, inputs, self._draws("pool", t, len(inputs)))

    def _descend(self, t: int, x: torch.Tensor, y: torch.Tensor, rng: np.random.Generator, factor: float) -> float:
        """One step of the circuit t; only the loss where there is nothing to train."""
        drawn = torch.from_numpy(rng.random(len(x)))
        if self.arm is Arm.BYPASS:
            branches = x[:, None], x.real.new_ones(len(x), 1)
        else:
            every = self.config.outcomes == "all" and self.arm is not Arm.TWIN
            branches = self.net[t](x, None if every else drawn)
        loss = loss_of(self.config, *branches, y)
        return float(loss.detach()) if self.optimiser is None else self.optimiser.descend(loss, factor=factor)

    def _begin(self, t: int) -> None:
        """A new optimiser for circuit t. The last weights are kept, not an average."""
        trained = count(self.net[t])
        self.optimiser = Optimiser(self.net[t], rate=self.config.rate, decay=0.0, average=0.0) if trained else None

    def _resume(self, state: Mapping[str, Any], steps: int) -> None:
        if "done" not in state:
            raise WeightsError(f"{self.name}: this is no training state, it lacks 'done'")
        weights = {k.removeprefix("weights/"): v for k, v in state.items() if k.startswith("weights/")}
        check_state(weights, {k: tuple(v.shape) for k, v in self.net.state_dict().items()}, self.name)
        self._done = int(np.asarray(state["done"])[0])
        assign(self.net.state_dict(), weights)
        if self._done > 0:
            self._begin(share(self._done - 1, steps, self.config.timesteps)[0])
            if self.optimiser is not None:
                self.optimiser.load(dict(state), "optimiser/")

    def training_state(self) -> dict[str, Any]:
        """See `Generator.training_state`: all weights, the optimiser of the circuit in training, the steps done."""
        out: dict[str, Any] = arrays(self.net.state_dict(), "weights/")
        if self.optimiser is not None:
            out |= self.optimiser.state("optimiser/")
        return {**out, "done": np.array([self._done], dtype=np.float64)}

    def check_images(self, images: ImageSource) -> None:
        """Refuse what cannot be learned.

        Raises:
            DataError.
        """
        if not isinstance(images, StateEnsemble):
            raise DataError(
                f"{self.name} learns ensembles of states, {images.name} holds images",
                hint="--data states-cluster-2, states-cluster-1, states-circle or states-ising-4",
            )
        if images.wires != self.config.wires or images.n < 2:
            raise DataError(
                f"{self.name} wants 2 states or more of {self.config.wires} wires, "
                f"{images.name} has {images.n} of {images.wires}",
                hint=f"--set wires={images.wires}",
            )

    def rng(self, *names: str | int) -> np.random.Generator:
        """Random numbers for a named purpose of training."""
        return np.random.Generator(np.random.PCG64(self.session.seed_for("train", *names)))

    def _haar(self) -> torch.Tensor:
        return torch.from_numpy(haar(self.config.pool, self.config.wires, self.rng("haar")))

    def _draws(self, name: str, t: int, n: int) -> torch.Tensor:
        return torch.from_numpy(self.rng(name, t).random(n))

    # -- sampling ----------------------------------------------------------------------------

    def _apply(self, t: int, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """One backward step with drawn outcomes, without a graph."""
        if self.arm is Arm.BYPASS:
            return x
        with torch.no_grad():
            out: torch.Tensor = self.net[t](x, u)[0][:, 0]
        return out

    def sample(
        self, n: int, *, condition: Sequence[int] | None = None, noise: Any = None, seed: int | None = None
    ) -> States:
        """See `Generator.sample`. The same noise gives the same states.

        Raises:
            DataError: no states asked, a class (there are none), noise of the wrong shape, with NaN or all zeros.
        """
        if n < 1 or condition:
            raise DataError(f"wanted one state or more and no class, got n={n}, condition={condition}")
        if noise is not None:
            noise, seed = check_noise(noise, n, self.noise_shape), None
        else:
            if seed is None:
                seed = self.session.seed_for("sample", self.name, self._samples)
                self._samples += 1
            noise = initial_noise(self.session, n, self.noise_shape, seed=seed)
        d, size = self.config.dimension, self.config.sample_batch
        numbers = np.asarray(noise, dtype=np.float64)
        vectors = numbers[:, :d] + 1j * numbers[:, d : 2 * d]
        if not np.abs(vectors).sum(1).all():
            raise DataError("noise: a row of zeros is no state")
        x = normalised(vectors)
        u = np.clip(ndtr(numbers[:, 2 * d :]), CLOSEST, 1 - CLOSEST)
        done = [self._chain(x[i : i + size], u[i : i + size]) for i in range(0, n, size)]
        states = States.of(normalised(np.concatenate(done)))
        made = record_images(
            self.session,
            self,
            states,
            seed=seed,
            noise=noise,
            condition=(),
            settings={"batch": size, "amplitudes": self.session.put(states.amplitudes.astype("<c16").tobytes())},
        )
        assert isinstance(made, States)
        return made

    def _chain(self, x: Any, u: Any) -> Any:
        out, draws = torch.from_numpy(x), torch.from_numpy(np.ascontiguousarray(u))
        for t in reversed(range(self.config.timesteps)):
            out = self._apply(t, out, draws[:, t])
        return out.numpy()

    # -- facts -------------------------------------------------------------------------------

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Real and imaginary parts of the initial state, then a number for each measurement."""
        return (2 * self.config.dimension + self.config.timesteps,)

    def state(self) -> dict[str, Any]:
        """The weights by name."""
        return arrays(self.net.state_dict())

    def load(self, state: Mapping[str, Any]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: tuple(v.shape) for k, v in self.net.state_dict().items()}, self.name)
        assign(self.net.state_dict(), state)

    @property
    def _circuit_runs(self) -> bool:
        return self.arm not in (Arm.TWIN, Arm.BYPASS)

    def workload(self, n: int) -> Workload:
        """Bounds for ``sample(n)``: T requests, one after the other, for each batch."""
        t = self.config.timesteps if self._circuit_runs else 0
        return Workload(requests=t * -(-n // self.config.sample_batch), rows=t * n)

    @property
    def parameters(self) -> Parameters:
        """Counts of what is trained: the angles of all steps, or the twins'."""
        total = count(self.net)
        return Parameters(total=total, layer=total, circuit=total if self._circuit_runs else 0, observable=0)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        p, c = self.parameters, self.config
        facts: dict[str, Any] = {
            "model": type(self).__name__,
            "method": "denoising diffusion of states, measured ancillas",
            "output": f"pure states of {c.wires} wires, shown as density matrices",
            "arm": self.arm.value,
            "parameters": {"total": p.total, "layer": p.layer, "circuit": p.circuit, "observable": p.observable},
            "circuit": None,
            "forward_circuit": scrambler(c.wires).digest if c.forward == "scrambling" else None,
        }
        step = self.net[0]
        if isinstance(step, QuantumStep):
            circuit = step.quantum.circuit
            facts["circuit"] = {"digest": circuit.digest, "wires": circuit.n_wires, "gates": len(circuit.gates)}
        return facts


def share(k: int, steps: int, timesteps: int) -> tuple[int, int, int]:
    """Of training step k (from 0): the time it trains, its number there, and how many that time has."""
    turn = k * timesteps // steps
    first, after = -(-turn * steps // timesteps), -(-(turn + 1) * steps // timesteps)
    return timesteps - 1 - turn, k - first, after - first
