"""`Prior`: where the latents of `prior-gan` come from, and the pool of strings (imports qimg_core, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.generator import Arm
from qimg_core.weights import check_state
from qimg_diffusion.optimise import Optimiser, assign
from qimg_gan import noise, qrng
from qimg_gan.born import BornMachine, law_of, mmd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.session import Session
    from qimg_gan.born import Bits

PREFIX, MACHINE = "prior/", "prior/machine/"


class Prior:
    """The strings of one model: their source, its training, the sampled pool.

    Args:
        session: runs the circuit and keeps the record.
        config: a `qimg_gan.prior.PriorConfig`.

    Attributes:
        machine: the circuit; None in the bypass. The twin has one to fit its copula to.
        thresholds, root: of the copula, see `noise.copula`; fair and independent bits until it is fitted.
        lost: pair chances that the copula could not have, at most.
        seed: of the strings.
        numbers: the service of the control ``qrng``; None is that of the configuration's ``url``.
        facts: where the pool came from, for the record.
    """

    def __init__(self, session: Session, config: Any) -> None:
        self.session, self.config = session, config
        c = config
        self.machine: BornMachine | None = None
        self.optimiser: Optimiser | None = None
        if c.arm is not Arm.BYPASS:
            self.machine = BornMachine(
                session,
                c.wires,
                c.layers,
                entangled=c.arm is not Arm.SEPARABLE,
                seed=session.seed_for("init"),
                frozen=c.arm is Arm.FROZEN,
            )
            if c.arm is not Arm.FROZEN:
                self.optimiser = Optimiser(self.machine, rate=c.prior_rate, decay=0.0, average=0.0)
        self.thresholds, self.root, self.lost = np.zeros(c.wires), np.eye(c.wires), 0.0
        self.seed = session.seed_for("prior", "strings")
        self.numbers: qrng.QuantumNumbers | None = None
        self.facts: dict[str, Any] = {"source": c.prior}
        self._pool: Bits | None = None
        self._cached: Bits | None = None

    @property
    def born(self) -> BornMachine | None:
        """The circuit, where its strings are the latents."""
        return self.machine if self.config.prior == "born" else None

    @property
    def ready(self) -> bool:
        """Whether nothing is left to run before latents can be had."""
        return self._pool is not None or self._cached is not None or self.config.prior == "gaussian"

    # -- the pool ------------------------------------------------------------------------------

    @property
    def pool(self) -> Bits | None:
        """The strings (pool, wires), sampled when first asked for; None for Gaussian latents."""
        if self._pool is None and self.config.prior != "gaussian":
            cached = self._cached is not None
            self._pool = self._sampled() if self._cached is None else self._cached
            digest = self.session.put(self._packed(self._pool).tobytes())
            self.facts = {**self.facts, "cached": cached, "strings": digest, "n": len(self._pool)}
            facts = {"schema": "qimg.prior/1", "wires": self.config.wires, **self.facts}
            self.session.record("prior.sampled", {**facts, "artefacts": {"strings": digest}})
        return self._pool

    def _sampled(self) -> Bits:
        c = self.config
        self.facts = {"source": c.prior}
        if self.born is not None:
            self.facts["circuit"] = self.born.quantum.circuit.digest
            return self.born.strings(c.pool, self.seed)
        if c.prior == "copula":
            self.facts["lost"] = repr(self.lost)
            return noise.copula_strings(self.thresholds, self.root, c.pool, self.seed)
        if c.prior != "qrng":
            return noise.fair(c.pool, c.wires, self.seed)
        each = -(-c.wires // 8)
        numbers = self.numbers or qrng.QuantumNumbers(c.url)
        drawn = qrng.draw(self.session, numbers, c.pool * each, seed=self.seed, purpose="the strings of prior-gan")
        self.facts = drawn.to_json()
        return np.unpackbits(drawn.data.reshape(c.pool, each), axis=1)[:, : c.wires]

    @staticmethod
    def _packed(pool: Bits) -> Bits:
        return np.packbits(pool, axis=1)

    # -- training ------------------------------------------------------------------------------

    def steps(self, steps: int) -> int:
        """How many of ``steps`` train the circuit; the rest, at least one, trains the net."""
        return 0 if self.optimiser is None else max(0, min(round(steps * self.config.prior_share), steps - 1))

    def descend(self, wanted: Bits, factor: float) -> float:
        """One step of the circuit towards the law of strings (n, wires); returns the MMD before it."""
        assert self.machine is not None
        assert self.optimiser is not None
        return self.optimiser.descend(mmd(self.machine(), law_of(wanted)), factor=factor)

    def finish(self) -> None:
        """After the circuit's last step: fit the copula to its strings, in the arm that has one; sample the pool."""
        if self.config.prior == "copula" and self._pool is None:
            assert self.machine is not None
            strings = self.machine.strings(self.config.pool, self.session.seed_for("prior", "copula"))
            self.thresholds, self.root, self.lost = noise.copula(*noise.moments(strings))
        _ = self.pool

    def begin(self) -> None:
        """Training starts anew: what was sampled and fitted before is not of it."""
        self._pool = self._cached = None
        self.seed = self.session.seed_for("prior", "strings")
        self.thresholds, self.root, self.lost = np.zeros(self.config.wires), np.eye(self.config.wires), 0.0
        if self.optimiser is not None:
            self.optimiser.restart()

    # -- state ---------------------------------------------------------------------------------

    def _numbers(self) -> dict[str, Any]:
        out: dict[str, Any] = {PREFIX + "seed": np.array([self.seed], dtype=np.int64)}
        if self.config.prior == "copula":
            lost = np.array([self.lost])
            out |= {PREFIX + "thresholds": self.thresholds, PREFIX + "root": self.root, PREFIX + "lost": lost}
        return out

    def _take(self, state: Mapping[str, Any]) -> None:
        self.seed = int(np.asarray(state[PREFIX + "seed"])[0])
        if self.config.prior == "copula":
            self.thresholds, self.root = (np.array(state[PREFIX + k], dtype=np.float64) for k in ("thresholds", "root"))
            self.lost = float(np.asarray(state[PREFIX + "lost"])[0])

    def training_state(self) -> dict[str, Any]:
        """All that training needs to go on."""
        out = self._numbers()
        if self.optimiser is not None:
            out |= self.optimiser.state(MACHINE)
        if self._pool is not None:
            out[PREFIX + "strings"] = self._packed(self._pool)
        return out

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take what `training_state` gave.

        Raises:
            WeightsError: it is not of this model.
        """
        own = {k: v for k, v in state.items() if k.startswith(PREFIX)}
        strings = own.pop(PREFIX + "strings", None)
        if self.optimiser is not None:
            self.optimiser.load({k: v for k, v in own.items() if k.startswith(MACHINE)}, MACHINE)
        self._check({k: v for k, v in own.items() if not k.startswith(MACHINE)}, self._numbers())
        self._take(own)
        self._pool = None if strings is None else self._unpacked(strings)

    def state(self) -> dict[str, Any]:
        """What making images needs: the seed, the strings, and what samples them."""
        out, pool = self._numbers(), self.pool
        if self.born is not None:
            out[PREFIX + "weights"] = self.born.quantum.weights.detach().numpy().copy()
        if pool is not None:
            out[PREFIX + "strings"] = self._packed(pool)
        return out

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the arrays of `state`."""
        c = self.config
        out = {k: v.shape for k, v in self._numbers().items()}
        if self.born is not None:
            out[PREFIX + "weights"] = tuple(self.born.quantum.weights.shape)
        if c.prior != "gaussian":
            out[PREFIX + "strings"] = (c.pool, -(-c.wires // 8))
        return out

    def load(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave, already checked. Its strings are used where the configuration says so."""
        c = self.config
        self._take(state)
        if self.born is not None:
            assign({"weights": self.born.quantum.weights}, state, PREFIX)
        self._pool = self._cached = None
        if c.prior != "gaussian" and (c.strings == "cached" or c.prior == "qrng"):
            self._cached = self._unpacked(state[PREFIX + "strings"])

    def _unpacked(self, strings: Any) -> Bits:
        return np.unpackbits(np.asarray(strings, dtype=np.uint8), axis=1)[:, : self.config.wires]

    def _check(self, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        check_state(given, {k: v.shape for k, v in wanted.items()}, "training state")
