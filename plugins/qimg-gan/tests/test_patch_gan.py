"""`patch-gan`: a patch against a numpy statevector, the critic's loss against closed forms, arms, labels, resuming."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generator import Arm
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.testing.reference import probabilities, statevector
from qimg_core.verdict import Verdict
from qimg_gan.critic import Critic, critic_loss
from qimg_gan.patch import PatchConfig, PatchGan

TINY = PatchConfig(size=8, patches=8, classes=3, layers=3, batch=4, critic_width=4, critic_steps=2, sample_batch=3)


def source(n=24, size=8, classes=3, labels=True):
    """Bright rows, one place per class."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    pixels = rng.random((n, size, size, 1)).astype(np.float32) * 0.2
    for i, c in enumerate(y):
        pixels[i, 2 * c : 2 * c + 2] = 0.9
    return ArraySource(name="rows", pixels=pixels, labels=y if labels else None)


def model(config=TINY, seed=3, **kw):
    return PatchGan(Session(None, seed=seed, **kw), config)


@pytest.mark.parametrize("scale", ["max", "trained"])
def test_pixels_are_those_of_a_statevector_given_that_the_ancilla_reads_0(scale):
    m = model(evolve(TINY, scale=scale, classes=1))
    noise = np.array([[0.3, -1.0, 0.0, 2.0]], dtype=np.float32)
    pixels = m.sample(1, noise=noise).pixels[0, :, :, 0]
    angles = np.pi / 2 * np.array([0.617911, 0.158655, 0.5, 0.977250])  # the normal distribution's table
    weights = m.quantum.weights.detach().double().numpy()
    for row in range(8):
        circuit = m.quantum.circuit
        state = statevector(circuit, circuit.values(angles[None], weights[row])[0])
        p = probabilities(state, [3, 0, 1, 2])[:8]
        p = p / p.sum()
        wanted = p / p.max() if scale == "max" else 1 - np.exp(-2 * p)
        np.testing.assert_allclose(pixels[row], wanted, atol=2e-5)


def test_all_patches_are_one_request_with_a_weight_vector_each(monkeypatch):
    m, seen = model(), []
    run = type(m.session.backend()).run
    monkeypatch.setattr(type(m.session.backend()), "run", lambda self, r: (seen.append(r), run(self, r))[1])
    m.sample(5)
    assert [(r.rows, r.groups) for r in seen] == [(24, 8), (16, 8)]
    work = m.workload(5)
    assert (work.requests, work.rows) == (2, 40)


def test_the_label_reaches_the_sampler():
    m = model()
    noise = np.zeros((3, 4), dtype=np.float32)
    a, b, c = m.sample(3, condition=[0, 1, 2], noise=noise).pixels
    assert min(np.abs(a - b).max(), np.abs(b - c).max(), np.abs(a - c).max()) > 1e-3


def test_the_penalty_and_the_distance_of_a_linear_critic():
    class Linear(Critic):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def forward(self, pixels, labels):
            return 3 * pixels.flatten(1)[:, 0]

    real, fake = torch.full((2, 1, 8, 8), 0.75), torch.full((2, 1, 8, 8), 0.25)
    y, where = torch.zeros(2, dtype=torch.long), torch.tensor([0.1, 0.9])
    loss, distance = critic_loss(Linear(), real, fake, y, where, penalty=10.0)
    assert float(distance) == pytest.approx(1.5)  # 3 (0.75 - 0.25)
    assert float(loss) == pytest.approx(10 * (3 - 1) ** 2 - 1.5)


def test_the_critic_sees_the_class_unless_there_is_one():
    x = torch.rand(2, 1, 8, 8)
    torch.manual_seed(1)
    several, one = Critic(size=8, channels=1, classes=3), Critic(size=8, channels=1, classes=1)
    a, b = (several(x, torch.full((2,), k)) for k in (0, 1))
    assert (a - b).abs().max() > 1e-4
    assert torch.equal(one(x, torch.zeros(2, dtype=torch.long)), one(x, torch.zeros(2, dtype=torch.long)))


