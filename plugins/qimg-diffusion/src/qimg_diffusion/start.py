"""`Start`: the source of strings of one `latent-diffusion` model, its training, its pool (imports qimg_core, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.generator import Arm
from qimg_core.weights import check_state
from qimg_diffusion.layers import count
from qimg_diffusion.optimise import Optimiser, arrays, assign, learning_rate
from qimg_diffusion.proposals import CircuitSource, ClassicalSource, Source, latents_of, signs_of
from qimg_diffusion.torch_generator import seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch

    from qimg_core.session import Session
    from qimg_diffusion.diffusion_config import LatentDiffusionConfig
    from qimg_diffusion.proposals import Bits

START, TRAINED = "start/", "start/training/"


class Start:
    """The strings of one model.

    Args:
        session: runs the circuit and keeps the record.
        config: its arm is not the bypass.

    Attributes:
        source: gives the strings.
        seed: of the strings; it travels with the weights, so that they are the same in another run of a simulator.
        facts: where the strings came from, for the record.
    """

    def __init__(self, session: Session, config: LatentDiffusionConfig) -> None:
        self.session, self.config = session, config
        self.source = self._source()
        self.optimiser: Optimiser | None = None
        if count(self.source):
            self.optimiser = Optimiser(self.source, rate=config.start_rate, decay=0.0, average=0.0)
        self.seed = session.seed_for("start", "strings")
        self._pool: Bits | None = None

    def _source(self) -> Source:
        c, seed = self.config, self.session.seed_for("init", "start")
        circuit = CircuitSource(
            self.session,
            c.latent,
            c.start_layers,
            entangled=c.arm is not Arm.SEPARABLE,
            seed=seed,
            frozen=c.arm is Arm.FROZEN,
        )
        if c.arm is not Arm.TWIN:
            return circuit
        with seeded(self.session, "start"):
            return ClassicalSource(c.latent, count(circuit))

    # -- the pool ---------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the strings are there."""
        return self._pool is not None

    @property
    def facts(self) -> dict[str, Any]:
        """For the record, without floats."""
        q, c = self.source.quantum, self.config
        source = "perceptron" if q is None else "circuit"
        return {"source": source, "circuit": None if q is None else q.circuit.digest, "pool": c.pool, "depth": c.depth}

    @property
    def pool(self) -> Bits:
        """The strings (pool, latent), sampled and recorded when first asked for."""
        if self._pool is None:
            self._pool = self.source.strings(self.config.pool, self.seed)
            digest = self.session.put(np.packbits(self._pool, axis=1).tobytes())
            facts = {"schema": "qimg.start/1", "bits": self.config.latent, "seed": str(self.seed), **self.facts}
            self.session.record("start.sampled", {**facts, "artefacts": {"strings": digest}})
        return self._pool

    def latents(self, noise: torch.Tensor) -> torch.Tensor:
        """Noise (n, depth) -> starting latents (n, latent)."""
        return latents_of(noise, self.pool)

    # -- training ---------------------------------------------------------------------------------

    def steps(self, steps: int) -> int:
        """How many of ``steps`` train the source; at least one is left."""
        if self.optimiser is None:
            return 0
        return min(max(1, round(steps * self.config.start_share)), max(0, steps - 1))

    def train(self, latents: Callable[[], torch.Tensor], steps: int) -> Iterator[tuple[int, float]]:
        """Teach the source the signs of real latents: (step from 1, loss) after each. Strings are drawn anew."""
        optimiser = self.optimiser
        if optimiser is None or optimiser.step >= steps:
            return
        self._pool, wanted = None, signs_of(latents())
        while (k := optimiser.step) < steps:
            loss = (self.source() - wanted).square().mean()
            yield k + 1, optimiser.descend(loss, factor=learning_rate(k, steps))

    def restart(self) -> None:
        """Before a training that was not interrupted."""
        self._pool, self.seed = None, self.session.seed_for("start", "strings")
        if self.optimiser is not None:
            self.optimiser.restart()

    # -- state ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What sampling needs: the source and the seed of its strings."""
        weights: dict[str, Any] = dict(arrays(self.source.state_dict(), START))
        return {**weights, START + "seed": np.array([self.seed], dtype=np.int64)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave, already checked."""
        assign(self.source.state_dict(), state, START)
        self.seed, self._pool = int(np.asarray(state[START + "seed"])[0]), None
        if self.optimiser is not None:
            self.optimiser.restart()

    def training_state(self) -> dict[str, Any]:
        """What training needs to go on; the strings too, as a device would give others."""
        out: dict[str, Any] = {START + "seed": np.array([self.seed], dtype=np.int64)}
        if self.optimiser is not None:
            out |= self.optimiser.state(TRAINED)
        return out if self._pool is None else {**out, START + "strings": np.packbits(self._pool, axis=1)}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take what `training_state` gave.

        Raises:
            WeightsError: it is not of this model.
        """
        own = dict(state)
        strings = own.pop(START + "strings", None)
        moments = {k: v for k, v in own.items() if k.startswith(TRAINED)}
        check_state({k: v for k, v in own.items() if k not in moments}, {START + "seed": (1,)}, "training state")
        if self.optimiser is not None:
            self.optimiser.load(moments, TRAINED)
        self.seed = int(np.asarray(own[START + "seed"])[0])
        self._pool = None if strings is None else np.unpackbits(strings, axis=1)[:, : self.config.latent]


def parted(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What belongs to the start, and the rest."""
    own = {k: v for k, v in state.items() if k.startswith(START)}
    return own, {k: v for k, v in state.items() if k not in own}
