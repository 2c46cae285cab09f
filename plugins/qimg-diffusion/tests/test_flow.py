"""Flow matching against closed forms: exact fields, the linear ODE, the guidance formula."""

import numpy as np
import pytest
import torch

from qimg_core.errors import ConfigurationError
from qimg_diffusion.flow import METHODS, between, calls, draw_times, flow_loss, guided, solve, unsolve
from qimg_diffusion.optimise import Optimiser, TrainingDiverged, learning_rate


def labels(n, value=0):
    return torch.full((n,), value, dtype=torch.int64)


def test_loss_is_zero_for_the_exact_field_and_not_for_another():
    torch.manual_seed(0)
    noise, t, shift = torch.randn(16, 3), torch.rand(16), torch.tensor([1.0, -2.0, 0.5])
    data = noise + shift  # one line per row, all of direction `shift`

    def exact(x, t, y):
        return shift.expand_as(x)

    assert flow_loss(exact, data, noise, t, labels(16)) == pytest.approx(0, abs=1e-12)
    assert flow_loss(lambda x, t, y: exact(x, t, y) + 1, data, noise, t, labels(16)) == pytest.approx(1, rel=1e-5)


def test_between_meets_both_ends():
    a, b = torch.randn(4, 1, 2, 2), torch.randn(4, 1, 2, 2)
    assert torch.equal(between(a, b, torch.zeros(4)), a)
    assert torch.equal(between(a, b, torch.ones(4)), b)


def test_a_constant_field_is_solved_exactly_by_one_step():
    x = torch.randn(5, 2)
    assert torch.allclose(solve(lambda x, t, y: torch.ones_like(x), x, labels(5), steps=1), x + 1)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("heun-euler", 2)])
def test_order_of_the_solvers_on_a_linear_equation(method, order):
    # dx/dt = (1 + t) x has x(1) = x(0) e^{3/2}
    x = torch.ones(1, 1, dtype=torch.float64)
    errors = [
        abs(
            float(solve(lambda x, t, y: (1 + t[:, None].double()) * x, x, labels(1), steps=n, method=method))
            - np.exp(1.5)
        )
        for n in (20, 40)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_the_way_back_undoes_the_way_there(method):
    torch.manual_seed(1)
    field = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))

    def velocity(x, t, y):
        return field(x) * (1 + t[:, None]) + y[:, None]

    x, y = torch.randn(8, 4), torch.arange(8) % 3
    with torch.no_grad():
        there = solve(velocity, x, y, steps=25, method=method)
        back = unsolve(velocity, there, y, steps=25, method=method, sweeps=8)
    assert (there - x).abs().max() > 0.5
    assert torch.allclose(back, x, atol=1e-4)


def test_guidance_formula_and_one_call_for_both_fields():
    rows = []

    def velocity(x, t, y):
        rows.append(len(x))
        return x * 0 + y[:, None].float()

    x, t = torch.zeros(3, 2), torch.zeros(3)
    out = guided(velocity, 2.5, null=10)(x, t, torch.tensor([1, 2, 3]))
    assert torch.allclose(out[:, 0], 10 + 2.5 * (torch.tensor([1.0, 2.0, 3.0]) - 10))
    assert rows == [6]
    assert guided(velocity, 1, null=10) is velocity


def test_trace_sees_every_step_with_its_time():
    seen = []
    solve(lambda x, t, y: x, torch.ones(1, 1), labels(1), steps=4, trace=lambda k, t, x: seen.append((k, t)))
    assert seen == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]


@pytest.mark.parametrize(("method", "asked"), [("euler", 4), ("heun", 8), ("heun-euler", 7)])
def test_how_often_and_where_the_field_is_asked(method, asked):
    times = []

    def velocity(x, t, y):
        times.append(float(t[0]))
        return x

    solve(velocity, torch.ones(1, 1), labels(1), steps=4, method=method)
    assert len(times) == asked == calls(4, method)
    assert max(times) == (1.0 if method == "heun" else 0.75)


def test_times_follow_their_laws():
    rng = np.random.default_rng(0)
    uniform, logit = draw_times(rng, 20000, "uniform"), draw_times(rng, 20000, "logit-normal")
    assert uniform.dtype == logit.dtype == np.float32
    assert uniform.var() == pytest.approx(1 / 12, rel=0.05)
    assert np.log(logit / (1 - logit)).std() == pytest.approx(1, rel=0.03)
    with pytest.raises(ConfigurationError, match="logit-normal"):
        draw_times(rng, 1, "cosine")


def test_bad_solver_settings_are_refused():
    with pytest.raises(ConfigurationError, match="1 step"):
        solve(lambda x, t, y: x, torch.ones(1, 1), labels(1), steps=0)
    with pytest.raises(ConfigurationError, match="heun"):
        solve(lambda x, t, y: x, torch.ones(1, 1), labels(1), steps=1, method="rk9")


def test_learning_rate_rises_then_falls_in_a_line():
    rates = [learning_rate(k, 2000) for k in range(2000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[1000] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.02)
    assert max(rates) <= 1


def test_optimiser_takes_its_groups_averages_and_refuses_nan():
    net = torch.nn.Linear(2, 1)
    before = net.weight.detach().clone()
    optimiser = Optimiser(net, rate=0.0, rates={"bias": 0.1}, decay=0.0)
    optimiser.descend(net(torch.ones(4, 2)).square().mean() + net.bias.sum(), factor=1.0)
    assert torch.equal(net.weight, before)
    keep = 2 / 11
    assert optimiser.averages["bias"] != net.bias
    assert 0 < keep < 1
    with pytest.raises(TrainingDiverged, match="step 2"):
        optimiser.descend(net(torch.full((1, 2), float("nan"))).sum(), factor=1.0)
    assert torch.isfinite(net.weight).all()
