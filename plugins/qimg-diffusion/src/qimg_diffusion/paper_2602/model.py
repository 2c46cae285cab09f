"""`PaperUNet`: the released hybrid U-Net as a generator (imports qimg_core, torch, numpy, the files beside it)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generation import check_noise, conditions, initial_noise, record_images
from qimg_core.generator import Arm, Generator, Parameters, Workload
from qimg_core.images import Images, TrainStep
from qimg_core.weights import check_state
from qimg_diffusion.optimise import TrainingDiverged
from qimg_diffusion.paper_2602.bottleneck import ClassicalBottleneck, QuantumBottleneck
from qimg_diffusion.paper_2602.config import DIMENSION, SIZE, PaperConfig
from qimg_diffusion.paper_2602.forward import Schedule, depolarising, gaussian
from qimg_diffusion.paper_2602.losses import LOSSES
from qimg_diffusion.paper_2602.states import from_noise, to_pixels, to_states, unit_norm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

    Array = npt.NDArray[np.float32]


class HybridNet(torch.nn.Module):
    """Encoder, bottleneck, decoder with a skip of the flat input: complex (rows, 256) -> unit (rows, 256).

    The bypass takes out encoder and bottleneck: what is left is the decoder on the skip, without a class.
    """

    def __init__(self, config: PaperConfig, bottleneck: QuantumBottleneck | ClassicalBottleneck | None) -> None:
        super().__init__()
        flat, latent = 2 * DIMENSION, 2**config.qubits
        self.bottleneck = bottleneck
        features = 0
        if bottleneck is not None:
            self.enc1, self.enc2 = torch.nn.Linear(flat, flat), torch.nn.Linear(flat, latent)
            self.norm = torch.nn.LayerNorm(latent)
            features = config.observables + 1
        self.dec1, self.dec2 = torch.nn.Linear(features + flat, flat), torch.nn.Linear(flat, flat)

    def forward(self, states: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The predicted state one step earlier.

        Args:
            states: complex unit vectors (rows, 256).
            t: int64 (rows,), 1 to T.
            labels: int64 (rows,).
        """
        x = torch.cat([states.real, states.imag], 1)
        y = x
        if self.bottleneck is not None:
            latent = unit_norm(self.norm(self.enc2(torch.relu(self.enc1(x)))))
            y = torch.cat([self.bottleneck(latent, t - 1, labels), x], 1)
        out = self.dec2(torch.relu(self.dec1(y)))
        return unit_norm(torch.complex(out[:, :DIMENSION].contiguous(), out[:, DIMENSION:].contiguous()))


