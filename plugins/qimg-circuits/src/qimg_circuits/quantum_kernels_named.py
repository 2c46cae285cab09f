"""`Kernel`: a fidelity, projected or Gaussian kernel by name and one width, and its encoding (imports qimg_core).

The encoding is that of instantaneous quantum polynomial circuits (Havlicek et al. 2019, arXiv:1804.11326): wires in
superposition, a phase s x_k on each, a phase s x_k x_{k+1} on neighbours. Without the second it is a product, whose
kernels are cheap for anybody: k = prod_k cos^2(s (x_k - y_k) / 2), and exp(-2 g sum_k sin^2(s (x_k - y_k) / 2)).

The Gaussian kernel exp(-|p(x) - p(y)|^2 / 4) takes the same phases p, those of neighbours included, and no circuit.
It is the classical twin of both: where the encoding is a product, all three have one curvature near x = y, that is,
one width; none has a trainable number.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_circuits.arrays import at_least, check_batch, namespace, one_of
from qimg_circuits.encoders.base import StandardEncoder
from qimg_circuits.quantum_kernels import (
    fidelity_kernel,
    kernel_request,
    local_states,
    pair_circuit,
    projected_kernel,
)
from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import ConfigurationError
from qimg_core.measurement import Probabilities, State

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit
    from qimg_core.execution import ExecutionRequest
    from qimg_core.session import Session

KINDS = ("fidelity", "projected", "gaussian")
GAMMA = 0.5
"""Of the projected kernel: with it the curvature is that of the two others."""
MOST_WIRES = 12


@frozen
class PairPhaseEncoder(StandardEncoder):
    """x -> diagonal phases s x_k and s x_k x_{k+1} on |+...+>, s in radians for a unit of the data.

    Args:
        n_wires: numbers of a row, and wires.
        scale: s.
        entangled: with the phases of neighbours.
        rounds: how often, superposition and phases in turn; Havlicek et al. take 2.
    """

    n_wires: int
    scale: float = 1.0
    entangled: bool = True
    rounds: int = 1

    def __attrs_post_init__(self) -> None:
        at_least(self.n_wires, 1, "n_wires")
        at_least(self.rounds, 1, "rounds")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ConfigurationError(f"scale: wanted a positive number, got {self.scale}")

    @cached_property
    def circuit(self) -> Circuit:
        n, b = self.n_wires, CircuitBuilder(self.n_wires)
        own = [b.input(f"x{w}") for w in range(n)]
        pairs = [b.input(f"x{w}x{w + 1}") for w in range(n - 1)] if self.entangled else []
        for _ in range(self.rounds):
            for w in range(n):
                b.h(w).rz(w, own[w])
            for w, angle in enumerate(pairs):
                b.gate("rzz", w, w + 1, angles=(angle,))
        return b.build()

    @property
    def n_features(self) -> int:
        return self.n_wires

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_wires) -> the phases, (rows, n_wires), or (rows, 2 n_wires - 1) with those of neighbours."""
        x = check_batch(batch, self.n_wires, "pair-phase encoding")
        if not self.entangled or self.n_wires == 1:
            return x * self.scale
        return namespace(x).concatenate([x, x[:, :-1] * x[:, 1:]], 1) * self.scale


@frozen(kw_only=True)
class Kernel:
    """A kernel on rows of ``wires`` numbers whose spread is about 1.

    Args:
        kind: "fidelity", "projected" or "gaussian"; the last runs no circuit.
        wires: length of a row, up to 12.
        scale: the s of this module; None for 1 / sqrt(wires), where pairs of standard normal rows have
            about exp(-1/2): the median heuristic.
        entangled: with phases of neighbours, of a Gaussian kernel too; without, the separable form.
        powers: the mean of k**p over these is taken. k itself, if it is a fidelity, compares no more than the mean
            states of two samples; higher powers compare more (see `qimg_diffusion.quddpm.distances`).

    Raises:
        ConfigurationError: an unknown kind, or numbers out of range.
    """

    kind: str = field(default="fidelity", validator=one_of(*KINDS))
    wires: int = 6
    scale: float | None = None
    entangled: bool = True
    powers: tuple[int, ...] = (1,)

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.wires <= MOST_WIRES:
            raise ConfigurationError(f"wires: wanted 1 to {MOST_WIRES}, got {self.wires}")
        if not self.powers or any(isinstance(p, bool) or not isinstance(p, int) or p < 1 for p in self.powers):
            raise ConfigurationError(f"powers: wanted whole numbers from 1 up, got {list(self.powers)}")
        _ = self.encoder  # an impossible scale is refused now

    @property
    def quantum(self) -> bool:
        """Whether a circuit runs."""
        return self.kind != "gaussian"

    @property
    def width(self) -> float:
        """The scale, where none was given the usual one."""
        return 1 / math.sqrt(self.wires) if self.scale is None else self.scale

    @property
    def encoder(self) -> PairPhaseEncoder:
        """Of the circuits."""
        return PairPhaseEncoder(self.wires, scale=self.width, entangled=self.entangled)

    def matrix(self, session: Session, x: Any, y: Any = None) -> Any:
        """(n, wires), (m, wires) -> (n, m), numpy or torch; None for y takes x again. Differentiates in both.

        With shots or noise, fidelities are overlaps: n m circuits, n (n - 1) / 2 without y.

        Raises:
            DataError: rows of another length.
            CapabilityError, PolicyError, BudgetExceeded: as `Session.execute`.
        """
        if self.kind == "gaussian":
            a = self.encoder.features(x)
            b = a if y is None else self.encoder.features(y)
            base = namespace(x).exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 4)
        elif self.kind == "projected":
            base = projected_kernel(session, self.encoder, x, y, gamma=GAMMA)
        else:
            method: Any = "overlaps" if _sampled(session) else "states"
            base = fidelity_kernel(session, self.encoder, x, y, method=method)
        return sum(base**p for p in self.powers) / len(self.powers)

    def request(self, session: Session, rows: int) -> ExecutionRequest | None:
        """A request as large as the one of ``matrix(session, x)`` with so many rows, for planning; None for none.

        Raises:
            ConfigurationError: fewer than two rows.
        """
        import numpy as np

        if rows < 2:
            raise ConfigurationError(f"a kernel of a sample wants two rows or more, got {rows}")
        if not self.quantum:
            return None
        circuit = self.encoder.circuit
        if self.kind == "projected":
            inputs = np.zeros((rows, circuit.n_inputs))
            return kernel_request(session, circuit, inputs, local_states(self.wires))
        if not _sampled(session):
            return kernel_request(session, circuit, np.zeros((rows, circuit.n_inputs)), State())
        inputs = np.zeros((rows * (rows - 1) // 2, 2 * circuit.n_inputs))
        return kernel_request(session, pair_circuit(circuit), inputs, Probabilities(tuple(range(self.wires))))

    def to_json(self) -> dict[str, Any]:
        """For the record, without floats."""
        from qimg_core.ledger.canonical import real

        return {
            "kind": self.kind,
            "wires": self.wires,
            "scale": real(self.width),
            "neighbours": self.entangled and self.wires > 1,
            "powers": list(self.powers),
            "circuit": self.encoder.circuit.digest if self.quantum else None,
        }


def _sampled(session: Session) -> bool:
    return session.shots is not None or session.noise_model is not None
