"""`TorchGenerator`: a net whose averaged weights make images (imports qimg_core, torch, numpy, optimise).

What flows and adversarial models share: sampling and its record, weights, workload, counts. A model adds its net,
how noise becomes pixels, and its training.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from qimg_core.errors import DataError
from qimg_core.generation import check_noise, conditions, initial_noise, record_images
from qimg_core.generator import Generator, Parameters, Workload
from qimg_core.images import Images
from qimg_core.measurement import LocalStates
from qimg_core.seeds import derive_seed
from qimg_core.weights import check_state
from qimg_diffusion.optimise import Optimiser, arrays, assign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session
    from qimg_core.torch_layer import QuantumLayer

    Array = npt.NDArray[np.float32]


class TorchGenerator(Generator):
    """A net, trained by an `Optimiser` that keeps the averages that make images.

    The configuration has: classes, sample_batch. A model's ``__init__`` makes ``optimiser`` after this one's.

    Attributes:
        method: of training, in words.
        net: what is trained.
        optimiser: of the net.
    """

    method: ClassVar[str]
    optimiser: Optimiser

    def __init__(self, session: Session, config: Any) -> None:
        super().__init__(session, config)
        self.net = self.build()
        self._samples = 0

    # -- what a model adds -------------------------------------------------------------------

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """The net, its initial weights a function of the session's seed."""

    @property
    @abstractmethod
    def layer(self) -> torch.nn.Module | None:
        """The part that the arms exchange; None where the bypass took it out."""

    @property
    @abstractmethod
    def quantum(self) -> QuantumLayer | None:
        """The layer that runs on a device; None in classical arms."""

    @property
    @abstractmethod
    def evaluations(self) -> int:
        """Dependent requests that a batch of images takes in the arms that run a circuit."""

    @property
    def rows_per_image(self) -> int:
        """Rows of the device's batch that one image takes in each of them."""
        return 1

    @abstractmethod
    def made(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Noise (n, *noise_shape) and classes (n,) -> pixels (n, h, w, c), with the averaged weights."""

    @property
    def settings(self) -> dict[str, Any]:
        """What sampling was told, for the record, without floats."""
        return {"batch": self.config.sample_batch}

    # -- data --------------------------------------------------------------------------------

    def check_pixels(self, images: ImageSource) -> None:
        """Refuse NaN and pixels outside [0, 1].

        Raises:
            DataError.
        """
        for at in range(0, images.n, 8192):
            part = images.images(range(at, min(at + 8192, images.n)))
            if not (np.isfinite(part).all() and part.min() >= 0 and part.max() <= 1):
                raise DataError(f"{images.name}: NaN or pixels outside [0, 1] among the {len(part)} images from {at}")

    def rng(self, *names: str | int) -> np.random.Generator:
        """Random numbers for a named purpose of training."""
        return np.random.Generator(np.random.PCG64(self.session.seed_for("train", *names)))

    # -- sampling ----------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        *,
        condition: Sequence[int] | None = None,
        noise: Array | None = None,
        seed: int | None = None,
    ) -> Images:
        """See `Generator.sample`: the same noise and condition give the same images.

        Raises:
            DataError: a class that the model does not know, or noise of the wrong shape or with NaN.
        """
        labels = conditions(n, condition, self.config.classes)
        if noise is not None:
            noise, seed = check_noise(noise, n, self.noise_shape), None
        else:
            if seed is None:
                seed = self.session.seed_for("sample", self.name, self._samples)
                self._samples += 1
            noise = initial_noise(self.session, n, self.noise_shape, seed=seed)
        with torch.no_grad():
            parts = [self.made(x, y).clamp(0, 1) for x, y in self.batches(noise, labels)]
        pixels = torch.cat(parts).numpy()
        images = Images(pixels=pixels, labels=labels, quantum=False, simulated=False)
        return record_images(
            self.session, self, images, seed=seed, noise=noise, condition=labels, settings=self.settings
        )

    def batches(self, rows: Any, labels: Sequence[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows and their labels, ``sample_batch`` at a time."""
        size = self.config.sample_batch
        x, y = owned(np.array(rows, dtype=np.float32)), torch.tensor(labels, dtype=torch.int64)
        return zip(torch.split(x, size), torch.split(y, size), strict=True)

    # -- facts -------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The averaged weights by name."""
        return arrays(self.optimiser.averages)

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: tuple(v.shape) for k, v in self.optimiser.averages.items()}, self.name)
        assign(self.net.state_dict(), state)
        self.optimiser.restart()

    def workload(self, n: int) -> Workload:
        """Bounds for ``sample(n)``: the same requests for every batch of images."""
        q = self.quantum
        if q is None:
            return Workload(requests=0, rows=0)
        shots, measured, bases = self.session.shots, q.observable.measurement, 1
        if shots is not None and isinstance(measured, LocalStates):
            bases = sum(3 ** len(w) for w in measured.windows)
        batches = -(-n // self.config.sample_batch)
        rows = self.evaluations * n * self.rows_per_image
        return Workload(requests=self.evaluations * batches, rows=rows, bases=bases, shots=shots)

    @property
    def parameters(self) -> Parameters:
        """Counts of what is trained and makes images."""

        def count(parameters: Any) -> int:
            return sum(p.numel() for p in parameters if p.requires_grad)

        circuit = observable = 0
        if (q := self.quantum) is not None:
            circuit, observable = count([q.weights]), count([q.observable_parameters])
        layer = 0 if self.layer is None else count(self.layer.parameters())
        return Parameters(total=count(self.net.parameters()), layer=layer, circuit=circuit, observable=observable)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        p = self.parameters
        facts: dict[str, Any] = {
            "model": type(self).__name__,
            "method": self.method,
            "arm": self.arm.value,
            "parameters": {"total": p.total, "layer": p.layer, "circuit": p.circuit, "observable": p.observable},
            "circuit": None,
        }
        if (q := self.quantum) is not None:
            facts["circuit"] = {"digest": q.circuit.digest, "wires": q.circuit.n_wires, "gates": len(q.circuit.gates)}
        return facts


def owned(array: npt.NDArray[Any]) -> torch.Tensor:
    """A copy in memory that torch aligned itself.

    Numpy's memory begins anywhere; where it begins can change the last bit of a convolution, and a replay
    in another process would not be equal.
    """
    return torch.from_numpy(array).clone()


def seeded(session: Session, *names: str | int) -> Any:
    """Context in which torch's own initialisers draw from a derived seed; the global state is kept."""
    from contextlib import contextmanager

    @contextmanager
    def context() -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(session.seed, "init", *names))
            yield

    return context()
