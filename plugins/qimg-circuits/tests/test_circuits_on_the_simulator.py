"""The components on qimg's own simulator, where it is installed: whole requests, shots, lowering."""

from __future__ import annotations

import numpy as np
import pytest

from qimg_circuits.ansatzes import Alternating, ClusterMixing, Convolution, StronglyEntangling
from qimg_circuits.encoders import AmplitudeEncoder, DenseAngleEncoder, ReuploadEncoder
from qimg_circuits.observables import AdaptiveNonLocal, combined
from qimg_core.circuit.rewrite import MINIMAL
from qimg_core.execution import ExecutionRequest
from qimg_core.lowering import lower

backend_module = pytest.importorskip("qimg_simulator.backend")


@pytest.fixture
def device():
    return backend_module.SimulatorBackend()


def reuploading_request(rng, observable, **more):
    encoder, ansatz = ReuploadEncoder(DenseAngleEncoder(4), 2), StronglyEntangling(4, 4, spread=3.0)
    features = encoder.features(rng.normal(size=(3, 8)), encoder.initial(0))
    return ExecutionRequest(
        circuit=encoder.weave(ansatz),
        inputs=features,
        weights=ansatz.initial(1),
        measurement=observable.measurement,
        **more,
    )


def test_simulator_agrees_with_the_dense_reference(device, rng, states, pauli_vectors):
    observable = combined(AdaptiveNonLocal.all_wires(4), AdaptiveNonLocal.pairwise(4))
    request = reuploading_request(rng, observable)
    psi = states(request.circuit, request.inputs, request.weights)
    wanted = pauli_vectors(psi, observable.measurement.windows)
    np.testing.assert_allclose(device.run(request).data, wanted, atol=1e-10)


def test_contracted_readout_is_reduce(device, rng):
    observable = combined(AdaptiveNonLocal.all_wires(4, count=2), AdaptiveNonLocal.pairwise(4))
    w = observable.initial(3)
    plain = device.run(reuploading_request(np.random.default_rng(1), observable)).data
    contracted = device.run(reuploading_request(np.random.default_rng(1), observable, readout=observable.readout(w)))
    np.testing.assert_allclose(contracted.data, observable.reduce(plain, w), atol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_ten_thousand_shots_stay_within_the_stated_interval(device, k):
    """Adaptive observables through LocalStates: the error in units of the stated one is like a normal number."""
    observable = AdaptiveNonLocal.combinatorial(4, k, per_window=2)
    w = observable.initial(3)
    exact = device.run(reuploading_request(np.random.default_rng(2), observable)).data
    shots = device.run(reuploading_request(np.random.default_rng(2), observable, shots=10_000, seed=5)).data
    error = observable.reduce(shots, w) - observable.reduce(exact, w)
    score = error / observable.standard_error(w, 10_000, exact)
    assert np.abs(score).max() < 4.5
    assert 0.5 < np.sqrt((score**2).mean()) < 1.5


def test_lowered_amplitude_circuit_gives_the_same_features(device, rng):
    encoder = AmplitudeEncoder(16, complex_input=True)
    ansatz = Alternating((Convolution(4, 2, "core"), ClusterMixing(4, 2)))
    observable = AdaptiveNonLocal.all_wires(4, count=2)
    request = ExecutionRequest(
        circuit=encoder.circuit.then(ansatz.circuit),
        inputs=encoder.features(rng.normal(size=(5, 32))),
        weights=ansatz.initial(2),
        measurement=observable.measurement,
    )
    lowered, words = lower(request, MINIMAL)
    assert {g.name for g in lowered.circuit.gates} <= MINIMAL
    assert any("prepare" in word for word in words)
    np.testing.assert_allclose(device.run(lowered).data, device.run(request).data, atol=1e-10)
