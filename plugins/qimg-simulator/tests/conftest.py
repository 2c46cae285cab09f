"""Random cases for the engine without noise, and PennyLane's answer to them.

A fixture hands both out, so that several test files draw from one strategy. The answer is the state of PennyLane's
default.qubit in double precision, differentiated by torch ("backprop"); what is measured is then read from that state
by the textbook formula, wire by wire.
"""

from __future__ import annotations

import itertools
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from hypothesis import strategies as st

from qimg_core.circuit import Angle, Circuit, Gate, GateName, Parameter, PauliString
from qimg_core.circuit.gates import UNITARY, matrix
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_simulator.plan import REAL

G = GateName
PAULIS = {"I": np.eye(2, dtype=complex), **{p.upper(): matrix(G(p)) for p in "xyz"}}
KINDS = ("z", "pauli", "probabilities", "windows", "readout", "state")


@frozen
class Case:
    """A circuit, what is measured, and the seed of its numbers.

    Args:
        circuit: any unitary gates after ``prepare`` gates.
        rows: of the batch.
        groups: weight vectors of consecutive rows: 1 for (n_weights,), ``rows`` for one a row.
        measurement: what is read.
        heights: matrices of each window, if they are read out; else None.
        hermitian: whether those matrices are.
        seed: of inputs, weights, matrices and cotangents.
    """

    circuit: Circuit
    rows: int
    groups: int
    measurement: Any
    heights: tuple[int, ...] | None
    hermitian: bool
    seed: int

    def numbers(self) -> tuple[Any, Any, tuple[Any, ...]]:
        """Inputs, weights and matrices, float64 and complex128, all numbers of single precision.

        Angles lie in (-2 pi, 2 pi), so half of all half angles have a negative cosine. Amplitudes have norm 1.
        """
        rng, c = np.random.default_rng(self.seed), self.circuit
        x = rng.uniform(-2 * np.pi, 2 * np.pi, (self.rows, c.n_inputs)).astype(np.float32).astype(float)
        shape = (c.n_weights,) if self.groups == 1 else (self.groups, c.n_weights)
        w = rng.uniform(-2 * np.pi, 2 * np.pi, shape).astype(np.float32).astype(float)
        for gate in (g for g in c.gates if g.name is G.PREPARE):
            for source, where in ((x, c.input_indices), (w, c.weight_indices)):
                at = [where.index(a.parameter) for a in gate.angles if a.parameter in where]
                if at:
                    source[..., at] /= np.linalg.norm(source[..., at], axis=-1, keepdims=True)
        h = []
        for window, k in zip(getattr(self.measurement, "windows", ()), self.heights or (), strict=False):
            m = rng.normal(size=(k, 2 ** len(window), 2 ** len(window), 2)) @ [1, 1j]
            m = m.astype(np.complex64).astype(complex)
            h.append((m + m.conj().swapaxes(1, 2)) / 2 if self.hermitian else m)
        return x, w, tuple(h)


# -- the strategy


@st.composite
def angles(draw: Any, parameters: list[Parameter], roles: tuple[str, ...]) -> Angle:
    """One more, or one that was used before; affine or plain; or a constant."""
    role = draw(st.sampled_from(roles))
    if role == "constant":
        return Angle(offset=draw(st.sampled_from([0.0, np.pi / 2, -3.7, 5.1])))
    again = [i for i, p in enumerate(parameters) if p.role == role and not p.name.startswith("a")]
    if again and draw(st.integers(0, 3)) == 0:
        index = draw(st.sampled_from(again))
    else:
        index = len(parameters)
        parameters.append(Parameter(f"p{index}", role))  # type: ignore[arg-type]
    scale, offset = draw(st.sampled_from([(1.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.5, 1.25), (1.75, -0.5)]))
    return Angle(index, scale, offset)


