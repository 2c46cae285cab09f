"""`latent-gan`: a latent vector against a numpy statevector, noise in every layer, arms, training in two phases."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, WeightsError
from qimg_core.generator import Arm
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.verdict import Verdict
from qimg_gan.critic import LatentCritic
from qimg_gan.latent import LatentConfig, LatentGan

TINY = LatentConfig(
    size=8,
    classes=3,
    latent=3,
    noise=2,
    wires=2,
    layers=2,
    compressor_width=4,
    compressor_batch=8,
    batch=4,
    critic_width=8,
    critic_steps=2,
)


def model(config=TINY, seed=3, **kw):
    return LatentGan(Session(None, seed=seed, **kw), config)


def source(n=24):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    pixels = rng.random((n, 8, 8, 1)).astype(np.float32) * 0.2
    for i, c in enumerate(y):
        pixels[i, 2 * c : 2 * c + 2] += 0.7
    return ArraySource(name="rows", pixels=pixels, labels=y)


def test_noise_and_class_set_every_angle_of_every_layer():
    m = model()
    q, read_in = m.quantum, m.layer.read_in
    assert (q.circuit.n_inputs, read_in.in_features, read_in.out_features) == (2 * 2 * 2, 2 + 3, 8)
    used = {g.angles[0].parameter for g in q.circuit.gates if g.angles}
    assert set(q.circuit.input_indices) <= used
    assert (read_in.weight[:, :2].abs() > 0).all()  # the noise reaches all of them


def test_a_latent_vector_is_a_linear_read_out_of_the_measured_state():
    from qimg_core.testing.reference import statevector

    m = model()
    noise, y = torch.tensor([[0.4, -1.1]]), torch.tensor([2])
    with torch.no_grad():
        found = m.net(noise, y)[0].double().numpy()
        x = torch.tensor([[0.4, -1.1, 0.0, 0.0, 1.0]])
        q = m.quantum
        inputs = m.layer.read_in(x).double().numpy()
        state = statevector(q.circuit, q.circuit.values(inputs, q.weights.double().numpy())[0])
        rho = np.outer(state, state.conj())
        single = {"I": np.eye(2), "X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}
        pairs = [np.kron(single[a], single[b]) for a in "IXYZ" for b in "IXYZ"]
        vector = np.array([[np.trace(rho @ p).real for p in pairs]])
        features = q.observable.reduce(torch.from_numpy(vector), q.observable_parameters.double())
        wanted = (features @ m.layer.read_out.weight.double().T + m.layer.read_out.bias.double())[0].numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_images_are_decoded_latent_vectors():
    m = model()
    noise = np.array([[0.5, -0.5]], dtype=np.float32)
    image = m.sample(1, noise=noise, condition=[1]).pixels
    with torch.no_grad():
        z = m.net(torch.from_numpy(noise), torch.tensor([1]))
        wanted = m.compressor.pixels(z * m.compressor.spread + m.compressor.mean)
    np.testing.assert_allclose(image[0, :, :, 0], wanted[0, 0].numpy(), atol=1e-6)


def test_arms():
    m = model()
    a, twin = m.parameters, m.twin().parameters
    assert (a.circuit, a.observable) == (12, 16)
    assert a.layer == a.total == 12 + 16 + 5 * 8 + 8 + m.layer.read_out.weight.numel() + 3
    assert (twin.layer, twin.total, twin.circuit) == (a.layer, a.total, 0)
    assert m.separable().parameters == a
    assert not [g for g in m.separable().quantum.circuit.gates if len(g.wires) > 1]
    assert m.frozen().parameters.circuit == 0
    assert m.bypass().parameters.layer == 5 * 3 + 3
    assert m.workload(300).requests == 2
    same = [model(evolve(TINY, arm=arm)).compressor.state_dict() for arm in Arm]
    assert all(torch.equal(s["decoder.0.weight"], same[0]["decoder.0.weight"]) for s in same)


def test_the_critic_of_vectors_sees_the_class():
    torch.manual_seed(0)
    critic, x = LatentCritic(n=3, classes=2, width=8), torch.randn(5, 3)
    a, b = (critic(x, torch.full((5,), k)) for k in (0, 1))
    assert a.shape == (5,)
    assert (a - b).abs().max() > 1e-3


@pytest.mark.parametrize("arm", list(Arm))
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


@pytest.mark.slow
def test_training_learns_which_rows_are_bright():
    config = evolve(TINY, noise=3, wires=3, compressor_batch=32, batch=32, compressor_share=0.4, average=0.9)
    m = model(config)
    list(m.fit(source(60), steps=1500))
    for k in range(3):
        rows = m.sample(12, condition=[k], seed=1).pixels.mean((0, 2, 3))
        bright = rows[2 * k : 2 * k + 2].mean()
        assert bright > np.delete(rows, [2 * k, 2 * k + 1]).mean() + 0.2


def test_weights_of_another_model_are_refused():
    with pytest.raises(WeightsError):
        model().load(model(evolve(TINY, latent=4)).state())


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"size": 10}, "multiple of 4"), ({"wires": 1}, "2 to 10"), ({"compressor_share": 0.0}, "compressor_share")],
)
def test_configurations_that_make_no_sense(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        evolve(TINY, **changes)


def test_the_kit_passes():
    changes = {"size": 8, "classes": 3, "latent": 3, "noise": 2, "wires": 2, "layers": 2, "compressor_width": 4}
    report = conformance.generator("latent-gan", changes={**changes, "batch": 4, "critic_width": 8})
    assert report.verdict is Verdict.PASS, report
