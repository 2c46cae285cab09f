"""`depolarising-latent`: images as states of few wires, learned by undoing depolarisation (imports quddpm, torch).

After mixed-state quantum diffusion (Kwun, Zhang, Zhuang, arXiv:2411.17608), here in the space of principal components.
A vector of 2**wires - 1 components z becomes the real state (z, k) / norm, k = sqrt(2**wires - 1), and is read back as
z = k psi_i / psi_last, so neither its length nor its sign is lost. The forward process is the depolarising channel,
rho_t = a_t rho_0 + (1 - a_t) I/d, by pure states whose mean that is; every backward step is a circuit with measured
ancillas (`qimg_diffusion.quddpm`). The model learns no classes. Its images are read from amplitudes, so it is for
simulators: a device would need tomography of each state. Simulated classically.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from attrs import field, frozen
from scipy.special import ndtr

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.generation import check_noise, initial_noise, record_images
from qimg_core.images import Images
from qimg_core.weights import check_state
from qimg_diffusion.autoencoder import Principal
from qimg_diffusion.optimise import arrays, assign
from qimg_diffusion.quddpm.config import QuDDPMConfig
from qimg_diffusion.quddpm.ensembles import normalised
from qimg_diffusion.quddpm.model import CLOSEST, QuDDPM
from qimg_diffusion.quddpm.states import StateEnsemble
from qimg_diffusion.torch_generator import owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.images import TrainStep
    from qimg_core.session import Session

    Complex = npt.NDArray[np.complex128]
    Floats = npt.NDArray[np.floating]

COMPRESSOR = "compressor/"
FARTHEST = 5.0
"""Components are held within so many spreads: a state without a last amplitude would be infinitely far."""


@frozen(kw_only=True)
class DepolarisingConfig(QuDDPMConfig):
    """Settings of `DepolarisingLatent`: those of `QuDDPMConfig`, whose defaults differ, and three more.

    Args:
        size: height and width of an image.
        channels: 1 or 3.
        examples: images that are learned, drawn by the session's seed; all where there are fewer.
    """

    wires: int = 4
    ancillas: int = 2
    layers: int = 9
    timesteps: int = 10
    forward: str = field(default="depolarising")
    loss: str = field(default="sinkhorn")
    outcomes: str = field(default="sampled")
    smoothing: float = 0.05
    size: int = 28
    channels: int = 1
    examples: int = 4096

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.channels not in (1, 3) or self.size**2 * self.channels < self.dimension or self.examples < 2:
            raise ConfigurationError(
                f"wanted 1 or 3 channels, {self.dimension} pixels or more and 2 examples or more, got {self.channels}, "
                f"{self.size} x {self.size} and {self.examples}"
            )


class DepolarisingLatent(QuDDPM):
    """See the module's docstring. Bypass: Haar-random states, as nothing undoes the depolarisation."""

    name = "depolarising-latent"
    config_type: ClassVar[type[Any]] = DepolarisingConfig
    weights_format = "depolarising-latent/1"

    def __init__(self, session: Session, config: DepolarisingConfig) -> None:
        super().__init__(session, config)
        d, pixels = config.dimension - 1, config.size**2 * config.channels
        self.compressor = Principal(size=config.size, channels=config.channels, d=d)
        # until the components are computed they are random directions, so that an untrained model makes images too
        rng = np.random.Generator(np.random.PCG64(session.seed_for("init", "components")))
        rows = np.linalg.qr(rng.standard_normal((pixels, d)))[0].T
        self.compressor.components.copy_(torch.from_numpy(np.ascontiguousarray(rows)))
        self.compressor.centre.fill_(0.5)

    # -- training ----------------------------------------------------------------------------

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Any] | None = None) -> Iterator[TrainStep]:
        """See `Generator.fit`. Components are computed first, from all images; the steps train the circuits.

        Raises:
            DataError: images of another shape, fewer than 2, NaN, or pixels outside [0, 1].
            ConfigurationError: no steps.
            WeightsError: ``start`` is no training state of this model.
            TrainingDiverged: the loss is no longer finite.
        """
        self.check_images(images)
        if steps < 1:
            raise ConfigurationError(f"training takes 1 step or more, got {steps}")
        self._done = 0
        self.compressor.fit_components(_parts(images, range(images.n)))
        chosen = np.sort(self.rng("examples").permutation(images.n)[: self.config.examples])
        everything = torch.zeros(len(chosen), dtype=torch.int64)  # one frame for all: there are no classes
        z = self.compressor.fit_frames(_parts(images, chosen), everything).double().numpy()
        if start is not None:
            self._resume(start, steps)
        return self._steps(StateEnsemble(title=images.name, states=states_of(z)), steps)

    def check_images(self, images: ImageSource) -> None:
        """See `fit`."""
        wanted = (self.config.size, self.config.size, self.config.channels)
        if images.n < 2 or tuple(images.shape) != wanted:
            raise DataError(
                f"{self.name} learns 2 images {wanted} or more, {images.name} has {images.n} of {images.shape}"
            )
        for part in _parts(images, range(images.n)):
            if not bool(part.isfinite().all()) or float(part.min()) < 0 or float(part.max()) > 1:
                raise DataError(f"{images.name}: NaN or pixels outside [0, 1]")

    # -- sampling ----------------------------------------------------------------------------

    def sample(  # type: ignore[override]  # images of what the states stand for, not pictures of states
        self, n: int, *, condition: Sequence[int] | None = None, noise: Any = None, seed: int | None = None
    ) -> Images:
        """See `Generator.sample`. The same noise gives the same images.

        Raises:
            DataError: no images asked, a class (there are none), noise of the wrong shape, with NaN or all zeros.
        """
        if n < 1 or condition:
            raise DataError(f"wanted one image or more and no class, got n={n}, condition={condition}")
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
        x, u = normalised(vectors), np.clip(ndtr(numbers[:, 2 * d :]), CLOSEST, 1 - CLOSEST)
        done = np.concatenate([self._chain(x[i : i + size], u[i : i + size]) for i in range(0, n, size)])
        z = torch.from_numpy(components_of(done).astype(np.float32))
        with torch.no_grad():
            pixels = self.compressor.decode(z, torch.zeros(n, dtype=torch.int64)).permute(0, 2, 3, 1).numpy()
        images = Images(pixels=np.ascontiguousarray(pixels), quantum=False, simulated=False)
        return record_images(self.session, self, images, seed=seed, noise=noise, condition=(), settings={"batch": size})

    # -- facts -------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The circuits' weights and the components."""
        return {**super().state(), **arrays(self.compressor.state_dict(), COMPRESSOR)}

    def load(self, state: Mapping[str, Any]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: v.shape for k, v in self.state().items()}, self.name)
        assign(self.compressor.state_dict(), state, COMPRESSOR)
        super().load({k: v for k, v in state.items() if not k.startswith(COMPRESSOR)})

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        output = f"images of {self.config.dimension - 1} principal components, read from pure states"
        return {**super().describe(), "output": output}


def states_of(z: Floats) -> Complex:
    """Components (n, d - 1) of spread 1 -> real states complex128 (n, d): (z, sqrt(d - 1)), normalised."""
    last = np.full((len(z), 1), math.sqrt(z.shape[1]))
    return normalised(np.concatenate([z, last], 1))


def components_of(states: Complex) -> Floats:
    """The inverse of `states_of`, of the real part where the last amplitude is real and positive: (n, d - 1).

    Within 5 spreads.
    """
    last, d = states[:, -1:], states.shape[1]
    z = (states[:, :-1] * last.conj()).real / np.maximum(np.abs(last) ** 2, 1e-12) * math.sqrt(d - 1)
    out: Floats = np.clip(z, -FARTHEST, FARTHEST)
    return out


def _parts(images: ImageSource, chosen: Sequence[int] | npt.NDArray[np.int64]) -> Iterator[torch.Tensor]:
    for at in range(0, len(chosen), 2000):
        yield owned(images.images(chosen[at : at + 2000])).permute(0, 3, 1, 2)
