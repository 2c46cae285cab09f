"""Bit strings as the start of sampling: sources, the map to latents, their training, the record."""

import numpy as np
import pytest
import torch
from attrs import evolve
from scipy.stats import norm

from qimg_core.generator import Arm
from qimg_core.session import Session
from qimg_diffusion.latent_diffusion import LatentDiffusion, LatentDiffusionConfig
from qimg_diffusion.proposals import CircuitSource, ClassicalSource, latents_of, moments, signs_of
from qimg_diffusion.start import Start

BITS = 4
CONFIG = LatentDiffusionConfig(
    start="circuit", size=8, classes=3, compressor="pca", latent=BITS, embedding=2, wires=3, layers=1, times=20,
    sample_steps=2, pool=4000, depth=3, start_layers=2, sample_batch=3,
)  # fmt: skip


def by_numpy(bits):
    signs = 1.0 - 2.0 * bits
    rows, columns = np.triu_indices(bits.shape[1], 1)
    return np.concatenate([signs.mean(0), (signs.T @ signs / len(signs))[rows, columns]])


def a_source(kind, *, entangled=True):
    if kind == "circuit":
        return CircuitSource(Session(None, seed=1), BITS, 2, entangled=entangled, seed=5, frozen=False)
    torch.manual_seed(2)
    return ClassicalSource(BITS, 24)


@pytest.mark.parametrize("kind", ["circuit", "classical"])
def test_the_strings_have_the_moments_that_are_trained(kind):
    source = a_source(kind)
    strings = source.strings(20_000, 3)
    assert strings.shape == (20_000, BITS)
    assert set(np.unique(strings)) == {0, 1}
    with torch.no_grad():
        assert np.abs(by_numpy(strings) - source().numpy()).max() < 5 / np.sqrt(20_000)
    assert np.abs(source().detach().numpy()).max() > 0.05  # there is something to see
    assert np.array_equal(strings, source.strings(20_000, 3))
    assert not np.array_equal(strings, source.strings(20_000, 4))


def test_the_law_of_the_classical_source_is_the_softmax_of_its_map_over_all_strings():
    source = a_source("classical")
    every = torch.tensor([[int(c) for c in f"{k:04b}"] for k in range(16)])
    weights = source.layer(1.0 - 2.0 * every)[:, 0].exp()
    assert torch.allclose(source.law(), weights / weights.sum())


def test_without_entangling_gates_the_bits_are_independent():
    found = a_source("circuit", entangled=False)().detach().numpy()
    means, rows, columns = found[:BITS], *np.triu_indices(BITS, 1)
    assert np.allclose(found[BITS:], means[rows] * means[columns], atol=1e-6)
    found = a_source("circuit")().detach().numpy()
    assert np.abs(found[BITS:] - found[rows] * found[columns]).max() > 0.05


def test_moments_of_latents_by_numpy():
    z = np.random.default_rng(0).standard_normal((300, 3)) @ np.array([[1, 0.5, 0], [0, 1, -0.5], [0, 0, 1]]) + 0.2
    assert np.allclose(signs_of(torch.from_numpy(z)).numpy(), by_numpy((z > 0).astype(float)))
    weights = torch.tensor([0.25, 0.75])
    assert np.allclose(moments(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]), weights), [-0.5, 1.0, -0.5])


def test_strings_become_normal_latents():
    """All fractions of three bits, by scipy; fair and independent bits have spread 1."""
    pool = np.array([[0], [1]], dtype=np.uint8)
    noise = torch.tensor([[-1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    each = norm.ppf((np.arange(8) + 0.5) / 8)
    got = latents_of(noise, pool)[:, 0].numpy()
    assert np.allclose(got, each[[0, 3, 5, 7]] / np.sqrt((each**2).mean()), atol=1e-6)
    many = latents_of(torch.randn(100_000, 6, generator=torch.Generator().manual_seed(1)), pool)
    assert many.mean() == pytest.approx(0, abs=0.02)
    assert many.std() == pytest.approx(1, abs=0.02)


def test_correlated_bits_give_correlated_latents():
    together = np.array([[0, 0, 1], [1, 1, 0]], dtype=np.uint8)
    z = latents_of(torch.randn(500, 4, generator=torch.Generator().manual_seed(1)), together).numpy()
    assert np.allclose(z[:, 0], z[:, 1])
    assert np.corrcoef(z[:, 0], z[:, 2])[0, 1] < -0.99


@pytest.mark.parametrize("arm", ["quantum", "twin"])
def test_a_source_learns_the_signs_of_latents(arm):
    start = Start(Session(None, seed=4), evolve(CONFIG, arm=Arm(arm), start_layers=3))
    z = torch.randn(2000, BITS, generator=torch.Generator().manual_seed(0))
    z[:, 1] = z[:, 0] + 0.3 * z[:, 1]
    before = float((start.source() - signs_of(z)).square().mean().detach())
    losses = [value for _, value in start.train(lambda: z, 150)]
    assert losses[0] == pytest.approx(before)
    assert losses[-1] < 0.2 * before
    pool = start.pool
    assert np.mean(pool[:, 0] == pool[:, 1]) > 0.75  # planted: about 0.9


def test_one_request_for_all_images_which_is_recorded():
    m = LatentDiffusion(Session(None, seed=4), CONFIG)
    assert (m.workload(7).requests, m.workload(7).rows, m.workload(7).shots) == (1, 1, 4000)
    images = m.sample(7, seed=1)
    assert m.session.log.recorder.tally.executions == 1
    assert m.session.log.recorder.tally.shots == 4000
    assert images.quantum
    assert m.workload(7).requests == 0
    assert images.record["model"]["start"]["circuit"] == m.quantum.circuit.digest
    m.session.flush()
    (entry,) = [e for e in m.session.ledger.entries() if e.kind == "start.sampled"]
    kept = np.frombuffer(m.session.ledger.get(entry.facts["artefacts"]["strings"]), dtype=np.uint8).reshape(4000, 1)
    assert np.array_equal(np.unpackbits(kept, axis=1)[:, :BITS], m.start.pool)


def test_where_no_circuit_runs_the_record_says_so():
    for arm in ("twin", "bypass"):
        m = LatentDiffusion(Session(None, seed=4), evolve(CONFIG, arm=Arm(arm)))
        assert not m.sample(2, seed=1).quantum
        assert m.workload(2).requests == 0
    assert m.describe()["start"] == "noise"


def test_images_cannot_be_taken_back_to_strings():
    m = LatentDiffusion(Session(None, seed=4), CONFIG)
    with pytest.raises(NotImplementedError, match="strings"):
        m.invert(m.sample(2, seed=1))