@st.composite
def own_gates(
    draw: Any, wire: int, names: list[GateName], parameters: list[Parameter], roles: tuple[str, ...], most: int
) -> list[Gate]:
    """Gates on one wire; ones with angles as often as ones without."""
    turns, fixed = ([n for n in names if bool(n.n_angles) == t] for t in (True, False))
    found = []
    for _ in range(draw(st.integers(0, most))):
        name = draw(st.sampled_from(turns if draw(st.booleans()) else fixed))
        found.append(Gate(name, (wire,), (draw(angles(parameters, roles)),) if name.n_angles else ()))
    return found


def layer(n: int, names: list[GateName], parameters: list[Parameter], role: Any, start: int) -> list[Gate]:
    """A turn on every wire, each about another axis by a parameter of its own: what an ansatz is made of."""
    turns = [name for name in names if name.n_angles]
    found = []
    for wire in range(n):
        found.append(Gate(turns[(start + wire) % len(turns)], (wire,), (Angle(len(parameters)),)))
        parameters.append(Parameter(f"p{len(parameters)}", role))
    return found


@st.composite
def measurements(draw: Any, n: int, kind: str) -> tuple[Any, tuple[int, ...] | None]:
    """(measurement, heights)."""
    wires = st.permutations(range(n))
    if kind in ("z", "pauli"):
        letters = st.sampled_from("IZ" if kind == "z" else "IXYZ")
        words = draw(st.lists(st.lists(letters, min_size=n, max_size=n), min_size=1, max_size=6))
        scales = draw(st.lists(st.sampled_from([1.0, -1.5, 0.25]), min_size=len(words), max_size=len(words)))
        terms = [
            PauliString([(w, p) for w, p in enumerate(word) if p != "I"], s)
            for word, s in zip(words, scales, strict=True)
        ]
        return Expectation(terms), None
    if kind == "probabilities":
        return Probabilities(draw(wires)[: draw(st.integers(1, n))]), None
    if kind == "state":
        return State(), None
    size = st.integers(1, min(n, 3))
    windows = [tuple(draw(wires)[: draw(size)]) for _ in range(draw(st.integers(1, 4)))]
    heights = tuple(draw(st.integers(1, 3)) for _ in windows) if kind == "readout" else None
    return LocalStates(windows), heights


