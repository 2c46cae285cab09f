"""The device: exact under its bound, labelled above, refusing what it was not fitted for; against the reference."""

import json

import numpy as np
import pytest
from attrs import evolve

from qimg_classical import plugin
from qimg_classical.backend import ClassicalBackend
from qimg_classical.fitting import fit
from qimg_classical.surrogate_file import from_bytes, to_bytes
from qimg_classical.training_set import choose, table
from qimg_core import (
    CircuitBuilder,
    Expectation,
    LocalStates,
    Probabilities,
    Registry,
    Samples,
    Session,
    State,
    hookimpl,
    pauli,
)
from qimg_core.capabilities import DeviceKind, GradientMethod
from qimg_core.errors import CapabilityError, ConfigurationError, DataError, WeightsError
from qimg_core.hooks import BackendSpec
from qimg_core.ledger import MemoryLedger
from qimg_core.mitigation import Mitigation
from qimg_core.noise import parse_noise
from qimg_core.proposals import Proposals
from qimg_core.routing import Hop, plan_for
from qimg_core.testing import ReferenceBackend
from qimg_simulator.backend import SimulatorBackend

X = np.random.default_rng(4).uniform(-3, 3, (7, 2))


class Reference:
    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="reference", target="qimg_core.testing:ReferenceBackend")]


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(plugin, "classical")
    found.register(Reference(), "reference")
    return found


@pytest.fixture(scope="module")
def stand_in(make_lab, tmp_path_factory):
    """The file of a surrogate of `Lab.mixed`, whose series is whole."""
    lab = make_lab()
    made = fit(lab.learn(lab.mixed(), 180, Expectation([pauli("Z2"), pauli("Z0 Z2")])), kind="fourier")
    path = tmp_path_factory.mktemp("files") / "mixed.safetensors"
    path.write_bytes(to_bytes(made))
    return path


@pytest.fixture
def device(stand_in):
    return ClassicalBackend(str(stand_in), max_wires=2)


def asked(lab, **changes):
    return evolve(lab.request(lab.mixed(), X, Expectation([pauli("Z2"), pauli("Z0 Z2")])), **changes)


@pytest.mark.parametrize(
    "measurement",
    [Expectation([pauli("X0 Z2")]), LocalStates([(2, 0)]), Probabilities([2, 0, 1]), State()],
    ids=["expectation", "local states", "probabilities", "state"],
)
def test_the_exact_path_is_the_reference(lab, measurement):
    request = lab.request(lab.mixed(), X, measurement)
    raw = ClassicalBackend().run(request)
    np.testing.assert_allclose(raw.data, ReferenceBackend().run(request).data, atol=1e-12)
    assert (raw.kind, raw.error, raw.shots) == (DeviceKind.SIMULATOR, None, None)
    assert raw.provider["path"] == "exact simulation"


def test_the_exact_path_samples_with_the_seed(lab):
    request = lab.request(lab.mixed(), X, Samples([2, 0]), shots=9, seed=3)
    raw = ClassicalBackend().run(request)
    np.testing.assert_array_equal(raw.data, SimulatorBackend().run(request).data)
    assert (raw.shots, raw.kind) == (9, DeviceKind.SIMULATOR)


def test_the_bound_is_twelve_wires_and_can_be_set(monkeypatch):
    monkeypatch.delenv("QIMG_CLASSICAL_MAX_WIRES", raising=False)
    assert ClassicalBackend().capabilities.max_wires == 12
    monkeypatch.setenv("QIMG_CLASSICAL_MAX_WIRES", "5")
    assert ClassicalBackend().capabilities.max_wires == 5
    assert ClassicalBackend(max_wires=7).capabilities.max_wires == 7
    for wrong in ("many", "-1", "23", "1.5", "٣"):
        monkeypatch.setenv("QIMG_CLASSICAL_MAX_WIRES", wrong)
        with pytest.raises(ConfigurationError, match="wanted a whole number of wires from 0 to 22"):
            ClassicalBackend()


@pytest.mark.parametrize(("wires", "noise", "fits"), [(4, None, True), (5, None, False), (4, "readout=0.1", True)])
def test_above_the_bound_it_says_how_to_fit_a_surrogate(lab, wires, noise, fits):
    circuit = CircuitBuilder(wires).ry(wires - 1, 0.4).build()
    noise = None if noise is None else parse_noise(noise)
    request = lab.request(circuit, np.zeros((1, 0)), noise=noise)
    device = ClassicalBackend(max_wires=4)
    if fits:
        np.testing.assert_allclose(
            device.run(request).data[0, 0], np.cos(0.4) * (0.8 if noise is not None else 1), atol=1e-12
        )
        return
    for call in (plan_for, lambda d, r: d.run(r)):
        with pytest.raises(CapabilityError, match="wires: wanted 5, offered up to 4 exactly") as caught:
            call(device, request)
        assert f"qimg surrogate fit --circuit {circuit.digest} --out FILE" in str(caught.value)


