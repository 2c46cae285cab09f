"""The cosine schedule and DDIM against closed forms."""

import math

import numpy as np
import pytest
import torch

from qimg_core.errors import ConfigurationError
from qimg_diffusion.schedule import cosine, ddim, mixed, unddim, visited

LABELS = torch.zeros(1, dtype=torch.int64)


def test_the_schedule_in_closed_form():
    a = cosine(1000).numpy()
    t = np.arange(1001) / 1000
    f = np.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    assert a[0] == 1
    assert np.allclose(a[:-1], f[:-1] / f[0], rtol=1e-9)
    beta = 1 - a[1:] / a[:-1]
    assert beta.max() == pytest.approx(0.999)  # only the last is cut: f ends in 0
    assert beta[-2] < 0.9
    assert 0 < a[-1] < 1e-8
    assert (np.diff(a) < 0).all()
    assert a[500] == pytest.approx(0.4938, abs=1e-4)  # cos^2(pi / 2 * 0.508 / 1.008) / cos^2(pi / 2 * 0.008 / 1.008)


def test_mixing_keeps_the_variance():
    x, e = torch.randn(2, 200_000, generator=torch.Generator().manual_seed(1))
    for share in (0.0, 0.3, 1.0):
        assert mixed(x, e, torch.tensor(share)).var() == pytest.approx(1, abs=0.02)
    rows = mixed(torch.ones(2, 3), torch.zeros(2, 3), torch.tensor([0.25, 1.0]))
    assert torch.allclose(rows, torch.tensor([[0.5] * 3, [1.0] * 3]))


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_with_the_exact_noise_ddim_recovers_the_data(steps):
    g = torch.Generator().manual_seed(2)
    data, noise = torch.randn(2, 4, 3, generator=g, dtype=torch.float64)
    a = cosine(50)
    x = mixed(data, noise, a[-1])
    got = ddim(lambda x, t, y: noise, x, LABELS, a, steps=steps)
    assert torch.allclose(got, data, atol=1e-10)
    assert torch.allclose(unddim(lambda x, t, y: noise, data, LABELS, a, steps=steps), x, atol=1e-10)


def test_with_one_gaussians_score_ddim_gives_that_gaussian():
    """Data N(m, s^2): the noise expected in x_t is sqrt(1 - a) (x_t - sqrt(a) m) / (a s^2 + 1 - a)."""
    m, s, a = 1.5, 0.4, cosine(1000)

    def exact(x, t, labels):
        b = a[t][:, None]
        return (1 - b).sqrt() * (x - b.sqrt() * m) / (b * s * s + 1 - b)

    start = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    end = ddim(exact, start, LABELS, a, steps=1000)
    # the ODE of a Gaussian is linear: every start goes to m + s * start
    assert torch.allclose(end, m + s * start, atol=0.01)
    assert end.mean() == pytest.approx(m, abs=0.01)
    assert end.std() == pytest.approx(s, abs=0.01)
    few = ddim(exact, start, LABELS, a, steps=30)
    assert few.std() == pytest.approx(s, rel=0.1)
    back = unddim(exact, end, LABELS, a, steps=1000)
    assert torch.corrcoef(torch.stack([back[:, 0], start[:, 0]]))[0, 1] > 0.999


def test_the_sampler_asks_once_a_step_from_the_last_time_down():
    asked, seen = [], []

    def predict(x, t, labels):
        asked.append(int(t[0]))
        return torch.zeros_like(x)

    ddim(predict, torch.ones(1, 2), LABELS, cosine(10), steps=4, trace=lambda k, t, x: seen.append((k, t)))
    assert asked == visited(10, 4)[:-1]
    assert asked[0] == 10
    assert visited(10, 4)[-1] == 0
    assert seen == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert visited(6, 6) == [6, 5, 4, 3, 2, 1, 0]


def test_bad_numbers_are_refused():
    with pytest.raises(ConfigurationError, match="times"):
        cosine(1)
    for steps in (0, 11):
        with pytest.raises(ConfigurationError, match="sample_steps"):
            ddim(lambda x, t, y: x, torch.ones(1, 2), LABELS, cosine(10), steps=steps)
