"""`explain` and `qimg circuit plan`: what is said is what is done."""

import json

import numpy as np
import pytest
import torch

from qimg_circuits.ansatzes.strongly_entangling import StronglyEntangling
from qimg_circuits.encoders.angle import AngleEncoder
from qimg_core.circuit import CircuitBuilder, each
from qimg_core.cli.app import main
from qimg_core.errors import CapabilityError, ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, Probabilities
from qimg_core.noise import parse_noise
from qimg_simulator import compiled
from qimg_simulator.backend import SimulatorBackend


def asked(circuit, rows, weights=None, measurement=None, **changes):
    return ExecutionRequest(
        circuit=circuit,
        inputs=np.zeros((rows, circuit.n_inputs)),
        weights=np.zeros(circuit.n_weights) if weights is None else weights,
        measurement=measurement or Expectation(each("Z", range(circuit.n_wires))),
        **changes,
    )


def layered(n, layers=2):
    return AngleEncoder(n, "x").circuit.then(StronglyEntangling(n, layers).circuit)


@pytest.mark.parametrize(
    ("circuit", "rows", "changes", "regime"),
    [
        (layered(4), 256, {}, "block unitary"),
        (layered(4), 1, {}, "block unitary"),
        (layered(7), 8, {}, "saved states"),
        (layered(8), 256, {}, "saved states"),
        (layered(11), 1, {}, "reversible"),
        (layered(3), 4, {"noise": parse_noise("depolarizing=0.01")}, "Pauli transfer"),
    ],
)
def test_the_regime_by_wires_rows_and_noise(circuit, rows, changes, regime):
    told = SimulatorBackend("torch").explain(asked(circuit, rows, **changes))
    assert told.regime == regime
    assert told.steps[-1].startswith("read: ")
    assert json.loads(json.dumps(told.to_json()))["regime"] == regime


def test_the_steps_that_a_measurement_of_z_does_not_see_are_left_out():
    device = SimulatorBackend("torch")
    seen = device.explain(asked(layered(8), 64))
    assert any("not done" in step for step in seen.steps)
    gathers = sum("permutation" in step for step in seen.steps)
    whole = device.explain(asked(layered(8), 64, measurement=Expectation(each("X", range(8)))))
    assert sum("permutation" in step for step in whole.steps) == gathers + 1


def test_groups_of_weights_are_told():
    circuit = CircuitBuilder(1).build()
    b = CircuitBuilder(2)
    circuit = b.ry(0, b.weight("a")).cx(0, 1).ry(1, b.weight("b")).build()
    told = SimulatorBackend("torch").explain(
        asked(circuit, 64, weights=np.zeros((16, 2)), measurement=Probabilities((0, 1)))
    )
    assert "16 weight vectors, each for 4 consecutive rows" in told.reasons
    assert any("real numbers" in reason for reason in told.reasons)


def test_a_request_that_does_not_fit_is_refused_here_too():
    with pytest.raises(CapabilityError, match="wires"):
        SimulatorBackend("torch").explain(asked(layered(11), 1, noise=parse_noise("depolarizing=0.01")))


def test_an_engine_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr("qimg_simulator.backend.kernels", lambda: None)
    with pytest.raises(ConfigurationError, match="no compiled kernels"):
        SimulatorBackend("kernels")
    assert SimulatorBackend().snapshot().data["kernels"] is None
    with pytest.raises(ConfigurationError, match="simulator:torch"):
        SimulatorBackend("cuda")


@pytest.mark.skipif(compiled.kernels() is None, reason="qimg-kernels is not installed")
def test_compiled_kernels_are_named():
    device = SimulatorBackend("kernels")
    told = device.explain(asked(layered(4), 256))
    assert told.regime == "compiled kernels"
    assert "qimg-kernels" in told.engine
    assert device.snapshot().data["kernels"] == told.engine


def test_the_command_names_device_regime_and_reasons(capsys):
    assert (
        main(
            ["circuit", "plan", "strongly-entangling", "--wires", "4", "--layers", "2", "--backend", "simulator:torch"]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "simulator:torch" in out
    assert "regime" in out
    assert "read: 4 expectation values" in out


def test_the_command_hands_a_large_circuit_over(capsys):
    pytest.importorskip("qimg_pennylane")
    assert main(["circuit", "plan", "strongly-entangling", "--wires", "23", "--layers", "1"]) == 0
    out = capsys.readouterr().out
    assert "handed over from simulator to pennylane:lightning.qubit" in out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_torch_path_gives_the_same_on_cuda():
    circuit = layered(4)
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(64, 4)), rng.normal(size=circuit.n_weights)
    found = []
    for where in ("cpu", "cuda"):
        xt = torch.tensor(x, device=where, requires_grad=True)
        wt = torch.tensor(w, device=where, requires_grad=True)
        request = ExecutionRequest(circuit=circuit, inputs=xt, weights=wt, measurement=Expectation(each("Z", range(4))))
        SimulatorBackend("torch").run(request).data.square().sum().backward()
        found.append((xt.grad.cpu(), wt.grad.cpu()))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
