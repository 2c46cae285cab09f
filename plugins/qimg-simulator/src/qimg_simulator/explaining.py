"""What the engine would do with a request, in words (imports qimg_core, the programs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.explanation import Explanation
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_simulator.compiled import CompiledProgram, kernels
from qimg_simulator.engine import reading_of
from qimg_simulator.pure import FEW, SAVED_WIRES, PureProgram
from qimg_simulator.steps import Dense, Gather, Phase, Turn

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest
    from qimg_simulator.noisy import NoisyProgram
    from qimg_simulator.steps import Step


def explain(
    program: PureProgram | CompiledProgram | NoisyProgram, request: ExecutionRequest, *, gradient: bool
) -> Explanation:
    """Regime, reasons and steps."""
    if isinstance(program, CompiledProgram):
        return _compiled(program, request, gradient=gradient)
    if not isinstance(program, PureProgram):
        return _noisy(request)
    n, rows, groups = request.circuit.n_wires, request.rows, request.groups or 1
    regime = program.regime(rows, groups)
    heights = None if request.readout is None else tuple(len(h) for h in request.readout)
    entry = program.entry(*reading_of(request.measurement, n, program.like, heights), rows, groups)
    steps, whole = entry.steps, len(entry.parts.steps)
    kind = "real numbers, every gate keeps them real" if program.plan.real else "complex numbers"
    reasons = [f"{kind}; batch last, {rows} rows of {2**n} amplitudes"]
    if request.groups is not None:
        reasons.append(f"{groups} weight vectors, each for {rows // groups} consecutive rows")
    if program.plan.weights_by_row:
        reasons.append("every row brings its weights: rotations are done row by row")
    if regime == "block":
        name = "block unitary"
        reasons.append(
            "rows differ in one rotation of each wire at most, before wires meet: one matrix for all rows, times their "
            "real features"
        )
    else:
        saved = n <= SAVED_WIRES
        name = "saved states" if saved else "reversible"
        if not gradient:
            name, why = "states", "no gradient: nothing is kept"
        elif saved:
            why = f"up to {SAVED_WIRES} wires the states between steps are kept for the way back"
        else:
            why = f"more than {SAVED_WIRES} wires: states computed backwards, the first kept up to a bound"
        reasons.append(why)
        if regime == "grouped":
            reasons.append(f"more than {FEW} weight vectors: blocks of 3 wires at most, matrices are the larger part")
    lines = [_prepared(program)] + [_step(step, n) for step in steps]
    if whole > len(steps):
        lines.append(
            f"not done, for the reading does not see it or reorders itself: the last {whole - len(steps)} steps"
        )
    lines.append(_reading(request))
    return Explanation(
        device="simulator",
        engine="torch, one function with its way back by hand",
        regime=name,
        reasons=tuple(reasons),
        steps=tuple(lines),
    )


def _compiled(program: CompiledProgram, request: ExecutionRequest, *, gradient: bool) -> Explanation:
    found = kernels()
    count = {kind: sum(s.kind == kind for s in program.plan.stages) for kind in ("dense", "phase", "permutation")}
    back = "the way back computes states backwards, block by block" if gradient else "no gradient: nothing is kept"
    return Explanation(
        device="simulator",
        engine=found[1] if found else "kernels",
        regime="compiled kernels",
        reasons=("installed, and they cover the circuit; a block of rows stays in the processor's cache", back),
        steps=(
            "prepare: products of single wires, or amplitudes",
            *(f"{number} {kind} stages" for kind, number in count.items() if number),
            _reading(request),
        ),
    )


def _prepared(program: PureProgram) -> str:
    plan = program.plan
    registers = ", ".join(f"{2 ** len(g.wires)} amplitudes on {len(g.wires)} wires" for g in plan.prepared)
    single = sum(len(s) for s in plan.steps)
    words = f"prepare: a product of single wires from their {single} own gates" if single else "prepare: |0...0>"
    return f"{words}{'; ' + registers if registers else ''}"


def _step(step: Step, n: int) -> str:
    if isinstance(step, Dense):
        first = step.left.bit_length() - 1
        kind = "constant" if step.constant is not None else "from weights"
        return f"matrix of {step.dim} x {step.dim} on wires {first} to {first + step.size - 1}, {kind}"
    if isinstance(step, Gather):
        return "permutation of basis states as one gather"
    if isinstance(step, Turn):
        return f"RY by row on wire {step.left.bit_length() - 1}"
    if isinstance(step, Phase):
        count = {name: t.high.shape[1] for name, t in step.parts.items()}
        shared, rows = count.pop("shared", 0), sum(count.values())
        parts = [f"{shared} angles from weights"] * bool(shared) + [f"{rows} angles by row"] * bool(rows)
        return f"phases: {' and '.join(parts) or 'constant'}"
    return type(step).__name__.lower()


def _reading(request: ExecutionRequest) -> str:
    m, shots = request.measurement, request.shots
    if isinstance(m, Expectation):
        diagonal = all(p == "Z" for t in m.terms for _, p in t.factors)
        what = f"{len(m.terms)} expectation values" + (
            " as signed sums of |psi|^2" if diagonal else " by Pauli strings"
        )
    elif isinstance(m, LocalStates):
        how = "matrices on the windows, no Pauli vectors" if request.readout is not None else "Pauli vectors"
        what = f"{len(m.windows)} windows: {how}"
    elif isinstance(m, Probabilities):
        what = f"probabilities of {len(m.wires)} wires"
    elif isinstance(m, Samples):
        return f"read: {shots} independent shots by inversion of the distribution"
    else:
        what = "the state"
    sampled = "" if shots is None else f"; {shots} shots, counts drawn as multinomials (binomials for terms)"
    return f"read: {what}{sampled}"


def _noisy(request: ExecutionRequest) -> Explanation:
    n = request.circuit.n_wires
    return Explanation(
        device="simulator",
        engine="torch, one function with its way back by hand",
        regime="Pauli transfer",
        reasons=(
            f"noise: density matrices of {n} wires as {4**n} real Pauli coefficients",
            "gates and channels of a wire are one real 4 x 4 matrix",
            "Clifford gates with Pauli noise are one scaled gather",
        ),
        steps=(_reading(request),),
    )
