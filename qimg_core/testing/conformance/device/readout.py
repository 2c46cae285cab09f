"""C8: expectation values, windows, orders of wires, samples, states (floor 8; imports the bench)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.capabilities import MeasurementKind
from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.pauli import PauliString, pauli
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.circuits import spread
from qimg_core.testing.conformance.compare import agree
from qimg_core.testing.conformance.device.wires import zoo_of

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest
    from qimg_core.measurement import Measurement
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

SIGNS = (("Z", (), 1.0), ("Z", ("x",), -1.0), ("X", ("h",), 1.0), ("X", ("x", "h"), -1.0), ("Y", ("h", "s"), 1.0))
"""Letter, gates on |0>, exact value: by hand."""


def _zoo_request(bench: Bench, n: int, measurement: Measurement, *, rows: int | None = None) -> ExecutionRequest:
    circuit, rng = zoo_of(bench, n, 11), bench.rng("readout", n)
    inputs = spread(rng, rows or bench.rows, circuit.n_inputs)
    return bench.request(circuit, measurement, inputs, spread(rng, 1, circuit.n_weights)[0])


@case("C8.signs", "Z of |0>, X of |+> and Y of |i> are +1, of their opposites -1")
def _signs(bench: Bench, checks: Checks) -> None:
    bench.needs(MeasurementKind.EXPECTATION)
    with bench.site() as site:
        for letter, gates, exact in SIGNS:
            b = CircuitBuilder(2)
            for name in gates:
                b.gate(name, 1)
            request = bench.request(b.build(), Expectation([PauliString(((1, letter),))]))  # type: ignore[arg-type]
            data = bench.run(site.driver, request)
            tolerance = 2 * bench.options.band if bench.noisy else 1e-9 if request.shots else bench.options.tolerance
            checks.near(f"<{letter}> after {' '.join(gates) or 'nothing'}", data, [[exact]], tolerance)


@case("C8.words", "Pauli words of several wires, with coefficients, in the order given")
def _pauli_words(bench: Bench, checks: Checks) -> None:
    bench.needs(MeasurementKind.EXPECTATION)
    bench.needs_wires(3)
    terms = [pauli("Z2"), pauli("X0 Y2", -0.7), pauli("Y1"), pauli("I", 2.5), pauli("Z0 Z1 Z2"), pauli("X1 Z0", 3.0)]
    request = _zoo_request(bench, 3, Expectation(terms))
    with bench.site() as site:
        agree(bench, checks, "six words", request, bench.run(site.driver, request))


@case("C8.windows", "local states of windows whose wires are in any order")
def _windows(bench: Bench, checks: Checks) -> None:
    bench.needs(MeasurementKind.LOCAL_STATES)
    bench.needs_wires(4)
    most = bench.caps.max_window
    chosen = [w for w in ((2, 0), (3,), (0, 1), (1, 2, 0), (3, 0, 2, 1)) if len(w) <= most]
    brief = bench.options.quick or bench.caps.remote or not bench.caps.analytic  # settings grow as 3**wires
    if brief:
        chosen = [w for w in chosen if len(w) <= 2]
    request = _zoo_request(bench, 4, LocalStates(chosen))
    with bench.site() as site:
        agree(bench, checks, f"windows {chosen}", request, bench.run(site.driver, request))
        widest = tuple(range(min(most, bench.options.widest, bench.caps.max_wires)))[::-1]
        if len(widest) > max(map(len, chosen)) and not brief:
            request = _zoo_request(bench, max(4, len(widest)), LocalStates([widest]), rows=1)
            agree(bench, checks, f"the widest window {widest}", request, bench.run(site.driver, request))


@case("C8.orders", "probabilities of wires in any order")
def _orders(bench: Bench, checks: Checks) -> None:
    bench.needs(MeasurementKind.PROBABILITIES)
    bench.needs_wires(3)
    with bench.site() as site:
        for order in ((2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2), (2, 0), (1,)):
            request = _zoo_request(bench, 3, Probabilities(order))
            agree(bench, checks, f"wires {order}", request, bench.run(site.driver, request))


@case("C8.samples", "samples have a column for each wire, in the order given")
def _samples(bench: Bench, checks: Checks) -> None:
    bench.needs(MeasurementKind.SAMPLES)
    bench.needs_wires(3)
    with bench.site() as site:
        for order in ((2, 0, 1), (2, 0), (1,)):
            request = _zoo_request(bench, 3, Samples(order))
            agree(bench, checks, f"wires {order}", request, bench.run(site.driver, request))


@case("C8.state", "amplitudes over all wires, wire 0 most significant")
def _state(bench: Bench, checks: Checks) -> None:
    bench.needs(MeasurementKind.STATE)
    bench.needs_wires(3)
    request = _zoo_request(bench, 3, State())
    with bench.site() as site:
        agree(bench, checks, "three wires", request, bench.run(site.driver, request))


@case("C8.contracted", "a read-out contracted by the device is the trace with its matrices")
def _contracted(bench: Bench, checks: Checks) -> None:
    if not bench.caps.contracts:
        raise NotApplicable("the device does not claim contracted read-outs")
    bench.needs(MeasurementKind.LOCAL_STATES)
    bench.needs_wires(3)
    import numpy as np
    from attrs import evolve

    windows = [w for w in ((2, 0), (1,)) if len(w) <= bench.caps.max_window]
    rng, matrices = bench.rng("contracted"), []
    for window in windows:
        d = 2 ** len(window)
        m = rng.normal(size=(2, d, d)) + 1j * rng.normal(size=(2, d, d))
        matrices.append((m + m.conj().swapaxes(1, 2)) / 2)
    request = evolve(_zoo_request(bench, 3, LocalStates(windows)), readout=tuple(matrices))
    with bench.site() as site:
        data = bench.run(site.driver, request)
    checks.that("a column for each matrix", np.shape(data)[1] == 2 * len(windows), f"got {np.shape(data)}")
    agree(bench, checks, "two matrices on each window", request, data)


CASES = (_signs, _pauli_words, _windows, _orders, _samples, _state, _contracted)
