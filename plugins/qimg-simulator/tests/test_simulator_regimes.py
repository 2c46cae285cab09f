"""Every regime of the engine on circuits it would not always choose for itself, against PennyLane.

Double precision; tolerances as in the tests of random circuits: of one entry, relative to the largest entry or 1,
values to 1e-12 and gradients to 1e-9. Each test looks at what the engine did, so that a regime that is no longer taken
fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, Parameter, pauli
from qimg_core.measurement import Expectation, LocalStates, Probabilities
from qimg_simulator import assembling, pure
from qimg_simulator.block import WIRES
from qimg_simulator.by_block import BlockTape
from qimg_simulator.by_states import StatesTape
from qimg_simulator.engine import PureState
from qimg_simulator.plan import compile_plan, is_real

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import SimpleNamespace

NEVER = 10**9


def examples(count: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


class Seen:
    """What the engine did: the tapes of forward passes, and how the wires were grouped."""

    def __init__(self) -> None:
        self.tapes: list[Any] = []
        self.groupings: list[list[tuple[int, int]]] = []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Only what a test forces: by default no block unitary, no small blocks, states kept."""
    found, forward, grouping = Seen(), pure.PureProgram.forward, assembling.groups

    def watched(*args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        found.tapes.append(out[1])
        return out

    def grouped(*args: Any, **kwargs: Any) -> Any:
        out = grouping(*args, **kwargs)
        found.groupings.append(out)
        return out

    monkeypatch.setattr(pure.PureProgram, "forward", watched)
    monkeypatch.setattr(assembling, "groups", grouped)
    monkeypatch.setattr(pure, "LEAST", NEVER)
    monkeypatch.setattr(pure, "SHARE", NEVER)
    monkeypatch.setattr(pure, "FEW", NEVER)
    return found


def evaluate(case: Any, cotangent: Any, *, real: bool = False, dtype: torch.dtype = torch.float64) -> Any:
    """Values, the gradients of Re sum conj(cotangent) values, and the program."""
    x, w, h = case.numbers()
    plan = compile_plan(case.circuit, weights_by_row=case.groups == case.rows > 1, real=real)
    program = pure.PureProgram(plan, torch.empty(0, dtype=dtype))
    leaves = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in (x, w)]
    leaves += [torch.tensor(m, dtype=dtype.to_complex(), requires_grad=True) for m in h]
    state, m = PureState(program, leaves[0], leaves[1]), case.measurement
    if isinstance(m, Expectation):
        out = state.expectation(m.terms)
    elif isinstance(m, Probabilities):
        out = state.probabilities(m.wires)
    elif isinstance(m, LocalStates):
        out = state.contracted(m.windows, leaves[2:]) if case.heights else state.local_states(m.windows)
    else:
        out = state.full()
    if out.requires_grad:
        (torch.tensor(cotangent, dtype=out.dtype).conj() * out).real.sum().backward()
    return out.detach().numpy(), [np.zeros(a.shape) if a.grad is None else a.grad.numpy() for a in leaves], program


def check(zoo: SimpleNamespace, case: Any, **more: Any) -> Any:
    """The program, after its numbers were found right."""
    values, cotangent, grads = zoo.oracle(case)
    found, slopes, program = evaluate(case, cotangent, **more)
    zoo.near(found, values, 1e-12)
    for slope, grad in zip(slopes, grads, strict=True):
        zoo.near(slope, grad, 1e-9)
    return program


def groups_of(case: Any) -> int:
    """As the program counts them: weights by row are rows of the batch."""
    return 1 if case.groups == case.rows else int(case.groups)


def states_kept(zoo: SimpleNamespace, seen: Seen, count: int) -> None:
    @examples(count)
    @given(zoo.cases())
    def every(case: Any) -> None:
        program = check(zoo, case)
        assert program.regime(case.rows, groups_of(case)) == "states"
        assert isinstance(seen.tapes[-1], StatesTape)
        assert isinstance(seen.tapes[-1].states, list)

    every()


def block_unitary(zoo: SimpleNamespace, seen: Seen, count: int) -> None:
    pure.LEAST = 0  # put back by the fixture
    taken = []

    @examples(count)
    @given(zoo.cases(wires=(1, 2, 3, 4, 5, 6), block=True))
    def every(case: Any) -> None:
        program = check(zoo, case, real=is_real(case.circuit))
        took = program.regime(case.rows, groups_of(case)) == "block"
        assert isinstance(seen.tapes[-1], BlockTape) == took
        taken.append(took)

    every()
    assert sum(taken) > 0.6 * len(taken)  # not those whose wires turn too often before they meet


def small_blocks(zoo: SimpleNamespace, seen: Seen, count: int) -> None:
    pure.FEW = 0

    @examples(count)
    @given(zoo.cases(wires=(2, 3, 4, 5, 6, 7), grouped=True))
    def every(case: Any) -> None:
        program = check(zoo, case, real=is_real(case.circuit))
        assert program.regime(case.rows, groups_of(case)) == "grouped"
        assert max(size for _, size in seen.groupings[-1]) <= 3

    every()


def reversed_states(zoo: SimpleNamespace, seen: Seen, count: int) -> None:
    pure.SAVED_WIRES = 0

    @examples(count)
    @given(zoo.cases(wires=(1, 2, 3, 4, 5, 6, 8)))
    def every(case: Any) -> None:
        program = check(zoo, case, real=is_real(case.circuit))
        assert not program.saved
        assert not isinstance(seen.tapes[-1].states, list)

    every()


def real_as_real(zoo: SimpleNamespace, seen: Seen, count: int) -> None:
    @examples(count)
    @given(zoo.cases(real=True))
    def every(case: Any) -> None:
        assert is_real(case.circuit)
        check(zoo, case, real=True)
        assert not seen.tapes[-1].psi.is_complex()

    every()


