"""`latent-mmd`: its loss against double sums and a closed form, slope, arms, training, the kit."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_circuits.quantum_kernels_named import KINDS, Kernel
from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.noise import parse_noise
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.verdict import Verdict
from qimg_gan.moment_matching import LatentMmd, MomentConfig, moment_loss

SMALL = {"size": 8, "classes": 3, "latent": 3, "noise": 2, "wires": 2, "layers": 2, "compressor_width": 4}
TINY = MomentConfig(**SMALL, compressor_batch=8, batch=8)


def model(config=TINY, seed=3, **kw):
    return LatentMmd(Session(None, seed=seed, **kw), config)


def source(n=24):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    pixels = rng.random((n, 8, 8, 1)).astype(np.float32) * 0.2
    for i, c in enumerate(y):
        pixels[i, 2 * c : 2 * c + 2] += 0.7
    return ArraySource(name="rows", pixels=pixels, labels=y)


def normal(seed, n, d=2, move=0.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)) + move)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_double_sum_over_pairs_of_one_class(kind):
    session, kernel = Session(None, seed=1), Kernel(kind=kind, wires=2, powers=(1, 2))
    x, y, labels = normal(1, 6), normal(2, 6), [0, 1, 0, 2, 1, 0]

    def k(a, b, i, j):
        return float(kernel.matrix(session, a[None], b[None])) * (labels[i] == labels[j])

    own = sum(k(v[i], v[j], i, j) for v in (x, y) for i in range(6) for j in range(6) if i != j) / 30
    cross = sum(k(x[i], y[j], i, j) for i in range(6) for j in range(6)) / 36
    got = moment_loss(session, kernel, x, y, torch.tensor(labels))
    np.testing.assert_allclose(float(got), own - 2 * cross, atol=1e-9)


def test_mean_loss_is_the_closed_form_for_gaussians_and_0_without_a_difference():
    # E exp(-a |z|^2) = (1 + 2 a v)^(-d/2) exp(-a |m|^2 / (1 + 2 a v)) for z ~ N(m, v I); here v = 2 and a = s^2 / 4
    session, d, s, m = Session(None, seed=1), 2, 1.2, 0.9
    kernel, a = Kernel(kind="gaussian", wires=d, scale=s, entangled=False), s * s / 4
    wanted = 2 * (1 + 4 * a) ** (-d / 2) * (1 - np.exp(-a * d * m * m / (1 + 4 * a)))
    one = torch.zeros(40, dtype=torch.int64)
    for move, value in ((m, wanted), (0.0, 0.0)):
        found = [
            float(moment_loss(session, kernel, normal(k, 40, d), normal(1000 + k, 40, d, move), one))
            for k in range(200)
        ]
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found) - value) < 4 * error
        assert error < 0.006
    assert wanted > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_slope_against_finite_differences(kind):
    session, kernel = Session(None, seed=1), Kernel(kind=kind, wires=2, powers=(1, 2))
    x, y, labels = normal(1, 4).requires_grad_(), normal(2, 4), torch.tensor([0, 1, 0, 1])
    assert torch.autograd.gradcheck(lambda v: moment_loss(session, kernel, v, y, labels), (x,), atol=1e-6)


def test_arms_exchange_circuit_and_kernel():
    m = model()
    a, twin = m.parameters, m.twin().parameters
    assert abs(twin.layer - a.layer) <= 0.02 * a.layer and twin.circuit == 0
    used = {arm: evolve(TINY, arm=arm).used_kernel for arm in Arm}
    assert used[Arm.QUANTUM].quantum and used[Arm.QUANTUM].entangled and used[Arm.FROZEN] == used[Arm.QUANTUM]
    assert used[Arm.SEPARABLE].quantum and not used[Arm.SEPARABLE].entangled
    assert not used[Arm.TWIN].quantum and not used[Arm.BYPASS].quantum
    assert used[Arm.TWIN].width == used[Arm.QUANTUM].width
    assert used[Arm.QUANTUM].powers == (1, 2, 4)
    assert "critic" not in m.describe() and m.describe()["kernel"]["kind"] == "fidelity"


def test_a_classical_twin_runs_no_circuit_in_training_and_sampling():
    m = model(evolve(TINY, arm=Arm.TWIN))
    list(m.fit(source(), steps=4))
    m.sample(2, seed=1)
    assert m.session.log.recorder.tally.executions == 0
    q = model()
    list(q.fit(source(), steps=4))
    assert q.session.log.recorder.tally.executions > 0


@pytest.mark.parametrize("arm", [Arm.QUANTUM, Arm.TWIN])
@pytest.mark.parametrize("at", [1, 3])
def test_training_goes_on_where_it_was_stopped(arm, at):
    config = evolve(TINY, arm=arm, compressor_share=0.5)
    whole, first, second = model(config), model(config), model(config)
    list(whole.fit(source(), steps=4))
    steps = first.fit(source(), steps=4)
    for _ in range(at):
        next(steps)
    list(second.fit(source(), steps=4, start=first.training_state()))
    for name, wanted in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], wanted, err_msg=name)


def test_training_lowers_the_discrepancy():
    # latents of a known law stand for encoded images: after training, made ones are no longer told apart from them
    m = model(evolve(TINY, classes=1, batch=64, average=0.9, rate=0.02, kernel="projected"))
    target = normal(5, 400, 3, move=0.8).float()
    images = ArraySource(name="any", pixels=np.zeros((400, 8, 8, 1), np.float32), labels=None)
    losses = [s.metrics["loss"] for s in m.adversarial_steps(lambda rows: target[rows], images, 150, before=0)]
    assert np.mean(losses[:5]) > 0.05
    assert np.mean(losses[-20:]) < 0.25 * np.mean(losses[:5])


def test_shots_and_noise_are_refused_for_a_quantum_kernel_before_anything_runs():
    for given in ({"shots": 50}, {"noise": parse_noise("depolarizing=0.01")}):
        m = model(**given)
        with pytest.raises(ConfigurationError, match="exact numbers"):
            m.fit(source(), steps=2)
        assert m.session.log.recorder.tally.executions == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kernel": "cubic"}, "kind"),
        ({"latent": 13}, "latent"),
        ({"rungs": 0}, "rungs"),
        ({"kernel_scale": -1.0}, "kernel_scale"),
        ({"size": 10}, "multiple of 4"),
    ],
)
def test_configurations_that_make_no_sense(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        evolve(TINY, **changes)


def test_the_kit_passes():
    report = conformance.generator("latent-mmd", changes={**SMALL, "batch": 8})
    assert report.verdict is Verdict.PASS, report
