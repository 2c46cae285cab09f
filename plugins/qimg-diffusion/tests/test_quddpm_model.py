"""`quddpm` at a tiny size: a backward step against dense matrices, arms, training, resuming, conformance, baselines."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generator import Arm
from qimg_core.noise import parse_noise
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.testing.reference import statevector
from qimg_core.verdict import Verdict
from qimg_diffusion.quddpm import ensembles
from qimg_diffusion.quddpm.adversarial import Critic, fit_adversarially
from qimg_diffusion.quddpm.backward import QuantumStep
from qimg_diffusion.quddpm.config import QuDDPMConfig
from qimg_diffusion.quddpm.model import QuDDPM, share
from qimg_diffusion.quddpm.together import fit_together

TINY = QuDDPMConfig(layers=5, timesteps=3, batch=8, pool=12, sample_batch=3)
DATA = ensembles.cluster(24, 2, seed=5)


def model(config=TINY, seed=3, **kw):
    return QuDDPM(Session(None, seed=seed, **kw), config)


def haar(n, wires=2, seed=0):
    return torch.from_numpy(ensembles.haar(n, wires, np.random.default_rng(seed)))


def dense(step, x):
    """Post-measurement states (rows, K, d) and chances (rows, K) from a dense statevector."""
    circuit, out = step.quantum.circuit, []
    for row in x.numpy():
        values = circuit.values(np.concatenate([row.real, row.imag])[None], step.quantum.weights.detach().numpy())[0]
        out.append(statevector(circuit, values).reshape(x.shape[1], -1).T)
    phi = np.array(out)
    chances = (np.abs(phi) ** 2).sum(2)
    return phi / np.sqrt(chances)[..., None], chances


@pytest.mark.parametrize("ancillas", [1, 2])
def test_all_outcomes_are_those_of_a_dense_statevector(ancillas):
    step = QuantumStep(Session(None, seed=1), evolve(TINY, ancillas=ancillas), 0)
    x = haar(4)
    states, chances = step(x, None)
    wanted, p = dense(step, x)
    np.testing.assert_allclose(chances.detach().numpy(), p, atol=1e-12)
    np.testing.assert_allclose(states.detach().numpy(), wanted, atol=1e-10)
    np.testing.assert_allclose(chances.sum(1).detach().numpy(), 1)


def test_drawn_outcomes_occur_with_their_probabilities():
    step = QuantumStep(Session(None, seed=1), evolve(TINY, ancillas=2), 0)
    x = haar(1).expand(4000, 4)
    wanted, p = dense(step, x[:1])
    u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    states, weights = step(x, u)
    assert torch.equal(weights, torch.ones_like(weights))
    near = np.abs(np.einsum("kd,nd->nk", wanted[0].conj(), states[:, 0].detach().numpy())) > 1 - 1e-9
    np.testing.assert_allclose(near.mean(0), p[0], atol=1e-3)


def test_one_measured_step_cannot_clean_more_than_its_ancillas_take():
    """On average over Haar-random inputs, <psi|rho|psi> <= 2**(ancillas - wires) for any angles and any psi.

    The Kraus operators A_k of the step give rho = sum_k A_k A_k^dag / d, and each A_k adds at most 1 / d.
    """
    x = torch.eye(4, dtype=torch.complex128)  # the four basis states have the mean state of Haar-random ones
    largest = {}
    for arm in (Arm.QUANTUM, Arm.SEPARABLE):
        values = []
        for seed in range(12):
            step = QuantumStep(Session(None, seed=seed), evolve(TINY, arm=arm, layers=4, spread=3.0), 0)
            states, chances = step(x, None)
            rho = torch.einsum("nk,nki,nkj->ij", chances.to(states.dtype), states, states.conj()) / 4
            values.append(torch.linalg.eigvalsh(rho).max().item())
        largest[arm] = max(values)
    assert 0.3 < largest[Arm.QUANTUM] <= 0.5 + 1e-9
    assert np.isclose(largest[Arm.SEPARABLE], 0.25)


def test_training_steps_are_shared_out_from_the_last_time_to_the_first():
    for steps, timesteps in ((7, 3), (6, 3), (2, 3), (20, 1), (100, 40)):
        got = [share(k, steps, timesteps) for k in range(steps)]
        times = [t for t, _, _ in got]
        assert times == sorted(times, reverse=True)
        assert max(times.count(t) for t in set(times)) - min(times.count(t) for t in set(times)) <= 1
        for t, own, of in got:
            assert of == times.count(t)
            assert own == [k for k, u in enumerate(times) if u == t].index(
                [i for i, g in enumerate(got) if g == (t, own, of)][0]
            )


def test_training_lowers_the_loss_and_only_touches_the_circuit_of_its_time():
    m = model(evolve(TINY, wires=1, timesteps=2, batch=24, pool=50, warm=False))
    before = {k: v.copy() for k, v in m.state().items()}
    losses, seen = {}, None
    for step in m.fit(ensembles.cluster(24, 1, seed=5), steps=60):
        losses.setdefault(step.metrics["time"], []).append(step.metrics["loss"])
        if step.step == 30:
            seen = {k: v.copy() for k, v in m.state().items()}
    assert np.array_equal(seen["0.quantum.weights"], before["0.quantum.weights"])
    assert not np.array_equal(seen["1.quantum.weights"], before["1.quantum.weights"])
    assert np.array_equal(m.state()["1.quantum.weights"], seen["1.quantum.weights"])
    for values in losses.values():
        assert np.mean(values[-5:]) < 0.5 * np.mean(values[:3])


@pytest.mark.parametrize("arm", ["quantum", "twin"])
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_training_that_was_interrupted_goes_on_exactly(stop, arm):
    config = evolve(TINY, arm=arm, outcomes="sampled")
    whole, first, second = model(config), model(config), model(config)
    list(whole.fit(DATA, steps=8))
    steps = first.fit(DATA, steps=8)
    for _ in range(stop):
        next(steps)
    kept = {k: np.array(v) for k, v in first.training_state().items()}
    assert [s.step for s in second.fit(DATA, steps=8, start=kept)] == list(range(stop + 1, 9))
    a, b = whole.state(), second.state()
    assert all(np.array_equal(a[k], b[k]) for k in a)
    with pytest.raises(WeightsError):
        second.fit(DATA, steps=8, start={**kept, "weights/extra": np.zeros(1)})
    with pytest.raises(WeightsError, match="done"):
        second.fit(DATA, steps=8, start={})


@pytest.mark.parametrize("config", [TINY, QuDDPMConfig(), QuDDPMConfig(wires=1, layers=4)], ids=["tiny", "two", "one"])
def test_arms_have_the_parameters_they_should(config):
    m = model(config)
    p = m.parameters
    assert p.total == p.circuit == config.timesteps * config.layers * 2 * (config.wires + 1)
    assert m.twin().parameters.total == p.total
    assert m.separable().parameters == p
    assert m.frozen().parameters.total == m.bypass().parameters.total == 0


def test_bypass_returns_its_noise_and_frozen_does_not_learn():
    m = model(evolve(TINY, arm=Arm.BYPASS))
    list(m.fit(DATA, steps=3))
    noise = np.random.default_rng(0).normal(size=(2, 11)).astype(np.float32)
    psi = noise[:, :4] + 1j * noise[:, 4:8]
    got = m.sample(2, noise=noise)
    assert np.allclose(got.amplitudes, psi / np.linalg.norm(psi, axis=1)[:, None], atol=1e-6)
    assert not got.quantum
    f = model(evolve(TINY, arm=Arm.FROZEN))
    before = f.state()
    list(f.fit(DATA, steps=3))
    assert all(np.array_equal(before[k], v) for k, v in f.state().items())


def test_separable_has_no_gate_on_two_wires():
    circuit = model(evolve(TINY, arm=Arm.SEPARABLE)).net[0].quantum.circuit
    assert {g.name.value for g in circuit.gates if len(g.wires) > 1} == {"prepare"}


@pytest.mark.parametrize("loss", ["mmd2", "sinkhorn", "trace"])
def test_other_losses_train(loss):
    m = model(evolve(TINY, timesteps=1, layers=4, loss=loss, batch=24, pool=50))
    losses = [s.metrics["loss"] for s in m.fit(DATA, steps=25)]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    m = model(evolve(TINY, timesteps=1, loss="wasserstein", outcomes="sampled", forward="depolarising"))
    assert all(np.isfinite(s.metrics["loss"]) for s in m.fit(DATA, steps=2))


def test_a_sample_depends_on_its_noise_and_not_on_its_batch():
    m, one = model(), model(evolve(TINY, sample_batch=1))
    a, b = m.sample(4, seed=2), one.sample(4, seed=2)
    assert np.allclose(a.amplitudes, b.amplitudes)
    assert a.quantum
    assert a.simulated
    assert np.array_equal(a[:2].amplitudes, m.sample(2, seed=2).amplitudes)
    entry = m.session.ledger.entry(a.entry)
    kept = np.frombuffer(m.session.ledger.get(entry.facts["settings"]["amplitudes"]), "<c16").reshape(4, 4)
    assert np.array_equal(kept, a.amplitudes)


def test_what_cannot_be_learned_or_made_is_refused():
    images = ArraySource(name="rows", pixels=np.zeros((4, 4, 4, 3), np.uint8))
    for wrong in (images, ensembles.circle(5), ensembles.cluster(1, 2)):
        with pytest.raises(DataError):
            model().fit(wrong, steps=3)
    with pytest.raises(ConfigurationError):
        model().fit(DATA, steps=0)
    with pytest.raises(DataError):
        model().sample(2, condition=[1])
    with pytest.raises(DataError, match="zeros"):
        model().sample(1, noise=np.zeros((1, 11)))
    for kw in ({"shots": 100}, {"noise": parse_noise("depolarizing=0.01")}):
        with pytest.raises(ConfigurationError, match="pure states"):
            model(**kw)
        assert model(evolve(TINY, arm=Arm.TWIN), **kw).twin().parameters.total


def test_conformance():
    report = conformance.generator("quddpm", changes={"layers": 5, "timesteps": 2, "batch": 8, "pool": 12}, images=DATA)
    failed = [r for r in report.results if r.verdict is not Verdict.PASS]
    assert [r.id for r in failed if r.verdict is not Verdict.NOT_APPLICABLE] == [], failed


def test_the_critic_is_an_expectation_value_with_slopes_by_its_states():
    critic = Critic(Session(None, seed=2), 2, 3, 1.0)
    x = haar(3)
    circuit, wanted = critic.quantum.circuit, []
    for row in x.numpy():
        values = circuit.values(np.concatenate([row.real, row.imag])[None], critic.quantum.weights.detach().numpy())[0]
        p = np.abs(statevector(circuit, values)) ** 2
        wanted.append(p[0::2].sum() - p[1::2].sum())
    np.testing.assert_allclose(critic(x).detach().numpy(), wanted, atol=1e-10)
    parts = torch.view_as_real(x).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: critic(torch.view_as_complex(v)), (parts,), atol=1e-6)


def test_adversarial_training_takes_turns():
    m = model(evolve(TINY, timesteps=1))
    turns = [s.metrics["turn"] for s in fit_adversarially(m, DATA, steps=12, cycles=2, critic_layers=2)]
    assert turns == [0.0] * 3 + [1.0] * 3 + [2.0] * 3 + [3.0] * 3
    for wrong in (model(), model(evolve(TINY, timesteps=1, arm=Arm.FROZEN))):
        with pytest.raises(ConfigurationError, match="one-shot"):
            fit_adversarially(wrong, DATA, steps=12)


def test_circuits_trained_together_all_move_and_the_loss_falls():
    m = model(evolve(TINY, wires=1, timesteps=2, batch=24, spread=0.3))
    before = {k: v.copy() for k, v in m.state().items()}
    losses = [s.metrics["loss"] for s in fit_together(m, ensembles.cluster(24, 1, seed=5), steps=40)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    after = m.state()
    assert all(not np.array_equal(before[f"{t}.quantum.weights"], after[f"{t}.quantum.weights"]) for t in range(2))
    with pytest.raises(ConfigurationError):
        fit_together(model(evolve(TINY, arm=Arm.BYPASS)), DATA, steps=3)