def real_as_complex(zoo: SimpleNamespace, seen: Seen, count: int) -> None:
    @examples(count)
    @given(zoo.cases(real=True))
    def every(case: Any) -> None:
        check(zoo, case, real=False)
        assert seen.tapes[-1].psi.is_complex()

    every()


REGIMES = [states_kept, block_unitary, small_blocks, reversed_states, real_as_real, real_as_complex]


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thresholds as they were, after a test that sets them."""
    for name in ("LEAST", "SHARE", "FEW", "SAVED_WIRES"):
        monkeypatch.setattr(pure, name, getattr(pure, name))


@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_agrees_with_pennylane(regime: Any, zoo: SimpleNamespace, restored: None, seen: Seen) -> None:
    regime(zoo, seen, 16)


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_agrees_many_times(regime: Any, zoo: SimpleNamespace, restored: None, seen: Seen) -> None:
    regime(zoo, seen, 150)


def blocks_of(
    largest: int, zoo: SimpleNamespace, seen: Seen, monkeypatch: pytest.MonkeyPatch, count: int, saved: int
) -> None:
    before = assembling.groups
    monkeypatch.setattr(pure, "SAVED_WIRES", saved)
    monkeypatch.setattr(assembling, "groups", lambda n, _=None, **__: before(n, largest))
    sizes = set()

    @examples(count)
    @given(zoo.cases(wires=(largest, largest + 1, 2 * largest)))
    def every(case: Any) -> None:
        check(zoo, case)
        sizes.update(size for _, size in seen.groupings[-1])

    every()
    assert max(sizes) == largest


@pytest.mark.parametrize("largest", [1, 2, 3, 4, 5])
def test_blocks_of_so_many_wires(
    largest: int, zoo: SimpleNamespace, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_of(largest, zoo, seen, monkeypatch, 5, saved=10 if largest % 2 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("saved", [0, 10])
@pytest.mark.parametrize("largest", [1, 2, 3, 4, 5])
def test_blocks_of_so_many_wires_many_times(
    largest: int, saved: int, zoo: SimpleNamespace, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_of(largest, zoo, seen, monkeypatch, 40, saved)


# -- which regime is chosen


def program_of(circuit: Circuit) -> pure.PureProgram:
    return pure.PureProgram(compile_plan(circuit, weights_by_row=False), torch.empty(0, dtype=torch.float64))


def encoded(n: int) -> CircuitBuilder:
    b = CircuitBuilder(n)
    for q in range(n):
        b.ry(q, b.input(f"x{q}"))
    return b


def test_the_block_regime_wants_more_rows_than_basis_states_where_there_are_many_weight_vectors() -> None:
    program = program_of(encoded(3).cx(0, 1).build())
    enough, many = int(pure.SHARE * 8), pure.FEW + 1
    assert [program.regime(rows, 1) for rows in (1, enough + 1)] == ["block", "block"]
    assert [program.regime(rows, many) for rows in (many * enough, many * enough + 1)] == ["grouped", "block"]


def test_the_block_regime_wants_few_wires() -> None:
    assert program_of(encoded(WIRES).cx(0, 1).build()).regime(NEVER, 1) == "block"
    assert program_of(encoded(WIRES + 1).cx(0, 1).build()).regime(NEVER, 1) == "states"


@pytest.mark.parametrize(
    "gates",
    [
        [Gate("rx", (0,), [Angle(0)]), Gate("ry", (0,), [Angle(0)])],
        [Gate("cx", (0, 1)), Gate("ry", (0,), [Angle(0)])],
        [Gate("p", (0,), [Angle(0)])],
        [Gate("prepare", (1,), [Angle(offset=1.0), Angle()]), Gate("ry", (0,), [Angle(0)])],
        [Gate("ry", (0,), [Angle(1)]), Gate("rx", (0,), [Angle(0)])],
        [Gate("rx", (0,), [Angle(1)])] * 3,
    ],
    ids=["twice", "late", "phase", "register", "shared before", "nothing by row"],
)
def test_what_the_block_regime_does_not_take_is_right_all_the_same(zoo: SimpleNamespace, gates: list[Gate]) -> None:
    circuit = Circuit(2, [*gates, Gate("cx", (0, 1))], [Parameter("x", "input"), Parameter("w", "weight")])
    assert program_of(circuit).regime(40, 1) == "states"
    check(zoo, zoo.Case(circuit, 40, 1, Expectation((pauli("Z0"), pauli("X0 Y1"))), None, True, 3))


@pytest.mark.parametrize("n_weights", [0, 1])
def test_the_block_regime_with_weights_by_row(zoo: SimpleNamespace, n_weights: int) -> None:
    names = [Parameter("x", "input"), Parameter("w", "weight")][: 1 + n_weights]
    turns = [Gate("ry", (0,), [Angle(0)]), Gate("rx", (1,), [Angle(1)])][: 1 + n_weights]
    circuit = Circuit(2, [*turns, Gate("cx", (0, 1))], names)
    terms = Expectation((pauli("Z0"), pauli("Z1"), pauli("X0 Y1")))
    program = check(zoo, zoo.Case(circuit, 8, 8, terms, None, True, 3))
    assert program.regime(8, 1) == "block"


def test_many_weight_vectors_make_blocks_small() -> None:
    program = program_of(encoded(WIRES + 1).cx(0, 1).build())
    few, many = pure.FEW, pure.FEW + 1
    assert (program.regime(few, few), program.regime(many, many)) == ("states", "grouped")


def test_states_are_kept_up_to_a_number_of_wires() -> None:
    assert program_of(encoded(pure.SAVED_WIRES).build()).saved
    assert not program_of(encoded(pure.SAVED_WIRES + 1).build()).saved