def test_arms():
    m = model()
    a, twin = m.parameters, m.twin().parameters
    assert a.circuit == 8 * 3 * 4 * 3
    assert (twin.layer, twin.total, twin.circuit) == (a.layer, a.total, 0)
    assert m.separable().parameters == a
    assert not [g for g in m.separable().quantum.circuit.gates if len(g.wires) > 1]
    assert m.frozen().parameters.circuit == 0
    assert m.bypass().quantum is None
    assert m.bypass().workload(3).rows == 0


def test_separable_patches_do_not_hear_the_ancilla():
    m = model(evolve(TINY, arm=Arm.SEPARABLE, classes=1, scale="max"))
    a, b = m.sample(2, noise=np.array([[0.3, -1, 0.5, -2], [0.3, -1, 0.5, 2]], dtype=np.float32)).pixels
    np.testing.assert_allclose(a, b, atol=1e-5)
    m = model(evolve(TINY, classes=1, scale="max"))
    a, b = m.sample(2, noise=np.array([[0.3, -1, 0.5, -2], [0.3, -1, 0.5, 2]], dtype=np.float32)).pixels
    assert np.abs(a - b).max() > 1e-2


@pytest.mark.parametrize("arm", list(Arm))
def test_training_goes_on_where_it_was_stopped(arm):
    config = evolve(TINY, arm=arm)
    whole = model(config)
    list(whole.fit(source(), steps=4))
    first = model(config)
    steps = first.fit(source(), steps=4)
    next(steps), next(steps)
    second = model(config)
    list(second.fit(source(), steps=4, start=first.training_state()))
    for name, wanted in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], wanted, err_msg=name)


def test_training_brings_the_images_nearer():
    config = evolve(TINY, batch=24, critic_steps=3, critic_rate=3e-3, rate=5e-2, average=0.9, penalty=1.0)
    m = model(config)
    data = source(48)

    def miss():
        made = m.sample(30, condition=[0, 1, 2], seed=1).pixels
        means = np.stack([data.images(range(c, 48, 3)).mean(0) for c in range(3)])
        return float(np.abs(made - np.tile(means, (10, 1, 1, 1))).mean())

    before = miss()
    list(m.fit(data, steps=100))
    assert miss() < 0.8 * before


def test_weights_travel_and_others_are_refused():
    a, b = model(), model(seed=4)
    b.load(a.state())
    noise = np.zeros((2, 4), dtype=np.float32)
    np.testing.assert_array_equal(a.sample(2, noise=noise).pixels, b.sample(2, noise=noise).pixels)
    with pytest.raises(WeightsError):
        model(evolve(TINY, layers=4)).load(a.state())


def test_data_that_it_cannot_learn():
    with pytest.raises(DataError, match="8, 8, 1"):
        model().fit(source(size=6, classes=2), steps=1)
    list(model().fit(source(size=16), steps=1))  # larger ones are shrunk
    with pytest.raises(DataError, match="classes=1"):
        model().fit(source(labels=False), steps=1)
    with pytest.raises(DataError, match="5 classes"):
        model().check_images(
            ArraySource(name="five", pixels=np.zeros((5, 8, 8, 1), dtype=np.float32), labels=np.arange(5))
        )
    list(model(evolve(TINY, classes=1)).fit(source(labels=False), steps=1))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"patches": 7}, "divisor of 64"),
        ({"size": 10}, "multiple of 4"),
        ({"scale": "loud"}, "max, trained"),
        ({"layers": 0}, "1 or more"),
        ({"patches": 64}, "2 to 2048 pixels"),
    ],
)
def test_configurations_that_make_no_sense(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        evolve(TINY, **changes)


def test_a_twin_that_cannot_have_as_few_parameters_names_the_fix():
    with pytest.raises(ConfigurationError) as caught:
        model(evolve(TINY, layers=1, arm=Arm.TWIN))
    assert "layers=" in caught.value.hint


def test_the_kit_passes():
    report = conformance.generator(
        "patch-gan", changes={"size": 8, "patches": 8, "layers": 3, "classes": 3, "batch": 4}
    )
    assert report.verdict is Verdict.PASS, report
