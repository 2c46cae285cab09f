"""Names, claims, snapshots and failures of PennyLane devices, known and unknown."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pennylane as qml
import pytest
from attrs import evolve

from qimg_core import Budget, Registry, Session
from qimg_core.capabilities import Billing, DeviceKind, MeasurementKind
from qimg_core.circuit import CircuitBuilder, Gate, GateName, PauliString, pauli
from qimg_core.errors import (
    CapabilityError,
    ConfigurationError,
    JobFailed,
    PluginIncompatible,
    ResultError,
    SubmissionUncertain,
    UnknownCost,
    UnknownName,
)
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.testing.reference import ReferenceBackend
from qimg_pennylane.backend import PennyLaneBackend
from qimg_pennylane.devices import facts_of

LOCAL = ["", "lightning.qubit", "default.qubit", "default.mixed", "reference.qubit"]


class Remote(qml.devices.Device):
    """A third party's device: takes shots, knows no seed, has a key."""

    name = "acme"
    fails: Exception | None = None

    def __init__(self, wires: Any = None, shots: Any = None, token: str = "") -> None:
        super().__init__(wires=wires, shots=shots)
        self._inner = qml.device("default.qubit", wires=wires, seed=11)

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        if self.fails is not None:
            raise self.fails
        return self._inner.execute(circuits, self._inner.setup_execution_config())