def test_noise_has_a_bound_of_its_own(lab):
    request = lab.request(CircuitBuilder(11).ry(10, 0.4).build(), np.zeros((1, 0)))
    assert plan_for(ClassicalBackend(), request).n_jobs == 1
    with pytest.raises(CapabilityError, match="wanted 11, offered up to 10 exactly with noise"):
        plan_for(ClassicalBackend(), evolve(request, noise=parse_noise("readout=0.1")))


def test_what_the_simulator_would_refuse_is_refused_by_the_plan(lab):
    samples = lab.request(lab.turn(), np.zeros((1, 1)), Samples([0]))
    state = lab.request(lab.turn(), np.zeros((1, 1)), State(), shots=5)
    for request in (samples, state):
        with pytest.raises(CapabilityError, match="classical cannot run"):
            plan_for(ClassicalBackend(), request)


def test_tensors_keep_their_graph_on_the_exact_path(lab):
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0.4]], dtype=torch.float64, requires_grad=True)
    request = lab.request(lab.turn(), x, weights=torch.zeros(0, dtype=torch.float64))
    assert GradientMethod.BACKPROP in ClassicalBackend().capabilities.gradients
    ClassicalBackend().run(request).data.sum().backward()
    assert x.grad.item() == pytest.approx(-np.sin(0.4))


def test_a_surrogate_answers_and_says_what_it_is(lab, device, stand_in):
    request = asked(lab)
    raw = device.run(request)
    np.testing.assert_allclose(raw.data, ReferenceBackend().run(request).data, atol=1e-8)
    assert (raw.kind, raw.shots, raw.sampling) == (DeviceKind.SURROGATE, None, "none")
    digest = from_bytes(stand_in.read_bytes()).digest
    assert raw.provider == {"path": "surrogate", "surrogate": digest}
    assert raw.error.startswith(f"surrogate {digest}: held-out RMSE ")
    assert "n=45 inputs of 2 numbers" in raw.error
    assert "extrapolate" not in raw.error


def test_with_a_surrogate_the_claims_are_the_weaker_ones(device, stand_in):
    claims = device.capabilities
    assert (claims.kind, claims.max_wires, claims.exact_wires) == (DeviceKind.SURROGATE, 3, 2)
    assert (claims.gradients, claims.contracts) == (frozenset(), False)
    assert ClassicalBackend(str(stand_in)).capabilities.max_wires == 12
    assert ClassicalBackend().capabilities.kind is DeviceKind.SIMULATOR
    assert device.name == f"classical:{stand_in}"


def test_a_small_request_is_simulated_although_a_surrogate_is_there(lab, stand_in):
    raw = ClassicalBackend(str(stand_in), max_wires=3).run(asked(lab))
    assert (raw.kind, raw.error) == (DeviceKind.SIMULATOR, None)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("circuit", lambda lab: {"circuit": lab.mixed().then(CircuitBuilder(3).gate("x", 0).build())}),
        ("measurement", lambda lab: {"measurement": Expectation([pauli("Z2")])}),
        ("weights", lambda lab: {"weights": np.array([0.25])}),
        ("weights", lambda lab: {"weights": np.full((7, 1), 0.2)}),
        ("noise", lambda lab: {"noise": parse_noise("depolarizing=0.1")}),
        ("mitigation", lambda lab: {"mitigation": Mitigation(readout=True)}),
        ("readout", lambda lab: {"readout": (np.eye(2, dtype=complex)[None],)}),
    ],
)
def test_a_surrogate_refuses_what_it_was_not_fitted_for(lab, device, field, change):
    request = asked(lab, **change(lab))
    for call in (device.run, lambda r: plan_for(device, r)):
        with pytest.raises(CapabilityError) as caught:
            call(request)
        assert [m.field for m in caught.value.mismatches] == ["wires", field]


def test_tensors_are_refused_by_a_surrogate(lab, device):
    torch = pytest.importorskip("torch")
    request = asked(lab, inputs=torch.tensor(X), weights=torch.tensor([0.2], dtype=torch.float64))
    with pytest.raises(CapabilityError, match="torch tensors"):
        plan_for(device, request)
    with pytest.raises(CapabilityError, match="arrays: wanted torch tensors, offered numpy"):
        device.run(request)


def test_rows_outside_of_the_training_range_are_counted(lab, device):
    inputs = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, -7.0], [1.0, 1.0]])
    raw = device.run(asked(lab, inputs=inputs))
    assert raw.provider["extrapolates"] == "2 rows"
    assert "2 of 4 rows extrapolate: their error was not measured" in raw.error