class PaperUNet(Generator):
    """The model of arXiv:2602.03405 at 16 x 16, with labels used in sampling (the released code forgets them)."""

    name: ClassVar[str] = "hybrid-unet-2602.03405"
    config_type: ClassVar[type[Any]] = PaperConfig
    weights_format: ClassVar[str] = "hybrid-unet-2602.03405/1"
    config: PaperConfig

    def __init__(self, session: Session, config: PaperConfig) -> None:
        super().__init__(session, config)
        with torch.random.fork_rng(devices=[]):  # torch's own initialisers, from a derived seed
            torch.manual_seed(session.seed_for("init", self.name))
            self.net = HybridNet(config, self._bottleneck())
        self.schedule = Schedule.linear(config.beta_first, config.beta_last, config.timesteps)
        self._step = self._samples = 0
        self._plan = np.zeros(5, np.float32)
        self._optimiser = self._adam()

    def _bottleneck(self) -> QuantumBottleneck | ClassicalBottleneck | None:
        if self.arm is Arm.BYPASS:
            return None
        return (
            ClassicalBottleneck(self.config) if self.arm is Arm.TWIN else QuantumBottleneck(self.session, self.config)
        )

    def _adam(self) -> torch.optim.Adam:
        return torch.optim.Adam([p for p in self.net.parameters() if p.requires_grad], lr=self.config.rate)

    # -- training ----------------------------------------------------------------------------

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Array] | None = None) -> Iterator[TrainStep]:
        """See `Generator.fit`. Order, noise and rate of a step depend on the session's seed and its number.

        Raises:
            DataError: images that are no states, or labels that do not fit; before anything is done.
            ConfigurationError: ``start`` belongs to another seed or number of steps.
            TrainingDiverged: the loss is no longer finite.
        """
        if steps < 1:
            raise ConfigurationError(f"training takes 1 step or more, got {steps}")
        states, labels = self._learned(images)
        seed = self.session.seed % 2**64  # in 16-bit pieces: exact in float32
        self._plan = np.array([*(seed >> s & 0xFFFF for s in (0, 16, 32, 48)), steps], np.float32)
        if start is None:
            self._step, self._optimiser = 0, self._adam()
        else:
            self._resume(start)
        return self._steps(states, labels, steps)

    def check_images(self, images: ImageSource) -> None:
        """See `Generator.check_images`."""
        c = self.config
        if images.labels is None:
            raise DataError(f"{self.name} learns labelled images, {images.name} has no labels")
        if images.n_classes > c.classes:
            raise DataError(f"{images.name} has {images.n_classes} classes, the model {c.classes}")
        if images.n < c.batch:
            raise DataError(f"{images.name} has {images.n} images, fewer than the {c.batch} of a batch")

    def _learned(self, images: ImageSource) -> tuple[torch.Tensor, torch.Tensor]:
        """Amplitudes (n, 256) and labels (n,) of the images that are learned, drawn once by seed."""
        self.check_images(images)
        c = self.config
        chosen = self._rng("subset").permutation(images.n)[: c.images or images.n]
        parts = [
            to_states(images.images(part), c.preprocessing) for part in np.array_split(chosen, len(chosen) // 4096 + 1)
        ]
        return torch.cat(parts), torch.from_numpy(np.asarray(images.labels)[chosen].astype(np.int64))

    def _steps(self, states: torch.Tensor, labels: torch.Tensor, steps: int) -> Iterator[TrainStep]:
        c = self.config
        in_epoch = len(states) // c.batch  # the rest of an epoch is dropped, as released
        t = torch.arange(1, c.timesteps + 1).repeat_interleave(c.batch)
        forward = gaussian if c.forward == "code" else depolarising
        distance = LOSSES[c.loss]
        order, known = np.zeros(0, np.int64), -1
        self.net.train()
        while self._step < steps:
            epoch, at = divmod(self._step, in_epoch)
            if epoch != known:
                order, known = self._rng("order", epoch).permutation(len(states)), epoch
            chosen = torch.from_numpy(order[at * c.batch : (at + 1) * c.batch])
            pairs = forward(states[chosen].repeat(c.timesteps, 1), t, self.schedule, self._rng("step", self._step))
            out = self.net(pairs.inputs, t, labels[chosen].repeat(c.timesteps))
            loss = distance(out, pairs.targets, pairs.purity).mean()
            value = float(loss.detach())
            if not np.isfinite(value):
                raise TrainingDiverged(f"the loss is {value} at step {self._step + 1}", hint="lower the rate")
            for group in self._optimiser.param_groups:
                group["lr"] = c.rate * c.rate_factor ** (epoch // c.rate_epochs)
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            self._step += 1
            metrics = {"loss": value}
            self.session.step(self._step, metrics)
            yield TrainStep(step=self._step, metrics=metrics)

    def _rng(self, *names: str | int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(self.session.seed_for("train", *names)))

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`: ``weights/``, Adam's ``first/`` and ``second/`` moments, step, plan."""
        out = {f"weights/{name}": array for name, array in self.state().items()}
        for name, p in self._trained().items():
            held = self._optimiser.state.get(p, {})
            for key, of in (("first", "exp_avg"), ("second", "exp_avg_sq")):
                out[f"{key}/{name}"] = held[of].numpy().copy() if held else np.zeros(tuple(p.shape), np.float32)
        return {**out, "step": np.array([self._step], np.float32), "plan": self._plan}

    def _resume(self, start: Mapping[str, Array]) -> None:
        wanted = {name: tuple(array.shape) for name, array in self.training_state().items()}
        check_state(start, wanted, f"training state of {self.name}")
        if not np.array_equal(start["plan"], self._plan):
            raise ConfigurationError(
                "the training state is of a run with another seed or another number of steps",
                hint="resume with the same seed and steps, or begin anew",
            )
        self._take({name: start[f"weights/{name}"] for name in self.state()})
        self._step, self._optimiser = int(start["step"][0]), self._adam()
        for name, p in self._trained().items():
            moments = {
                of: torch.from_numpy(np.array(start[f"{key}/{name}"], dtype=np.float32))
                for key, of in (("first", "exp_avg"), ("second", "exp_avg_sq"))
            }
            self._optimiser.state[p] = {"step": torch.tensor(float(self._step)), **moments}

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self.net.named_parameters() if p.requires_grad}

    # -- sampling ----------------------------------------------------------------------------

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Real and imaginary parts of the first state."""
        return (2, SIZE, SIZE)

    def sample(
        self,
        n: int,
        *,
        condition: Sequence[int] | None = None,
        noise: Array | None = None,
        seed: int | None = None,
    ) -> Images:
        """See `Generator.sample`: from a Haar-random state, T predictions in a row, each under its label.

        Raises:
            DataError: a class that the model does not know, or noise of the wrong shape or with NaN.
        """
        c = self.config
        labels = conditions(n, condition, c.classes)
        if noise is not None:
            noise, seed = check_noise(noise, n, self.noise_shape), None
        else:
            if seed is None:
                seed, self._samples = self.session.seed_for("sample", self.name, self._samples), self._samples + 1
            noise = initial_noise(self.session, n, self.noise_shape, seed=seed)
        asked = torch.tensor(labels)
        with torch.no_grad():
            parts = torch.split(from_noise(noise), c.sample_batch), torch.split(asked, c.sample_batch)
            done = [to_pixels(self.denoise(state, y), c.rescale) for state, y in zip(*parts, strict=True)]
        images = Images(pixels=torch.cat(done), labels=labels, quantum=False, simulated=False)
        settings = {"steps": c.timesteps, "batch": c.sample_batch, "rescale": c.rescale}
        return record_images(self.session, self, images, seed=seed, noise=noise, condition=labels, settings=settings)

    def denoise(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The reverse process from t = T down to 1 on unit states (rows, 256)."""
        for t in range(self.config.timesteps, 0, -1):
            states = self.net(states, torch.full((len(states),), t), labels)
        return states

    def workload(self, n: int) -> Workload:
        """Bounds for ``sample(n)``: two requests for each time step and batch of images."""
        circuits = 2 * self.config.timesteps if isinstance(self.net.bottleneck, QuantumBottleneck) else 0
        return Workload(requests=circuits * -(-n // self.config.sample_batch), rows=circuits * n)

    # -- weights and facts -------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The weights by name."""
        return {name: tensor.detach().numpy().copy() for name, tensor in self.net.state_dict().items()}

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        check_state(state, {name: tuple(array.shape) for name, array in self.state().items()}, self.name)
        self._take(state)
        self._step, self._optimiser = 0, self._adam()

    def _take(self, state: Mapping[str, Array]) -> None:
        try:
            self.net.load_state_dict({k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in state.items()})
        except (RuntimeError, ValueError, TypeError) as cause:
            raise WeightsError(f"{self.name}: {cause}") from cause

    @property
    def parameters(self) -> Parameters:
        """Counts of what is trained; the layer is angle table and observables, or what stands for them."""
        trained = self._trained()
        layer = {name: p.numel() for name, p in trained.items() if name.startswith("bottleneck.")}
        return Parameters(
            total=sum(p.numel() for p in trained.values()),
            layer=sum(layer.values()),
            circuit=layer.get("bottleneck.angles", 0),
            observable=layer.get("bottleneck.observables", 0),
        )

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        c, b, p = self.config, self.net.bottleneck, self.parameters
        facts: dict[str, Any] = {
            "model": "arXiv:2602.03405, released code at d4b58c5",
            "arm": self.arm.value,
            "parameters": {"total": p.total, "layer": p.layer, "circuit": p.circuit, "observable": p.observable},
            "forward": c.forward,
            "alpha_T": repr(round(float(self.schedule.alphas[c.timesteps]), 6)),
            "class_conditional": b is not None,
            "circuits": [],
        }
        if isinstance(b, QuantumBottleneck):
            facts["circuits"] = [
                {"digest": q.digest, "wires": q.n_wires, "gates": len(q.gates)} for q in (b.front, b.back)
            ]
            facts["encoding"] = "amplitude: the prepared state itself is entangled, in the separable arm too"
            facts["not_physical"] = [
                "the state vector is read between the two circuits and prepared anew",
                *(["LeakyReLU on real and imaginary parts of the amplitudes"] if c.activation else []),
                "both ancilla outcomes added" if c.middle == "released" else "ancilla postselected on 0",
            ]
        return facts
