"""Forward processes, losses and the map between images and states, against closed forms."""

import numpy as np
import pytest
import torch

from qimg_core.errors import DataError
from qimg_diffusion.paper_2602.forward import Schedule, channel, depolarising, gaussian
from qimg_diffusion.paper_2602.losses import infidelity, squared_error, trace_distance
from qimg_diffusion.paper_2602.states import from_noise, to_pixels, to_states


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def haar(rows, d, seed=0):
    z = rng(seed).standard_normal((rows, d, 2)) @ np.array([1, 1j])
    return torch.from_numpy(z / np.linalg.norm(z, axis=1, keepdims=True))


def test_schedule_is_the_released_one():
    s = Schedule.linear(1e-4, 0.02, 10)
    betas = np.linspace(1e-4, 0.02, 11)
    assert s.betas.shape == s.alphas.shape == (12,)
    np.testing.assert_allclose(s.betas[1:], betas, rtol=1e-6)
    assert s.alphas[0] == 1
    np.testing.assert_allclose(float(s.alphas[10]), np.prod(1 - betas[:10]), rtol=1e-6)
    assert 0.91 < float(s.alphas[10]) < 0.92  # far from the paper's a_T -> 0
    assert float(Schedule.linear(0.1, 0.9, 10).alphas[10]) < 1e-3


def test_gaussian_first_step_targets_the_image_itself():
    s = Schedule.linear(0.1, 0.5, 4)
    x = torch.rand(6, 8)
    pairs = gaussian(x, torch.ones(6, dtype=torch.long), s, rng())
    torch.testing.assert_close(pairs.targets, torch.nn.functional.normalize(x, dim=1).to(torch.complex64))
    assert (pairs.purity == 1).all()


def test_gaussian_posterior_mean_lies_where_bayes_puts_it():
    """E[z_{t-1} | z_t, z_0] by conditioning the joint Gaussian, not by the formula of the code."""
    s = Schedule.linear(0.2, 0.7, 3)
    t, rows = 3, 200_000
    noise = rng(5)
    b, a_before = float(s.betas[t]), float(s.alphas[t - 1])
    before = np.sqrt(1 - a_before) * noise.standard_normal(rows)  # z_0 = 0
    now = np.sqrt(1 - b) * before + np.sqrt(b) * noise.standard_normal(rows)
    slope = (before @ now) / (now @ now)
    pairs = gaussian(torch.zeros(1, 4), torch.tensor([t]), s, rng())
    torch.testing.assert_close(pairs.targets, pairs.inputs)  # parallel for z_0 = 0, and unit vectors
    a = float(s.alphas[t])
    assert abs(slope - np.sqrt(1 - b) * (1 - a_before) / (1 - a)) < 0.01


def test_channel_is_the_composition_of_its_steps():
    psi = haar(1, 8)[0]
    rho = torch.outer(psi, psi.conj())
    steps = rho
    for p in (0.1, 0.3, 0.2):
        steps = (1 - p) * steps + p * torch.eye(8) / 8
    torch.testing.assert_close(channel(rho, 0.9 * 0.7 * 0.8), steps)
    assert abs(torch.trace(channel(rho, 0.4)).real - 1) < 1e-12


def test_depolarising_inputs_average_to_the_channel():
    s = Schedule.linear(0.1, 0.9, 4)
    image = torch.tensor([[3.0, 1.0, 0.0, 2.0]])
    n, t = 40_000, 2
    pairs = depolarising(image.repeat(n, 1), torch.full((n,), t), s, rng(2))
    mean = torch.einsum("ri,rj->ij", pairs.inputs, pairs.inputs.conj()) / n
    clean = torch.nn.functional.normalize(image, dim=1)[0].to(torch.complex64)
    wanted = channel(torch.outer(clean, clean.conj()), float(s.alphas[t]))
    assert (mean - wanted).abs().max() < 5 / np.sqrt(n)
    assert (pairs.purity == s.alphas[t - 1]).all()
    torch.testing.assert_close(torch.linalg.vector_norm(pairs.inputs, dim=1), torch.ones(n))


@pytest.mark.parametrize("a", [1.0, 0.8, 0.3, 0.0])
def test_losses_against_density_matrices(a):
    d = 6
    psi, s = haar(4, d, 1), haar(4, d, 2)
    purity = torch.full((4,), a, dtype=torch.float64)
    for i in range(4):
        p = np.outer(psi[i].numpy(), psi[i].numpy().conj())
        sigma = a * np.outer(s[i].numpy(), s[i].numpy().conj()) + (1 - a) * np.eye(d) / d
        fidelity = np.vdot(psi[i].numpy(), sigma @ psi[i].numpy()).real
        distance = abs(np.linalg.eigvalsh(p - sigma)).sum() / 2
        assert abs(float(infidelity(psi, s, purity)[i]) - (1 - fidelity)) < 1e-12
        assert abs(float(trace_distance(psi, s, purity)[i]) - distance) < 1e-10


