"""Read-outs by name: equal to full matrices, in the number of bases they say."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_circuits.observables.adaptive import AdaptiveNonLocal
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.session import Session
from qimg_core.settings import settings_for
from qimg_diffusion.hybrid_unet import HybridUNet, HybridUNetConfig
from qimg_diffusion.layers import QuantumMap, reuploading
from qimg_diffusion.readouts import DiagonalNonLocal, readout

WIRES = 4
WINDOWS = [((2, 0, 1), 2), ((0, 3), 1), ((3, 1), 1), ((1,), 3)]
TINY = HybridUNetConfig(size=8, classes=3, width=4, wires=3, layers=2, observables=2, sample_steps=3)


def random_states(rows, wires=WIRES):
    rng = np.random.default_rng(5)
    psi = rng.standard_normal((rows, 2**wires)) + 1j * rng.standard_normal((rows, 2**wires))
    return psi / np.linalg.norm(psi, axis=1, keepdims=True)


def test_diagonal_features_are_the_means_of_the_matrices_in_dense_states():
    o = DiagonalNonLocal(WINDOWS)
    c = np.random.default_rng(1).standard_normal(o.n_parameters)
    chances = np.abs(random_states(6).reshape(-1, *[2] * WIRES)) ** 2
    signs = np.array([1.0, -1.0])
    data = []
    for term in o.measurement.terms:
        weighted = chances
        for w in term.wires:
            weighted = weighted * signs.reshape([2 if axis == w + 1 else 1 for axis in range(WIRES + 1)])
        data.append(weighted.reshape(6, -1).sum(1))
    got = o.reduce(np.stack(data, 1), c)
    want, at = [], 0
    for wires, count in WINDOWS:
        others = tuple(w + 1 for w in range(WIRES) if w not in wires)
        left = chances.sum(others)  # its axes are the window's wires, ascending
        order = np.argsort(np.argsort(wires))
        marginal = left.transpose(0, *[1 + int(i) for i in order]).reshape(6, -1)
        for _ in range(count):
            want.append(marginal @ c[at : at + 2 ** len(wires)])
            at += 2 ** len(wires)
    assert np.allclose(got, np.stack(want, 1), atol=1e-12)
    half = o.reduce(torch.tensor(np.stack(data, 1), dtype=torch.float32), torch.tensor(c, dtype=torch.float32))
    assert half.dtype == torch.float32
    assert np.allclose(half.numpy(), got, atol=1e-5)


@pytest.mark.parametrize("name", ["pairs", "diagonal"])
def test_through_the_session_a_diagonal_read_out_equals_the_adaptive_one(name):
    """Same circuit, same parameters: the diagonal form measures less and gives the same numbers."""
    encoder, circuit, initial, observable = reuploading(
        WIRES, 2, [((0, 1, 2, 3), 2)], shared=False, seed=1, readout=name
    )
    full = AdaptiveNonLocal([((0, 1, 2, 3), 2), *AdaptiveNonLocal.pairwise(WIRES).windows], diagonal=name == "diagonal")
    assert observable.n_parameters == full.n_parameters
    assert np.array_equal(observable.initial(3), full.initial(3))
    maps = []
    for o in (observable, full):
        torch.manual_seed(0)
        kw = {"encoder": encoder, "circuit": circuit, "observable": o, "initial": initial, "seed": 3}
        maps.append(QuantumMap(Session(None, seed=1), n_in=3, n_out=2, bounded=False, frozen=False, **kw))
    x = torch.randn(5, 3)
    outs = [m(x) for m in maps]
    assert torch.allclose(*outs, atol=1e-5)
    slopes = [
        torch.autograd.grad(o.square().sum(), list(m.parameters()), allow_unused=True)
        for o, m in zip(outs, maps, strict=True)
    ]
    for a, b in zip(*slopes, strict=True):
        assert (a is None and b is None) or torch.allclose(a, b, atol=1e-4)


def test_windows_by_name():
    every = [(0, 1), (0, 2), (1, 2)]
    assert readout("pairs", 3, []).measurement.windows == tuple(every)
    assert readout("sliding", 4, [((0,), 1)], neighbours=3).measurement.windows == ((0,), (0, 1, 2), (1, 2, 3))
    assert readout("global", 3, [((0, 1, 2), 2)]).measurement.windows == ((0, 1, 2),)
    assert readout("global", 3, [((0, 1, 2), 2)]).n_features == 2
    assert readout("diagonal", 3, []).n_features == 3


def test_settings_of_each_read_out_by_a_counting_device():
    """The core's covering says how many bases a device really measures."""
    windows = [((0, 1, 2, 3), 1)]
    found = {name: len(settings_for(readout(name, 4, windows).measurement)) for name in ("pairs", "global", "diagonal")}
    assert found == {"pairs": 3**4, "global": 3**4, "diagonal": 1}
    assert len(settings_for(readout("sliding", 6, [], neighbours=2).measurement)) == 3**2


@pytest.mark.parametrize(
    ("name", "bases"),
    [("pairs", 3**3 + 3 * 3**2), ("sliding", 3**3 + 2 * 3**2), ("global", 3**3), ("diagonal", 1)],
)
def test_the_workload_states_the_bases_and_shots_stay_within(name, bases):
    m = HybridUNet(Session(None, seed=3, shots=10), evolve(TINY, readout=name))
    bound = m.workload(2)
    assert bound.bases == bases
    m.sample(2, seed=1)
    tally = m.session.log.recorder.tally
    assert (tally.executions, tally.rows) == (bound.requests, bound.rows)
    assert 0 < tally.shots <= bound.total_shots


def test_the_default_is_pairs_and_the_twin_keeps_up_with_every_read_out():
    assert HybridUNetConfig().readout == "pairs"
    for name in ("sliding", "global", "diagonal"):
        m = HybridUNet(Session(None, seed=3), evolve(TINY, readout=name))
        assert m.twin().parameters.total == m.parameters.total


def test_the_label_of_a_map_is_in_the_record():
    encoder, circuit, initial, observable = reuploading(2, 1, [], shared=False, seed=1)
    session = Session(None, seed=1)
    kw = {"encoder": encoder, "circuit": circuit, "observable": observable, "initial": initial, "seed": 3}
    m = QuantumMap(session, n_in=3, n_out=2, bounded=False, frozen=False, label="denoiser", **kw)
    assert m.quantum.label == "denoiser"


@pytest.mark.parametrize(
    ("change", "match"),
    [({"readout": "all"}, "readout: wanted one of"), ({"neighbours": 4}, "neighbours"), ({"neighbours": 0}, "neighb")],
)
def test_bad_names_and_windows_are_refused(change, match):
    with pytest.raises(ConfigurationError, match=match):
        evolve(TINY, **change)
    with pytest.raises(ConfigurationError, match="observables=16"):
        readout("global", 3, [])


def test_wrong_shapes_are_refused():
    o = DiagonalNonLocal([((0, 1), 1)])
    with pytest.raises(DataError, match="measured"):
        o.reduce(np.zeros((2, 4)), np.zeros(4))
    with pytest.raises(DataError, match="trained parameters"):
        o.reduce(np.zeros((2, 3)), np.zeros(3))
