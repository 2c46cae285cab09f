"""States of a circuit at random parameters, through a session like every other execution (numpy, qimg_core).

Every parameter, weight or input, is uniform in [0, 2 pi), as Sim et al. draw them (arXiv:1905.10876).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.circuit import Circuit, GateName
from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Measurement, State
from qimg_core.session import Session
from qimg_metrics.bootstrap import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_AMPLITUDES = 2**20
"""At most so many in one request: 16 MB."""


def random_values(circuit: Circuit, rows: int, *, seed: int, name: str) -> NDArray[np.float64]:
    """Parameters uniform in [0, 2 pi), (rows, len(circuit.parameters)).

    Args:
        circuit: whose parameters.
        rows: how many sets.
        seed: of the draws.
        name: of the purpose, so that two metrics with one seed draw independently.

    Raises:
        ConfigurationError: fewer than two rows; or a circuit that measures, resets, or prepares a state from
            parameters, which random angles are not.
    """
    if rows < 2:
        raise ConfigurationError(f"wanted at least two random sets of parameters, got {rows}")
    for gate in circuit.gates:
        if gate.name in (GateName.MEASURE, GateName.RESET):
            raise ConfigurationError(f"a circuit with a {gate.name} in it has no pure state to measure")
        if gate.name is GateName.PREPARE and any(a.parameter is not None for a in gate.angles):
            raise ConfigurationError(
                "the amplitudes of a prepare cannot be drawn at random",
                hint="measure the ansatz without its amplitude encoder",
            )
    return generator(seed, name).uniform(0.0, 2 * np.pi, (rows, len(circuit.parameters)))


def measured(
    circuit: Circuit, values: NDArray[np.float64], measurement: Measurement, *, session: Session, label: str
) -> Iterator[NDArray[Any]]:
    """Exact numbers for each row of parameters, in batches of an even number of rows.

    Args:
        circuit: what to run.
        values: (rows, len(circuit.parameters)), float64.
        measurement: what is wanted of it.
        session: runs and records the requests.
        label: names the metric in the record.
    """
    step = max(2, _AMPLITUDES // 2**circuit.n_wires // 2 * 2)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        request = ExecutionRequest(
            circuit=circuit,
            inputs=part[:, list(circuit.input_indices)],
            weights=part[:, list(circuit.weight_indices)],
            measurement=measurement,
        )
        yield np.asarray(session.execute(request, label=label).data)


def random_states(
    circuit: Circuit, rows: int, *, seed: int, name: str, session: Session | None
) -> Iterator[NDArray[np.complex128]]:
    """States (batch, 2**n_wires) at random parameters, wire 0 most significant; ``rows`` of them in all.

    Raises:
        ConfigurationError: as `random_values`.
        CapabilityError: the session's device cannot show states.
    """
    values = random_values(circuit, rows, seed=seed, name=name)
    with opened(session, seed) as running:
        yield from measured(circuit, values, State(), session=running, label=name)


@contextmanager
def opened(session: Session | None, seed: int) -> Iterator[Session]:
    """The session given, or one of its own that keeps its log in memory."""
    if session is not None:
        yield session
        return
    with Session(None, seed=seed, profile="light") as own:
        yield own
