"""Random circuits of the whole gate set, in every form of batch and measurement, against PennyLane.

Tolerances are of one entry, relative to the largest entry of what PennyLane says, or to 1 where that is larger.
Double precision: values to 1e-12, gradients to 1e-9. Single precision: an angle of 2 pi * 1.75 is rounded by up to 5e-7
before it meets any gate, and such errors of different gates add up like a random walk, so values to 1e-6 times the
square root of 1 + the number of gates, gradients to 1e-4.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from qimg_core.circuit import Angle, Circuit, Gate, Parameter, pauli
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_simulator.backend import SimulatorBackend

if TYPE_CHECKING:
    from types import SimpleNamespace

BACKEND = SimulatorBackend("torch")


def examples(count: int) -> settings:
    """The same examples in every run; a failure is reported as it was found, then made small."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


def ours(case: Any, dtype: torch.dtype, cotangent: Any) -> tuple[Any, list[Any]]:
    """Values, and the gradients of Re sum conj(cotangent) values."""
    x, w, h = case.numbers()
    matrices = dtype.to_complex()
    leaves = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in (x, w)]
    leaves += [torch.tensor(m, dtype=matrices, requires_grad=True) for m in h]
    request = ExecutionRequest(
        circuit=case.circuit,
        inputs=leaves[0],
        weights=leaves[1],
        measurement=case.measurement,
        readout=tuple(leaves[2:]) if case.heights else None,
    )
    out = BACKEND.run(request).data
    wanted = dtype.to_complex() if cotangent.dtype == complex else dtype
    assert out.dtype == wanted
    if out.requires_grad:
        (torch.tensor(cotangent, dtype=wanted).conj() * out).real.sum().backward()
    return out.detach().numpy(), [np.zeros(a.shape) if a.grad is None else a.grad.numpy() for a in leaves]


def check(zoo: SimpleNamespace, case: Any, dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)) -> None:
    values, cotangent, grads = zoo.oracle(case)
    for dtype in dtypes:
        single = dtype is torch.float32
        found, slopes = ours(case, dtype, cotangent)
        zoo.near(found, values, 1e-6 * math.sqrt(1 + len(case.circuit.gates)) if single else 1e-12)
        for slope, grad in zip(slopes, grads, strict=True):
            zoo.near(slope, grad, 1e-4 if single else 1e-9)


@pytest.mark.parametrize("kind", ["z", "pauli", "probabilities", "windows", "readout", "state"])
def test_any_circuit_in_both_precisions(zoo: SimpleNamespace, kind: str) -> None:
    @examples(18)
    @given(zoo.cases(kinds=(kind,)))
    def of_one(case: Any) -> None:
        check(zoo, case)

    of_one()


def test_circuits_of_more_wires_than_one_block(zoo: SimpleNamespace) -> None:
    @examples(8)
    @given(zoo.cases(wires=(7, 8, 9, 10)))
    def of_many(case: Any) -> None:
        check(zoo, case)

    of_many()


def test_circuits_of_real_amplitudes(zoo: SimpleNamespace) -> None:
    @examples(18)
    @given(zoo.cases(real=True))
    def of_real(case: Any) -> None:
        check(zoo, case)

    of_real()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["z", "pauli", "probabilities", "windows", "readout", "state"])
@pytest.mark.parametrize("real", [False, True])
def test_many_circuits(zoo: SimpleNamespace, kind: str, real: bool) -> None:
    @examples(150)
    @given(zoo.cases(kinds=(kind,), real=real, depth=30))
    def of_one(case: Any) -> None:
        check(zoo, case)

    of_one()


@pytest.mark.slow
def test_many_circuits_of_more_wires(zoo: SimpleNamespace) -> None:
    @examples(60)
    @given(zoo.cases(wires=(7, 8, 9, 10), depth=40))
    def of_many(case: Any) -> None:
        check(zoo, case)

    of_many()


ENDS: dict[str, tuple[Any, Any]] = {
    "z": (Expectation((pauli("Z0 Z2"), pauli("Z3", -0.5), pauli("Z1 Z2 Z3"))), None),
    "pauli": (Expectation((pauli("X0 Z2"), pauli("Y3 X1"))), None),
    "probabilities": (Probabilities((2, 0, 3)), None),
    "all probabilities": (Probabilities((0, 1, 2, 3)), None),
    "windows": (LocalStates(((2, 0), (3, 1))), None),
    "readout": (LocalStates(((2, 0), (3, 1), (1, 2))), (2, 1, 3)),
    "wide readout": (LocalStates(((3, 0, 2),)), (1,)),
    "state": (State(), None),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("letter", ["rx", "ry"])
def test_an_end_that_a_reading_takes_on_itself(zoo: SimpleNamespace, end: str, letter: str) -> None:
    """Signs, and permutations that are not their own inverses, just before what is measured."""
    names = [Parameter(f"p{i}", "input" if i % 2 else "weight") for i in range(8)]
    first, second = ([Gate(letter, (q,), [Angle(4 * k + q)]) for q in range(4)] for k in (0, 1))
    ring = [Gate("cx", (q, (q + 1) % 4)) for q in range(4)]
    tail = [Gate("cz", (1, 3)), Gate("ccx", (3, 0, 2)), Gate("cx", (2, 1)), Gate("cx", (1, 3))]
    circuit = Circuit(4, [*first, *ring, *second, *ring, *tail], names)
    for rows in (2, 40):
        check(zoo, zoo.Case(circuit, rows, 1, *ENDS[end], True, 5), (torch.float64,))


@examples(12)
@given(real=st.booleans(), seed=st.integers(0, 99), groups=st.sampled_from([1, 2, 6]))
def test_a_register_of_inputs_weights_and_constants(zoo: SimpleNamespace, real: bool, seed: int, groups: int) -> None:
    """Amplitudes of one register by row, shared, scaled, shifted and constant; the norm is 1 at these numbers."""
    names = [Parameter("x", "input"), Parameter("w", "weight"), Parameter("t", "input"), Parameter("v", "weight")]
    amplitudes = [Angle(0, 2.0, 0.1), Angle(1, 0.5), Angle(offset=0.5), Angle(offset=-0.5)]
    amplitudes += [] if real else [Angle(offset=0.0), Angle(offset=0.0), Angle(1, 0.0), Angle(0, 0.0)]
    body = [
        Gate("ry", (1,), [Angle(2)]),
        Gate("cx", (2, 0)),
        Gate("ry", (0,), [Angle(3)]),
        Gate("ry", (2,), [Angle(2)]),
    ]
    circuit = Circuit(3, [Gate("prepare", (2, 0), amplitudes), *body], names)
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-6, 6, (6, 2)), rng.uniform(-6, 6, (groups, 2))
    turn = rng.uniform(0, 2 * np.pi, groups)
    w[:, 0] = 2 * np.sqrt(0.5) * np.sin(turn)
    x[:, 0] = (np.sqrt(0.5) * np.cos(np.repeat(turn, 6 // groups)) - 0.1) / 2
    terms = Expectation((pauli("Z0"), pauli("X1 Y2"), pauli("Z2 X0")))
    case = zoo.Case(circuit, 6, groups, terms, None, True, seed)

    class At:
        def __getattr__(self, name: str) -> Any:
            return getattr(case, name)

        def numbers(self) -> Any:
            return x, w[0] if groups == 1 else w, ()

    check(zoo, At(), (torch.float64,))
