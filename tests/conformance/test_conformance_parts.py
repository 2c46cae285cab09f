"""The kits of encoders, ansatzes and observables: the standard ones pass, faulty ones fail at their case."""

import numpy as np
import pytest

from qimg_core.ansatz import Ansatz
from qimg_core.circuit import CircuitBuilder, pauli
from qimg_core.encoder import Encoder
from qimg_core.errors import DataError
from qimg_core.measurement import Expectation, LocalStates
from qimg_core.observable import Observable
from qimg_core.testing import conformance
from qimg_core.verdict import Verdict

pytest.importorskip("torch")
encoders = pytest.importorskip("qimg_circuits.encoders")
ansatzes = pytest.importorskip("qimg_circuits.ansatzes")
observables = pytest.importorskip("qimg_circuits.observables")


def not_passed(report):
    return {r.case: r.outcome.reason for r in report.results if r.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)}


@pytest.mark.parametrize(
    "make",
    [
        lambda: encoders.AmplitudeEncoder(5),
        lambda: encoders.AmplitudeEncoder(4, complex_input=True),
        lambda: encoders.AngleEncoder(3, "z", 2.0),
        lambda: encoders.BasisEncoder(3),
        lambda: encoders.DenseAngleEncoder(2),
        lambda: encoders.PhaseEncoder(3),
    ],
)
def test_standard_encoders_pass(make):
    assert not_passed(conformance.encoder(make)) == {}


def test_standard_ansatzes_and_observables_pass():
    for make in (lambda: ansatzes.HardwareEfficient(3, 2), lambda: ansatzes.RYCZ(3)):
        assert not_passed(conformance.ansatz(make)) == {}
    for make in (
        lambda: observables.PauliStrings(["Z0", "X1 Y0"]),
        lambda: observables.ProbabilityReadout((2, 0)),
        lambda: observables.AdaptiveNonLocal([((2, 0), 2), ((1,), 1)]),
    ):
        assert not_passed(conformance.observable(make)) == {}


class Plain(Encoder):
    """RY of each number; right, and the base of the faulty ones."""

    n_features = 3

    @property
    def circuit(self):
        b = CircuitBuilder(3)
        for w in range(3):
            b.ry(w, b.input(f"x{w}"))
        return b.build()

    def features(self, batch, parameters=None):
        if batch.ndim != 2 or batch.shape[1] != 3 or len(batch) < 1 or not bool((batch == batch).all()):
            raise DataError("wanted (rows, 3)")
        return batch * 1.0


class WeightInEncoder(Plain):
    """A parameter of the wrong role."""

    @property
    def circuit(self):
        b = CircuitBuilder(3)
        for w in range(2):
            b.ry(w, b.input(f"x{w}"))
        return b.ry(2, b.weight("x2")).build()


class BatchNormalised(Plain):
    """A row's features depend on the other rows."""

    def features(self, batch, parameters=None):
        return super().features(batch) - batch.mean(0)


class Spoiling(Plain):
    """Changes the caller's data."""

    def features(self, batch, parameters=None):
        super().features(batch)
        batch *= 2.0
        return batch


class Detached(Plain):
    """Leaves the graph."""

    def features(self, batch, parameters=None):
        out = super().features(batch)
        return out.detach() if hasattr(out, "detach") else out


class TakesAnything(Plain):
    """Refuses nothing."""

    def features(self, batch, parameters=None):
        return batch[:, :3] * 1.0


class RestlessStart(Plain):
    """Starts from the global random numbers."""

    n_parameters = 4

    def initial(self, seed):
        return np.random.normal(size=4)

    def features(self, batch, parameters=None):
        return super().features(batch) * parameters[0]


@pytest.mark.parametrize(
    ("cls", "case"),
    [
        (WeightInEncoder, "E1"),
        (BatchNormalised, "E2"),
        (Spoiling, "E2"),
        (RestlessStart, "E3"),
        (Detached, "E4"),
        (TakesAnything, "E5"),
    ],
)
def test_a_faulty_encoder_is_caught(cls, case):
    assert case in conformance.encoder(cls).failed
    assert conformance.encoder(Plain).failed == ()


class Layer(Ansatz):
    """RY and CX; right."""

    @property
    def circuit(self):
        b = CircuitBuilder(2)
        return b.ry(0, b.weight("a")).ry(1, b.weight("b")).cx(0, 1).build()

    def initial(self, seed):
        return np.random.default_rng(seed).normal(size=2)


class CountsItself(Layer):
    """Another circuit each time."""

    made = 0

    @property
    def circuit(self):
        type(self).made += 1
        b = CircuitBuilder(2)
        return b.ry(0, b.weight(f"a{self.made}")).ry(1, b.weight("b")).build()


class OneTooMany(Layer):
    """A start for three weights."""

    def initial(self, seed):
        return np.zeros(3)


class Idle(Layer):
    """A weight that does nothing: RZ of |0> would, RZ(w) RZ(-w) does not."""

    @property
    def circuit(self):
        b = CircuitBuilder(2)
        w = b.weight("b")
        return b.ry(0, b.weight("a")).rz(1, w).rz(1, -w).build()


@pytest.mark.parametrize(("cls", "case"), [(CountsItself, "A1"), (OneTooMany, "A2"), (Idle, "A3")])
def test_a_faulty_ansatz_is_caught(cls, case):
    assert case in conformance.ansatz(cls).failed
    assert conformance.ansatz(Layer).failed == ()


class Trained(Observable):
    """c times <Z0>, one trained number on the Pauli vector of wire 0; right."""

    measurement = LocalStates([(0,)])
    n_features = 1
    n_parameters = 1

    def initial(self, seed):
        return np.random.default_rng(seed).normal(size=1)

    def reduce(self, data, parameters=None):
        if data.ndim != 2 or data.shape[1] != 4 or parameters.shape != (1,):
            raise DataError("wanted (rows, 4) and (1,)")
        return data[:, 3:] * parameters[0]

    def readout(self, parameters):
        return (np.array([[[1, 0], [0, -1]]]) * (parameters[0] + 0j),)


class Squared(Trained):
    """Not linear."""

    def reduce(self, data, parameters=None):
        return super().reduce(data, parameters) ** 2


class Moody(Trained):
    """Measures something else after it was used."""

    used = False

    @property
    def measurement(self):
        return Expectation([pauli("Z0")]) if self.used else LocalStates([(0,)])

    def initial(self, seed):
        self.used = True
        return super().initial(seed)


class OtherMatrix(Trained):
    """The read-out's matrix is not that of `reduce`."""

    def readout(self, parameters):
        return (super().readout(parameters)[0][:, ::-1, ::-1],)


class TakesAllParameters(Trained):
    """Refuses nothing."""

    def reduce(self, data, parameters=None):
        return data[:, 3:4] * parameters[0]


@pytest.mark.parametrize(
    ("cls", "case"), [(Moody, "O1"), (Squared, "O2"), (TakesAllParameters, "O3"), (Squared, "O4"), (OtherMatrix, "O5")]
)
def test_a_faulty_observable_is_caught(cls, case):
    assert case in conformance.observable(cls).failed
    assert conformance.observable(Trained).failed == ()
