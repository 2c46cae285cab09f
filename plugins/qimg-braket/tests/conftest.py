"""Circuits that notice almost any fault of a driver, and a fake Amazon Braket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from qimg_braket.testing import FakeBraket
from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, Parameter
from qimg_core.circuit.gates import UNITARY, GateName
from qimg_core.execution import ExecutionRequest
from qimg_core.testing.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qimg_core.measurement import Measurement


def zoo(n: int, *, rows: int = 2, gates: frozenset[GateName] = frozenset(UNITARY), seed: int = 0) -> Any:
    """Every gate once, in a random order on random wires, between layers of turns: (circuit, inputs, weights)."""
    rng = np.random.default_rng(seed)
    parameters: list[Parameter] = []
    out: list[Gate] = []

    def angle() -> tuple[Angle]:
        parameters.append(Parameter(f"p{len(parameters)}", "input" if rng.random() < 0.5 else "weight"))
        return (Angle(len(parameters) - 1, rng.uniform(-2, 2), rng.uniform(-2, 2)),)

    turns = [g for g in (GateName.RY, GateName.RZ, GateName.RX) if g in gates]
    for wire in range(n):
        out += [Gate(g, (wire,), angle()) for g in turns]
    names = sorted(g for g in gates if g.n_wires is not None and g.n_wires <= n)
    for name in (names[i] for i in rng.permutation(len(names))):
        wires = tuple(int(w) for w in rng.permutation(n)[: name.n_wires])
        out.append(Gate(name, wires, angle() if name.n_angles else ()))
    for wire in range(n):
        out += [Gate(g, (wire,), angle()) for g in turns[:1]]
    circuit = Circuit(n, out, parameters)
    return circuit, rng.uniform(-3, 3, (rows, circuit.n_inputs)), rng.uniform(-3, 3, circuit.n_weights)


def tiny(rows: int) -> Any:
    """Three gates on two wires, for tests of jobs and not of numbers."""
    b = CircuitBuilder(2)
    circuit = b.ry(0, b.input("x")).cx(0, 1).ry(1, b.weight("w")).build()
    return circuit, np.linspace(0.3, 2.5, rows)[:, None], np.array([0.4])


def request_of(made: Any, measurement: Measurement, **more: Any) -> ExecutionRequest:
    circuit, inputs, weights = made
    return ExecutionRequest(circuit=circuit, inputs=inputs, weights=weights, measurement=measurement, **more)


@pytest.fixture(scope="session", name="zoo")
def _zoo() -> Callable[..., Any]:
    return zoo


@pytest.fixture(scope="session", name="tiny")
def _tiny() -> Callable[..., Any]:
    return tiny


@pytest.fixture(scope="session", name="asked")
def _asked() -> Callable[..., ExecutionRequest]:
    return request_of


@pytest.fixture(scope="module")
def server() -> Iterator[FakeBraket]:
    """One for a module, since making AWS clients takes its time; `clean` empties it before each test."""
    with FakeBraket() as fake, pytest.MonkeyPatch.context() as patch:
        for name, value in fake.environment().items():
            patch.setenv(name, value)
        for name in (
            "AMZN_BRAKET_TASK_RESULTS_S3_URI",
            "AMZN_BRAKET_OUT_S3_BUCKET",
            "AWS_PROFILE",
            "AWS_SESSION_TOKEN",
        ):
            patch.delenv(name, raising=False)
        yield fake


@pytest.fixture
def clean(server: FakeBraket) -> FakeBraket:
    """The server as if new."""
    server.faults = Faults()
    server.tasks.clear()
    server.files.clear()
    server.seen.clear()
    server.failing_programs = {}
    server.polls, server.revision, server.status, server.lost_shots, server.inline = 1, 0, "ONLINE", 0, True
    server.refuse, server.refuse_after, server.failure = None, 0, None
    return server
