"""`prior-gan`: the map from strings to latents, the copula against scipy, the Born machine against numpy, arms."""

import numpy as np
import pytest
import torch
from attrs import evolve
from scipy import stats

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generator import Arm
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.testing.reference import probabilities, statevector
from qimg_core.verdict import Verdict
from qimg_gan import noise as bits
from qimg_gan.born import KERNELS, BornMachine, law_of, mmd, targets
from qimg_gan.prior import PriorConfig, PriorGan

TINY = PriorConfig(
    size=8, classes=3, wires=4, layers=2, pool=64, depth=3, width=8, batch=4, critic_width=4, critic_steps=2
)


def model(config=TINY, seed=3, **kw):
    return PriorGan(Session(None, seed=seed, **kw), config)


def source(n=24):
    """Bright rows, one place per class."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    pixels = rng.random((n, 8, 8, 1)).astype(np.float32) * 0.2
    for i, c in enumerate(y):
        pixels[i, 2 * c : 2 * c + 2] += 0.7
    return ArraySource(name="rows", pixels=pixels, labels=y)


# -- strings and latents


def test_the_map_from_strings_to_latents_by_hand():
    strings = torch.tensor([[[1, 0], [0, 1], [1, 1]]], dtype=torch.uint8)  # 0.101 and 0.011 in binary, plus 1/16
    wanted = stats.norm.ppf([5 / 8 + 1 / 16, 3 / 8 + 1 / 16])
    spread = np.sqrt((stats.norm.ppf((np.arange(8) + 0.5) / 8) ** 2).mean())
    np.testing.assert_allclose(bits.latents_of(strings)[0], wanted / spread, rtol=1e-6)


def test_one_string_alone_is_a_bernoulli_latent():
    assert bits.latents_of(torch.tensor([[[0, 1, 1]]]))[0].tolist() == pytest.approx([-1, 1, 1])


@pytest.mark.parametrize("depth", [1, 4, 9])
def test_fair_bits_give_normal_latents_of_spread_1(depth):
    z = bits.latents_of(torch.from_numpy(bits.fair(20_000 * depth, 2, 1)).view(20_000, depth, 2)).numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(z.std(0), 1, atol=0.03)
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.03
    if depth == 9:
        assert stats.kstest(z[:, 0], "norm", (0, z[:, 0].std())).pvalue > 1e-3


def test_noise_chooses_all_strings_alike():
    pool = torch.arange(8, dtype=torch.uint8)[:, None]
    drawn = bits.chosen(torch.randn(40_000, generator=torch.Generator().manual_seed(1)), pool)
    counts = np.bincount(drawn[:, 0].numpy(), minlength=8)
    assert stats.chisquare(counts).pvalue > 1e-3
    assert bits.chosen(torch.tensor([-40.0, 40.0]), pool)[:, 0].tolist() == [0, 7]


def test_depths_that_make_no_sense():
    with pytest.raises(DataError, match="1 to 24"):
        bits.norm(0)


# -- the copula


def test_both_is_the_bivariate_normal_distribution():
    for h, k, r in ((0.3, -1.0, 0.6), (0.0, 0.0, -0.5), (1.5, 1.2, 0.95), (-2.0, 0.4, -0.9), (0.7, 0.1, 0.0)):
        wanted = stats.multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([h, k])
        assert bits.both(np.array(h), np.array(k), np.array(r)) == pytest.approx(wanted, abs=1e-6)


def test_the_copula_has_the_strings_marginals_and_pairs_and_no_more():
    rng = np.random.default_rng(5)
    a, b = rng.random((2, 40_000)) < [[0.5], [0.3]]
    strings = np.stack([a, a ^ (rng.random(40_000) < 0.1), b, a ^ b], 1).astype(np.uint8)  # the last: of three wires
    ones, pairs = bits.moments(strings)
    thresholds, root, lost = bits.copula(ones, pairs)
    assert lost < 1e-6
    drawn = bits.copula_strings(thresholds, root, 40_000, seed=1)
    ones_again, pairs_again = bits.moments(drawn)
    np.testing.assert_allclose(ones_again, ones, atol=0.012)
    np.testing.assert_allclose(pairs_again, pairs, atol=0.012)
    parity = [np.mean((s[:, 0] ^ s[:, 2] ^ s[:, 3]) == 0) for s in (strings, drawn)]
    assert parity[0] == 1
    assert parity[1] < 0.8


def test_pairs_that_no_normal_numbers_have_are_told():
    half = np.full(3, 0.5)
    pairs = np.array([[0.5, 0.05, 0.05], [0.05, 0.5, 0.05], [0.05, 0.05, 0.5]])  # three bits, each against the others
    assert bits.copula(half, pairs)[2] > 0.02


def test_bits_that_never_change_are_kept():
    strings = np.zeros((500, 3), dtype=np.uint8)
    strings[:, 0] = 1
    thresholds, root, _ = bits.copula(*bits.moments(strings))
    drawn = bits.copula_strings(thresholds, root, 500, seed=2)
    assert (drawn != strings).mean() < 0.01


# -- the Born machine


def machine(wires=4, seed=2, **kw):
    session = Session(None, seed=1)
    return BornMachine(session, wires, 2, entangled=kw.get("entangled", True), seed=seed, frozen=False)


def test_the_law_and_the_strings_are_those_of_a_statevector():
    born = machine()
    q = born.quantum
    wanted = probabilities(
        statevector(q.circuit, q.circuit.values(np.zeros((1, 0)), q.weights.detach().double().numpy())[0]), range(4)
    )
    np.testing.assert_allclose(born().detach(), wanted, atol=1e-6)
    strings = born.strings(20_000, seed=4)
    counts = np.bincount(strings @ [8, 4, 2, 1], minlength=16)
    assert stats.chisquare(counts, 20_000 * wanted / wanted.sum()).pvalue > 1e-3
    np.testing.assert_allclose(law_of(strings), counts / 20_000)
    np.testing.assert_array_equal(born.strings(50, seed=4), born.strings(50, seed=4))


def test_without_entanglers_wires_are_independent():
    p = machine(entangled=False)().detach().double().numpy().reshape(2, 2, 2, 2)
    single = [p.sum(tuple(a for a in range(4) if a != w)) for w in range(4)]
    np.testing.assert_allclose(p, np.einsum("a,b,c,d->abcd", *single), atol=1e-6)


def test_mmd_equals_the_kernel_matrix():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(8), 2)
    distance = np.array([[(a ^ b).bit_count() for a in range(8)] for b in range(8)])
    wanted = np.mean([(p - q) @ (k**distance) @ (p - q) for k in KERNELS])
    assert float(mmd(torch.from_numpy(p), torch.from_numpy(q))) == pytest.approx(wanted, rel=1e-9)
    assert float(mmd(torch.from_numpy(p), torch.from_numpy(p))) == 0
    with pytest.raises(DataError, match="two laws"):
        mmd(torch.ones(3), torch.ones(3))


def test_targets_are_balanced_and_correlated():
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((4000, 1, 1, 1)) * np.linspace(0, 1, 16).reshape(1, 4, 4, 1)  # one direction only
    whole, parts = targets([pixels], 5, seed=1), targets([pixels[:1000], pixels[1000:]], 5, seed=1)
    np.testing.assert_array_equal(whole, parts)
    np.testing.assert_allclose(whole.mean(0), 0.5)
    assert np.abs(np.abs(np.corrcoef(whole.T)) - 1).max() < 1e-9


# -- the model


def test_training_the_circuit_lowers_the_distance_to_the_images_strings():
    m = model(evolve(TINY, prior_share=0.9, layers=3))
    losses = [s.metrics["loss"] for s in m.fit(source(60), steps=60)][:54]
    assert losses[-1] < 0.5 * losses[0]


def test_one_request_of_one_row_makes_all_latents_and_is_kept():
    m = model()
    assert (m.workload(5000).requests, m.workload(5000).rows, m.workload(5000).total_shots) == (1, 1, 64)
    images = m.sample(5, seed=1)
    m.sample(7, seed=2)
    tally = m.session.log.recorder.tally
    assert (tally.executions, tally.rows, tally.shots) == (1, 1, 64)
    (entry,) = m.session.ledger.entries(kind="prior.sampled")
    kept = np.unpackbits(np.frombuffer(m.session.ledger.get(entry.facts["strings"]), np.uint8).reshape(64, 1), axis=1)
    np.testing.assert_array_equal(kept[:, :4], m.prior.pool)
    assert images.record["model"]["prior"]["strings"] == entry.facts["strings"]
    assert (images.quantum, images.simulated) == (True, True)


def test_cached_strings_make_the_same_images_without_a_circuit():
    m = model()
    wanted, state = m.sample(4, seed=1), m.state()
    cached, fresh = model(evolve(TINY, strings="cached"), seed=8), model(seed=8)
    cached.load(state), fresh.load(state)
    assert (cached.workload(4).requests, fresh.workload(4).requests) == (0, 1)
    a, b = cached.sample(4, seed=1), fresh.sample(4, seed=1)
    assert a.digest == b.digest == wanted.digest
    assert (a.quantum, b.quantum) == (False, True)
    assert a.record["model"]["prior"]["cached"] is True
    assert cached.session.log.recorder.tally.executions == 0


def test_weights_of_another_pool_are_refused_and_change_nothing():
    m = model()
    before = m.sample(2, seed=1).digest
    with pytest.raises(WeightsError, match="strings"):
        m.load(model(evolve(TINY, pool=32)).state())
    assert m.sample(2, seed=1).digest == before


def test_arms():
    m = model()
    net = sum(p.numel() for p in m.net.parameters())
    a, twin = m.parameters, m.twin().parameters
    assert (a.layer, a.circuit, a.total) == (24, 24, net + 24)
    assert (twin.layer, twin.circuit, twin.total) == (10, 0, net + 10)
    assert m.separable().parameters == a
    assert m.frozen().parameters.circuit == 0
    assert m.bypass().parameters.total == net
    assert not [g for g in m.separable().quantum.circuit.gates if len(g.wires) > 1]


@pytest.mark.parametrize(("control", "shape"), [("gaussian", (2, 4)), ("bernoulli", (2, 1)), ("prng", (2, 3))])
def test_controls(control, shape):
    m = model(evolve(TINY, arm=Arm.BYPASS, control=control))
    assert m.noise_shape == shape
    z = m.prepared(torch.randn(500, *shape))
    assert z.shape == (500, 8)
    assert z.std() == pytest.approx(1, abs=0.12)
    assert (sorted(z.unique().tolist()) == pytest.approx([-1, 1])) == (control == "bernoulli")
    assert m.sample(2).quantum is False
    assert m.workload(2).rows == 0


def test_the_twin_has_the_pairs_of_the_trained_circuits_strings():
    config = evolve(TINY, prior_share=0.5, pool=4000, arm=Arm.TWIN)
    m, other = model(config), model(evolve(config, arm=Arm.QUANTUM))
    list(m.fit(source(60), steps=20)), list(other.fit(source(60), steps=20))
    mine, theirs = bits.moments(m.prior.pool), bits.moments(other.prior.pool)
    np.testing.assert_allclose(mine[0], theirs[0], atol=0.06)
    np.testing.assert_allclose(mine[1], theirs[1], atol=0.06)
    assert np.abs(theirs[1] - np.outer(theirs[0], theirs[0]))[np.triu_indices(4, 1)].max() > 0.05
    assert m.sample(2).quantum is False


@pytest.mark.parametrize("arm", list(Arm))
@pytest.mark.parametrize("at", [1, 2, 3])
def test_training_goes_on_where_it_was_stopped(arm, at):
    config = evolve(TINY, arm=arm, prior_share=0.5, control="prng")
    whole, first, second = model(config), model(config), model(config)
    list(whole.fit(source(), steps=4))
    steps = first.fit(source(), steps=4)
    for _ in range(at):
        next(steps)
    list(second.fit(source(), steps=4, start=first.training_state()))
    for name, wanted in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], wanted, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"control": "loud"}, "gaussian, bernoulli"),
        ({"size": 10}, "multiple of 4"),
        ({"size": 36}, "multiple of 8"),
        ({"wires": 15}, "2 to 14"),
        ({"prior_share": 1.0}, "prior_share"),
        ({"pool": 0}, "1 or more"),
    ],
)
def test_configurations_that_make_no_sense(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        evolve(TINY, **changes)


def test_the_kit_passes():
    changes = {"size": 8, "classes": 3, "wires": 5, "layers": 1, "pool": 64, "depth": 3, "width": 8, "batch": 4}
    report = conformance.generator("prior-gan", changes={**changes, "critic_width": 4})
    assert report.verdict is Verdict.PASS, report