def test_no_shots_are_pretended(lab, device):
    raw = device.run(asked(lab, shots=500, seed=3))
    np.testing.assert_array_equal(raw.data, device.run(asked(lab)).data)
    assert (raw.shots, raw.sampling) == (None, "none")
    assert "500 shots were asked and none were taken" in raw.error


def test_the_record_says_surrogate_and_its_error(lab, registry, stand_in, monkeypatch):
    monkeypatch.setenv("QIMG_CLASSICAL_MAX_WIRES", "2")
    with Session(None, seed=1, backend=f"classical:{stand_in}", registry=registry) as session:
        result = session.execute(asked(lab))
        assert session.device_kinds == {"surrogate"}
        session.flush()
        admitted = next(e for e in session.ledger.entries(kind="plan.admitted"))
        rows = next(e for e in session.ledger.entries(kind="executions"))
        line = json.loads(session.ledger.get(rows.artefacts["rows"]))
    assert result.record.device_kind == line["device_kind"] == "surrogate"
    assert line["error"] == result.record.error
    assert "held-out RMSE" in line["error"]
    stood = admitted.facts["snapshot"]["data"]["surrogate"]
    assert stood["digest"] == from_bytes(stand_in.read_bytes()).digest
    assert admitted.facts["device_kind"] == "surrogate"


def test_a_chain_falls_back_to_it_only_where_it_is_named(lab, registry, stand_in, monkeypatch):
    monkeypatch.setenv("QIMG_CLASSICAL_MAX_WIRES", "2")
    first = Hop("reference", wires=2)
    with Session(None, backend=first, fallback=[f"classical:{stand_in}"], registry=registry) as session:
        record = session.execute(asked(lab)).record
    assert (record.asked_backend, record.ran_backend) == ("reference", f"classical:{stand_in}")
    assert record.device_kind == "surrogate"
    assert "up to 2 by the chain's limit" in record.fallback_reason
    with Session(None, backend=first, registry=registry) as session, pytest.raises(CapabilityError):
        session.execute(asked(lab))


class WithoutGradients(SimulatorBackend):
    """A device as remote ones are: numpy only, so that what it answers is kept as proposals."""

    name = "elsewhere"

    @property
    def capabilities(self):
        return evolve(super().capabilities, gradients=(), contracts=False)


def test_images_that_a_surrogate_helped_to_make_are_not_quantum(tmp_path):
    pytest.importorskip("qimg_diffusion")
    log = MemoryLedger()

    def images(backend, **changes):
        with Session(log, seed=1, backend=backend, activity="generate", **changes) as session:
            model = session.generator("hybrid-unet", wires=2, layers=1, observables=1, width=4)
            return model.sample(4, condition=[3], seed=2)

    assert images(WithoutGradients(), proposals="keep").quantum
    made = fit(table(choose(Proposals(log), {}), log.origin), kind="fourier")
    (tmp_path / "layer.safetensors").write_bytes(to_bytes(made))
    before = len(list(Proposals(log)))
    stand_in = ClassicalBackend(str(tmp_path / "layer.safetensors"), max_wires=0)
    assert not images(stand_in, proposals="keep").quantum
    assert len(list(Proposals(log))) == before > 10  # what a surrogate answers is not learned from


def test_the_snapshot_names_the_surrogate_and_is_stable(device, stand_in):
    assert device.snapshot().digest == ClassicalBackend(str(stand_in), max_wires=2).snapshot().digest
    assert device.snapshot().digest != ClassicalBackend(str(stand_in), max_wires=1).snapshot().digest
    assert ClassicalBackend().snapshot().data["surrogate"] is None
    assert ClassicalBackend().snapshot().data["exact_wires"] == 12


def test_a_file_that_is_not_there_or_changed_is_refused_before_anything_is_written(registry, stand_in, tmp_path):
    with pytest.raises(WeightsError, match="cannot read the surrogate .* No such file"):
        ClassicalBackend(str(tmp_path / "none.safetensors"))
    blob = bytearray(stand_in.read_bytes())
    blob[-3] ^= 4
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(bytes(blob))
    with Session(None, backend=f"classical:{changed}", registry=registry) as session:
        with pytest.raises(WeightsError, match="changed after it was written"):
            session.backend()
        assert not session.log.started


def test_amplitudes_of_another_norm_are_the_callers_mistake(lab):
    b = CircuitBuilder(1)
    circuit = b.gate("prepare", 0, angles=(b.input("a"), b.input("b"))).build()
    with pytest.raises(DataError, match="norm"):
        ClassicalBackend().run(lab.request(circuit, np.array([[1.0, 1.0]])))


def test_registering_the_plugin_imports_nothing_heavy():
    import subprocess
    import sys

    code = "import sys, qimg_classical.plugin; print([m for m in ('torch','numpy','safetensors') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