@st.composite
def cases(
    draw: Any,
    *,
    wires: tuple[int, ...] = (1, 2, 3, 4, 5, 6),
    kinds: tuple[str, ...] = KINDS,
    real: bool | None = None,
    block: bool = False,
    grouped: bool | None = None,
    depth: int = 16,
) -> Case:
    """A case of the whole gate set.

    Args:
        draw: by hypothesis.
        wires: to choose from.
        kinds: of measurements, to choose from.
        real: only gates that keep real amplitudes real; None: sometimes.
        block: what the block regime takes: one rotation by row on each wire at most, nothing shared before it.
        grouped: weights for groups of rows, always or never; None: sometimes.
        depth: gates after the wires' own, at most.
    """
    n = draw(st.sampled_from(wires))
    real = draw(st.integers(0, 3)) == 0 if real is None else real
    rows = draw(st.sampled_from([1, 2, 3, 6, 12, 40]))
    if block and rows < 3:
        rows = 6
    divisors = [d for d in range(1, rows + 1) if rows % d == 0]
    if grouped is not None:
        divisors = [d for d in divisors if 1 < d < rows] or [1] if grouped else [1]
    groups = draw(st.sampled_from(divisors))
    names = sorted(g for g in (REAL if real else UNITARY) if (g.n_wires or 1) <= n)
    single = [g for g in names if g.n_wires == 1]
    roles = ("weight", "constant") if block else ("input", "weight", "constant")
    parameters: list[Parameter] = []
    gates: list[Gate] = []
    free = list(draw(st.permutations(range(n))))
    if not block and draw(st.integers(0, 2)) == 0:
        for _ in range(draw(st.integers(1, 2))):
            on = [free.pop() for _ in range(draw(st.integers(1, min(3, len(free)))))] if free else []
            if on:
                size = 2 ** len(on) * (1 if real or draw(st.booleans()) else 2)
                role = draw(st.sampled_from(["input", "weight"]))
                start = len(parameters)
                parameters += [Parameter(f"a{start + i}", role) for i in range(size)]  # type: ignore[arg-type]
                gates.append(Gate("prepare", on, [Angle(start + i) for i in range(size)]))
    # the wires' own gates, before they meet others: long runs, rotations by row with shared ones between
    for wire in free:
        if block:
            gates += draw(own_gates(wire, single, parameters, ("constant",), 2))
            if wire == free[0] or draw(st.integers(0, 4)):
                name = G.RY if real else draw(st.sampled_from([G.RX, G.RY, G.RZ]))
                gates.append(Gate(name, (wire,), (draw(angles(parameters, ("input",))),)))
        gates += draw(own_gates(wire, single, parameters, roles, 2 if block else 8))
    for _ in range(draw(st.integers(0, depth))):
        name = draw(st.sampled_from([*names, *[None] * 5]))
        if name is None:
            gates += layer(n, single, parameters, "weight" if block else draw(st.sampled_from(roles[:2])), len(gates))
            continue
        on = draw(st.permutations(range(n)))[: name.n_wires]
        gates.append(Gate(name, on, (draw(angles(parameters, roles)),) if name.n_angles else ()))
    if n > 1 and draw(
        st.booleans()
    ):  # an end that a reading takes on itself: a permutation that is not its own inverse
        gates += [Gate("cx", (q, (q + 1) % n)) for q in draw(st.permutations(range(n)))]
        gates += [Gate("cz", draw(st.permutations(range(n)))[:2])] if draw(st.booleans()) else []
    measurement, heights = draw(measurements(n, draw(st.sampled_from(kinds))))
    circuit = Circuit(n, gates, parameters)
    return Case(circuit, rows, groups, measurement, heights, draw(st.booleans()), draw(st.integers(0, 2**31)))


# -- PennyLane's answer


def oracle(case: Case) -> tuple[Any, Any, list[Any]]:
    """(values, cotangent, gradients of inputs, weights and matrices) as float64 or complex128 arrays.

    The gradients are those of Re sum conj(cotangent) values.
    """
    x, w, h = (*map(torch.tensor, case.numbers()[:2]), tuple(map(torch.tensor, case.numbers()[2])))
    leaves = [x.requires_grad_(), w.requires_grad_(), *(m.requires_grad_() for m in h)]
    each = w.expand(case.rows, -1) if w.ndim == 1 else w.repeat_interleave(case.rows // case.groups, 0)
    c = case.circuit
    columns: list[Any] = [None] * len(c.parameters)
    for source, where in ((x, c.input_indices), (each, c.weight_indices)):
        for column, p in enumerate(where):
            columns[p] = source[:, column]
    values = _read(_pennylane(c, columns, case.rows), case.measurement, h if case.heights else None)
    cotangent = _cotangent(case, values)
    found: tuple[Any, ...] = (None,) * len(leaves)
    if values.requires_grad:
        found = torch.autograd.grad((cotangent.conj() * values).real.sum(), leaves, allow_unused=True)
    grads = [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, found, strict=True)]
    return values.detach().numpy(), cotangent.numpy(), [g.numpy() for g in grads]


def _cotangent(case: Case, values: Any) -> Any:
    rng = np.random.default_rng([case.seed, 1])
    out = rng.normal(size=(*values.shape, 2)) @ [1, 1j]
    return torch.tensor(out if values.is_complex() else out.real)


