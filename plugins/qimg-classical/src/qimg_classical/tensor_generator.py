"""`mps`: matrix product states over coarse pixels make images (imports qimg_core, tensor_network, torch).

The quantum-inspired competitor of a Born machine: it has the same law, the square of an amplitude, and no quantum
computer is in it. An image is shrunk to a few cells, each cell is one of a few levels, and a state for each class is
trained to give such strings their likelihood; each level is drawn as the mean that it had in the training images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import frozen

from qimg_classical.circuitless import CircuitlessGenerator, only_form, uniform
from qimg_classical.tensor_network import ProductStates, sampled
from qimg_core.datasets.resize import resize
from qimg_core.errors import ConfigurationError, QimgError, WeightsError
from qimg_core.generator import Arm  # noqa: TC001 - a configuration's types are read when it is made
from qimg_core.weights import check_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_classical.circuitless import Array, Floats, Labels
    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

MOST_CELLS = 32
PALETTE = "palette"


@frozen(kw_only=True)
class TensorConfig:
    """Settings of `TensorGenerator`.

    Args:
        arm: ``bypass``; the state is a classical tensor network, and there is no other form.
        size: height and width of an image.
        channels: 1.
        classes: labels 0 to classes - 1; 1 learns images without their class.
        cells: the state has cells x cells sites, up to 32 x 32; images are averaged to them and enlarged again.
        levels: grey values of a cell, 2 to 16; 2 is black and white.
        bond: size of the matrices, which bounds what a cut through the image can carry.
        batch: images of every class in a training step.
        rate: largest learning rate of Adam; it falls in a line to a fiftieth.
        sample_batch: images made together.
    """

    arm: Arm = only_form()
    size: int = 8
    channels: int = 1
    classes: int = 10
    cells: int = 8
    levels: int = 4
    bond: int = 8
    batch: int = 16
    rate: float = 0.02
    sample_batch: int = 1024

    def __attrs_post_init__(self) -> None:
        if self.channels != 1 or not 2 <= self.cells <= min(self.size, MOST_CELLS) or not 2 <= self.levels <= 16:
            raise ConfigurationError(
                f"wanted 1 channel, 2 to {min(self.size, MOST_CELLS)} cells and 2 to 16 levels, got {self.channels}, "
                f"{self.cells}, {self.levels}"
            )
        if min(self.bond, self.classes, self.batch, self.sample_batch) < 1 or not self.rate > 0:
            raise ConfigurationError(
                f"wanted bond, classes and batches of 1 or more and a rate above 0, got {self.bond}, {self.classes}, "
                f"{self.batch}, {self.sample_batch}, {self.rate}"
            )


class TensorGenerator(CircuitlessGenerator):
    """See the module's docstring.

    The loss is the negative log-likelihood of the strings given their class, in nats an image, all classes alike. It is
    exact, so losses of different bonds can be compared. Sites run along the rows, every other row backwards, so that
    neighbours stay near.
    """

    name = "mps"
    config_type = TensorConfig
    weights_format = "mps/1"
    method = "matrix product state Born machine, a classical tensor network"
    sampling_settings = frozenset({"sample_batch"})

    def __init__(self, session: Session, config: TensorConfig) -> None:
        super().__init__(session, config)
        c = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(session.seed_for("init", "mps"))
            self.net = ProductStates(sites=c.cells**2, levels=c.levels, bond=c.bond, classes=c.classes)
        middles = (np.arange(c.levels) + 0.5) / c.levels
        self.palette = np.tile(middles.astype(np.float32), (c.cells**2, 1))
        self._order = snake(c.cells)
        self._adam = torch.optim.Adam(self.net.parameters(), lr=c.rate)
        self._strings: list[torch.Tensor] = []

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(cells * cells,): one number decides one site, in their order."""
        return (self.config.cells**2,)

    # -- training ----------------------------------------------------------------------------

    def begin(self, images: ImageSource, steps: int) -> None:
        """Strings of all images, and what each level looks like."""
        self._adam.state.clear()
        values = self._read(images)
        count = self.palette.shape[1]
        for level in range(count):
            of_level = np.ma.masked_where(levels_of(values, count) != level, values).mean(0)
            self.palette[:, level] = np.ma.filled(of_level, (level + 0.5) / count)

    def resume(self, images: ImageSource, steps: int, state: Mapping[str, Any]) -> None:
        """See `CircuitlessGenerator.resume`."""
        parameters = dict(self.net.named_parameters())
        moments = {f"{m}/{name}": p for name, p in parameters.items() for m in ("exp_avg", "exp_avg_sq")}
        if missing := sorted((moments.keys() | {"step"}) - state.keys()):
            raise WeightsError(f"{self.name}: this is no training state: it lacks {missing[0]!r}")
        self.load({k: v for k, v in state.items() if k not in moments and k != "step"})
        check_state({k: state[k] for k in moments}, {k: tuple(p.shape) for k, p in moments.items()}, self.name)
        self._read(images)
        self.step = int(state["step"][0])
        for name, p in parameters.items():
            if self.step:
                kept = {m: torch.tensor(np.asarray(state[f"{m}/{name}"])) for m in ("exp_avg", "exp_avg_sq")}
                self._adam.state[p] = {"step": torch.tensor(float(self.step)), **kept}

    def _read(self, images: ImageSource) -> Array:
        """Take the strings of every class; returns the cells' values of all images (n, sites)."""
        c: TensorConfig = self.config
        values = resize(images.all(), (c.cells, c.cells)).reshape(images.n, -1)[:, self._order]
        strings, labels = torch.from_numpy(levels_of(values, c.levels)), torch.from_numpy(self.labels_of(images))
        self._strings = [strings[labels == label] for label in range(c.classes)]
        return values

    def advance(self, steps: int) -> float:
        """One step of Adam on a batch that the session's seed and the step's number choose.

        Raises:
            QimgError: the loss is no longer finite.
        """
        c: TensorConfig = self.config
        rng = np.random.default_rng(self.session.seed_for("train", "batch", self.step))
        chosen = [own[torch.from_numpy(rng.integers(0, len(own), c.batch))] for own in self._strings]
        loss = -self.net.log_likelihood(torch.stack(chosen)).mean()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise QimgError(f"the loss became {value} at step {self.step + 1}", hint="--set rate=0.003")
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        self._adam.param_groups[0]["lr"] = c.rate * max(0.02, 1 - self.step / steps)
        self._adam.step()
        return value

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        out = {**self.state(), "step": np.array([self.step], dtype=np.float32)}
        for name, p in self.net.named_parameters():
            known = self._adam.state.get(p, {})
            for m in ("exp_avg", "exp_avg_sq"):
                out[f"{m}/{name}"] = known.get(m, torch.zeros_like(p)).numpy().copy()
        return out

    # -- sampling and weights ----------------------------------------------------------------

    def made(self, noise: Array, labels: Labels) -> Floats:
        """Strings drawn exactly from the state's law, in the colours of their levels."""
        c: TensorConfig = self.config
        state = self.state()
        strings = sampled(state["sites"], state["first"], state["last"], labels, uniform(noise))
        cells = np.empty(strings.shape, dtype=np.float32)
        cells[:, self._order] = self.palette[np.arange(strings.shape[1]), strings]
        pixels = resize(cells.reshape(len(cells), c.cells, c.cells, 1), (c.size, c.size))
        return pixels.astype(np.float64)

    def state(self) -> dict[str, Array]:
        """The tensors, and the colour of every level at every site."""
        tensors = {name: p.detach().numpy().copy() for name, p in self.net.named_parameters()}
        return {**tensors, PALETTE: self.palette.copy()}

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        check_state(state, {k: v.shape for k, v in self.state().items()}, self.name)
        self.palette = np.array(state[PALETTE], dtype=np.float32)
        with torch.no_grad():
            for name, p in self.net.named_parameters():
                p.copy_(torch.tensor(np.asarray(state[name])))
        self._adam.state.clear()

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        c: TensorConfig = self.config
        return {**super().describe(), "sites": c.cells**2, "levels": c.levels, "bond": c.bond}


def levels_of(values: Array, levels: int) -> Labels:
    """Values in [0, 1] as one of so many levels of equal width."""
    return np.minimum((values * levels).astype(np.int64), levels - 1)


def snake(cells: int) -> Labels:
    """Places of a square in the order of the sites: along the rows, every other one backwards."""
    grid = np.arange(cells * cells).reshape(cells, cells)
    grid[1::2] = grid[1::2, ::-1].copy()
    return grid.ravel()