def test_pure_states_give_the_textbook_distances():
    psi, s, one = haar(5, 4, 1), haar(5, 4, 2), torch.ones(5, dtype=torch.float64)
    f = torch.from_numpy(np.abs(np.einsum("ri,ri->r", psi.numpy().conj(), s.numpy())) ** 2)
    torch.testing.assert_close(trace_distance(psi, s, one), (1 - f).sqrt())
    torch.testing.assert_close(infidelity(psi, s * np.exp(0.7j), one), 1 - f)  # a global phase is no difference
    torch.testing.assert_close(squared_error(psi, s, one), torch.from_numpy(np.mean(np.abs((psi - s).numpy()) ** 2, 1)))
    assert float(squared_error(psi, -psi, one).min()) > 0.9  # and here it is one


def test_squared_error_of_a_mixed_target_is_its_expectation():
    psi, s = haar(1, 4, 1), haar(1, 4, 2)
    draws = haar(200_000, 4, 3)
    keep = torch.from_numpy(rng(4).random(len(draws)) < 0.6)[:, None]
    sampled = torch.where(keep, s, draws)
    one = torch.ones(len(draws), dtype=torch.float64)
    mean = squared_error(psi.expand_as(sampled), sampled, one).mean()
    exact = squared_error(psi, s, torch.tensor([0.6], dtype=torch.float64))[0]
    assert abs(float(mean - exact)) < 5e-3


def test_the_slope_is_finite_where_two_states_meet():
    psi = haar(1, 4).clone().requires_grad_()
    trace_distance(psi, psi.detach(), torch.ones(1, dtype=torch.float64)).sum().backward()
    assert torch.isfinite(psi.grad).all()


def test_released_order_of_normalising_and_resizing():
    x = rng().random((3, 28, 28, 1), dtype=np.float32)
    plain = torch.from_numpy(x)[..., 0]
    unit = plain / torch.linalg.vector_norm(plain, dim=(1, 2), keepdim=True)
    wanted = torch.nn.functional.interpolate(unit[:, None], size=(16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(to_states(x, "released"), wanted.reshape(3, 256))
    norms = torch.linalg.vector_norm(to_states(x, "released"), dim=1)
    assert ((norms - 1).abs() > 0.2).all()
    other = to_states(x, "resize-first")
    torch.testing.assert_close(torch.linalg.vector_norm(other, dim=1), torch.ones(3))
    assert (torch.nn.functional.cosine_similarity(other, wanted.reshape(3, 256)) < 0.9999).all()
    small = rng().random((2, 16, 16, 1), dtype=np.float32)
    torch.testing.assert_close(to_states(small, "released"), to_states(small, "resize-first"))


def test_area_average_of_whole_blocks():
    blocks = rng().random((1, 16, 16, 1), dtype=np.float32)
    torch.testing.assert_close(
        to_states(blocks.repeat(2, 1).repeat(2, 2), "resize-first"), to_states(blocks, "released")
    )


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((1, 28, 28, 1), np.float32), "all black"),
        (np.full((1, 28, 28, 1), np.nan, np.float32), "NaN"),
        (np.ones((1, 28, 28, 3), np.float32), "grey"),
        (np.ones((28, 28), np.float32), "shape"),
    ],
)
def test_what_is_no_state_is_refused(pixels, said):
    with pytest.raises(DataError, match=said):
        to_states(pixels, "released")


def test_pixels_are_rescaled_image_by_image():
    a = torch.rand(3, 256) + 0.5
    states = a * torch.exp(2j * torch.pi * torch.rand(3, 256))
    for rescale, low in (("minmax", a.amin(1, keepdim=True)), ("max", torch.zeros(3, 1))):
        pixels = to_pixels(states, rescale).reshape(3, 256)
        torch.testing.assert_close(pixels, (a - low) / (a.amax(1, keepdim=True) - low), atol=1e-5, rtol=0)


def test_noise_becomes_unit_states():
    noise = rng().standard_normal((4, 2, 16, 16)).astype(np.float32)
    z = from_noise(noise)
    flat = noise.reshape(4, 2, 256)
    wanted = flat[:, 0] + 1j * flat[:, 1]
    np.testing.assert_allclose(z.numpy(), wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