@pytest.fixture(params=["acme.machine", "ionq.qpu"])
def remote(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(qml.plugin_devices, request.param, SimpleNamespace(load=lambda: Remote))
    monkeypatch.setattr(Remote, "fails", None)
    return str(request.param)


def bell(measurement: Any, shots: int | None = None, **more: Any) -> ExecutionRequest:
    b = CircuitBuilder(2)
    circuit = b.ry(0, b.input("x")).cx(0, 1).build()
    x = np.array([[0.4], [2.0]])
    return ExecutionRequest(
        circuit=circuit, inputs=x, weights=np.zeros(0), measurement=measurement, shots=shots, **more
    )


@pytest.mark.parametrize("device", LOCAL)
def test_local_simulators_are_free_seeded_and_named(device: str) -> None:
    backend = PennyLaneBackend(device)
    caps = backend.capabilities
    assert backend.name == (f"pennylane:{device}" if device else "pennylane")
    assert caps.kind is DeviceKind.SIMULATOR and caps.billing is Billing.FREE and not caps.remote
    assert caps.seeded and caps.analytic and caps.shots == (1, None)
    assert caps.noise == (device == "default.mixed")
    assert (MeasurementKind.STATE in caps.measurements) == (device != "default.mixed")
    r = bell(LocalStates([(1, 0)]))
    np.testing.assert_allclose(backend.run(r).data, ReferenceBackend().run(r).data, atol=1e-10)


def test_snapshots_name_the_device_and_repeat() -> None:
    first, second = (PennyLaneBackend().snapshot() for _ in range(2))
    assert first.device == "lightning.qubit" and first.digest == second.digest
    assert first.data["pennylane"] == qml.__version__ and "pennylane_lightning" in first.data
    single = PennyLaneBackend(options={"c_dtype": np.complex64})
    assert single.snapshot().changed(first) == ("options", "precision")
    assert single.snapshot().data["precision"] == "complex64"
    assert PennyLaneBackend("default.mixed").snapshot().device == "default.mixed"


def test_names_that_are_not_installed_or_of_no_use() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'default.mixed'"):
        PennyLaneBackend("default.mixd")
    with pytest.raises(UnknownName, match="PennyLane device"):
        PennyLaneBackend("strawberry")
    with pytest.raises(ConfigurationError, match="zeros"):
        PennyLaneBackend("null.qubit")
    with pytest.raises(ConfigurationError, match="no qubits"):
        PennyLaneBackend("default.qutrit")
    with pytest.raises(ConfigurationError, match="colour"):
        PennyLaneBackend(options={"colour": "red"})


def test_the_registry_opens_devices_without_importing_pennylane_before() -> None:
    code = (
        "import sys; from qimg_core import Registry; r = Registry()\n"
        "s = r.spec('backend', 'pennylane:default.mixed'); assert s.name == 'pennylane', s\n"
        "assert 'pennylane' not in sys.modules\n"
        "assert r.open_backend('pennylane:default.mixed').name == 'pennylane:default.mixed'\n"
        "assert r.open_backend('pennylane').facts.name == 'lightning.qubit'\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_device_claims_the_least(remote: str) -> None:
    backend = PennyLaneBackend(remote)
    caps = backend.capabilities
    assert caps.remote and caps.billing is Billing.UNKNOWN and not caps.seeded and not caps.analytic
    assert not caps.noise and not caps.gradients and MeasurementKind.STATE not in caps.measurements
    assert caps.kind is (DeviceKind.QPU if remote == "ionq.qpu" else DeviceKind.SIMULATOR)
    assert backend.estimate(Session(None, backend=ReferenceBackend()).plan(bell(Samples((0,)), 5))).high is None
    with pytest.raises(CapabilityError, match="exact"):
        backend.run(bell(Probabilities((0, 1))))
    with pytest.raises(CapabilityError, match="seed"):
        backend.run(bell(Probabilities((0, 1)), 10, require_seed=True))


def test_a_known_name_from_another_package_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(qml.plugin_devices, "lightning.gpu", SimpleNamespace(load=lambda: Remote))
    assert not facts_of("lightning.gpu").local


def test_what_the_caller_knows_of_a_device_replaces_the_claims(remote: str) -> None:
    stated = evolve(facts_of(remote), name="another", local=True, analytic=True)
    backend = PennyLaneBackend(remote, facts=stated)
    assert backend.facts.name == remote and backend.capabilities.billing is Billing.FREE
    r = bell(LocalStates([(1, 0)]))
    np.testing.assert_allclose(backend.run(r).data, ReferenceBackend().run(r).data, atol=1e-10)


def test_an_unknown_device_is_not_used_without_a_budget_for_it(remote: str) -> None:
    with Session(None, seed=1, backend=PennyLaneBackend(remote), registry=Registry(discover=False)) as session:
        with pytest.raises(UnknownCost):
            session.execute(bell(Probabilities((0, 1)), 200))
    allowed = Budget(allow_unknown_cost=True)
    with Session(
        None, seed=1, backend=PennyLaneBackend(remote), registry=Registry(discover=False), budget=allowed
    ) as session:
        result = session.execute(bell(Expectation([pauli("Z0 Z1"), pauli("X0"), pauli("Z1", 2.0)]), 4000))
    exact = ReferenceBackend().run(bell(Expectation([pauli("Z0 Z1"), pauli("X0"), pauli("Z1", 2.0)]))).data
    assert (np.abs(result.data - exact) < 5 * np.sqrt((np.array([1, 1, 4]) - exact**2) / 4000) + 1e-9).all()
    assert result.record.jobs and result.record.raw[0].startswith("sha256:")


def test_failures_of_an_unknown_device_are_uncertain_and_show_no_key(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = PennyLaneBackend(remote, options={"token": "sk-canary"})
    monkeypatch.setattr(Remote, "fails", RuntimeError("401 for sk-canary at https://acme"))
    with pytest.raises(SubmissionUncertain, match=r"401 for \.\.\. at") as caught:
        backend.run(bell(Probabilities((0,)), 5))
    assert "sk-canary" not in str(caught.value) and "sk-canary" not in str(backend.snapshot().data)


def test_failures_of_a_local_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(error: Exception) -> Any:
        def execute(*args: Any, **kwargs: Any) -> Any:
            raise error

        return execute

    backend = PennyLaneBackend("default.qubit")
    for error, ours in (
        (RuntimeError("broken"), JobFailed),
        (qml.exceptions.DeviceError("not here"), CapabilityError),
        (MemoryError(), CapabilityError),
    ):
        monkeypatch.setattr(qml, "execute", failing(error))
        with pytest.raises(ours) as caught:
            backend.run(bell(Probabilities((0,))))
        assert caught.value.__cause__ is error
    for wrong, text in ((np.full((2, 2), np.nan), "not finite|sum to 1"), (np.full((2, 2), 0.4), "sum to 1")):
        monkeypatch.setattr(qml, "execute", lambda tapes, *_, wrong=wrong, **__: [wrong])
        with pytest.raises(ResultError, match=text):
            backend.run(bell(Probabilities((0,))))


def test_calls_from_several_threads_do_not_meet() -> None:
    backend = PennyLaneBackend()
    requests = [bell(Probabilities((0, 1)), 50, seed=k) for k in range(8)]
    alone = [PennyLaneBackend().run(r).data for r in requests]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(lambda r: backend.run(r).data, requests), strict=True):
            assert np.array_equal(one, other)


def test_a_session_records_the_device() -> None:
    with Session(None, seed=1, backend="pennylane:default.qubit") as session:
        result = session.execute(bell(Probabilities((1, 0))))
    assert result.record.ran_backend == "pennylane:default.qubit" and result.record.device_kind == "simulator"


def test_a_device_whose_package_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stim", None)
    with pytest.raises(PluginIncompatible, match="stim"):
        PennyLaneBackend("default.clifford")


CLIFFORD = ["h", "x", "y", "z", "s", "sdg", "cx", "cz", "swap"]


def test_clifford_circuits_on_default_clifford() -> None:
    pytest.importorskip("stim", reason="default.clifford needs stim")
    backend = PennyLaneBackend("default.clifford")
    assert {g.value for g in backend.capabilities.gates} == set(CLIFFORD)
    rng = np.random.default_rng(0)
    gates = [
        Gate(n, [int(w) for w in rng.permutation(4)[: GateName(n).n_wires]]) for n in rng.choice(CLIFFORD, size=40)
    ]
    b = CircuitBuilder(4).build()
    circuit = evolve(b, gates=tuple(gates))
    for measurement in (Expectation([pauli("Z0 Y2"), PauliString((), 2.0)]), LocalStates([(2, 0, 1)])):
        r = ExecutionRequest(circuit=circuit, inputs=np.zeros((2, 0)), weights=np.zeros(0), measurement=measurement)
        np.testing.assert_allclose(backend.run(r).data, ReferenceBackend().run(r).data, atol=1e-10)


def test_rotations_on_default_tensor() -> None:
    pytest.importorskip("quimb", reason="default.tensor needs quimb")
    backend = PennyLaneBackend("default.tensor")
    r = bell(LocalStates([(1, 0)]))
    np.testing.assert_allclose(backend.run(r).data, ReferenceBackend().run(r).data, atol=1e-10)
    with pytest.raises(CapabilityError, match="exact"):
        backend.run(bell(Expectation([pauli("Z0")]), 5))