def _pennylane(circuit: Circuit, columns: list[Any], rows: int) -> Any:
    """The states (rows, 2**n)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pennylane as qml

    special = {"sdg": qml.adjoint(qml.S), "tdg": qml.adjoint(qml.T), "p": qml.PhaseShift, "ccx": qml.Toffoli}
    special |= {"cx": qml.CNOT, "cz": qml.CZ, "h": qml.Hadamard, "x": qml.PauliX, "y": qml.PauliY, "z": qml.PauliZ}
    special |= {"rxx": qml.IsingXX, "ryy": qml.IsingYY, "rzz": qml.IsingZZ}

    def value(a: Angle) -> Any:
        offset = torch.full((rows,), a.offset, dtype=torch.float64)
        return offset if a.parameter is None else offset + a.scale * columns[a.parameter]

    amplitudes, on = torch.ones((rows, 1), dtype=torch.complex128), []
    for gate in circuit.gates:
        if gate.name is G.PREPARE:  # PennyLane prepares once: registers side by side are one
            size = 2 ** len(gate.wires)
            parts = torch.stack([value(a) for a in gate.angles], 1)
            own = torch.complex(parts[:, :size], parts[:, size:] if len(gate.angles) > size else 0 * parts)
            amplitudes, on = (amplitudes[:, :, None] * own[:, None]).flatten(1), [*on, *gate.wires]

    @qml.qnode(qml.device("default.qubit", wires=circuit.n_wires), interface="torch", diff_method="backprop")
    def node() -> Any:
        if on:
            qml.StatePrep(amplitudes, wires=on, validate_norm=False)
        for gate in circuit.gates:
            if gate.name is not G.PREPARE:
                make = special.get(gate.name.value) or getattr(qml, gate.name.value.upper())
                make(*map(value, gate.angles), wires=list(gate.wires))
        return qml.state()

    return torch.as_tensor(node()).to(torch.complex128).expand(rows, 2**circuit.n_wires)


def _read(psi: Any, measurement: Any, readout: Any) -> Any:
    n = psi.shape[1].bit_length() - 1
    if isinstance(measurement, Expectation):
        return torch.stack([t.coefficient * _mean(psi, n, dict(t.factors)) for t in measurement.terms], 1)
    if isinstance(measurement, Probabilities):
        return _first(psi.abs() ** 2, n, measurement.wires).sum(2)
    if isinstance(measurement, State):
        return psi
    out = []
    for i, window in enumerate(measurement.windows):
        x = _first(psi, n, window)
        rho = torch.einsum("bir,bjr->bij", x, x.conj())
        if readout is not None:  # of any matrix the Hermitian part: Re tr(rho H)
            out.append(torch.einsum("bij,kji->bk", rho, readout[i]).real)
            continue
        for letters in itertools.product("IXYZ", repeat=len(window)):
            p = np.ones((1, 1))
            for letter in letters:
                p = np.kron(p, PAULIS[letter])
            out.append(torch.einsum("bij,ji->b", rho, torch.tensor(p)).real[:, None])
    return torch.cat(out, 1)


def _first(values: Any, n: int, wires: tuple[int, ...]) -> Any:
    """(rows, 2**k, 2**(n - k)) with ``wires`` first."""
    rest = [w for w in range(n) if w not in wires]
    moved = values.reshape(-1, *(2,) * n).permute(0, *(1 + w for w in (*wires, *rest)))
    return moved.reshape(len(values), 2 ** len(wires), -1)


def _mean(psi: Any, n: int, letters: dict[int, str]) -> Any:
    moved = psi.reshape(-1, *(2,) * n)
    for wire, letter in letters.items():
        moved = torch.tensordot(moved, torch.tensor(PAULIS[letter]), ([1 + wire], [1])).movedim(-1, 1 + wire)
    return (psi.conj() * moved.reshape(psi.shape)).sum(1).real


def near(found: Any, wanted: Any, tolerance: float) -> None:
    """Every entry to ``tolerance`` times the largest entry wanted, or times 1 where that is larger."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    if wanted.size:
        assert np.abs(found - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())


@pytest.fixture(scope="session")
def zoo() -> SimpleNamespace:
    """`cases`, `oracle`, `near`, `Case` and its ``evolve``."""
    return SimpleNamespace(cases=cases, oracle=oracle, near=near, Case=Case, evolve=evolve, KINDS=KINDS)
