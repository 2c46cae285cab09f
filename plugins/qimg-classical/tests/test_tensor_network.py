"""The matrix product state against brute force and closed forms, and as a generator with a record."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from qimg_classical.tensor_generator import TensorConfig, levels_of, snake
from qimg_classical.tensor_network import ProductStates, sampled
from qimg_core import Session
from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generator import Arm
from qimg_core.ledger.opening import open_ledger
from qimg_core.replay import replay_images
from qimg_core.testing import conformance
from qimg_core.training import train
from qimg_core.verdict import Verdict

SMALL = {"size": 4, "cells": 3, "levels": 2, "bond": 3, "classes": 2, "batch": 16}


def strings_of(sites, levels):
    return np.array(list(itertools.product(range(levels), repeat=sites)))


def brute(net, sites, levels):
    """(classes, strings): the law by multiplying numpy matrices for every string, in float64."""
    a, first, last = (p.detach().numpy().astype(float) for p in (net.sites, net.first, net.last))
    out = []
    for c in range(len(first)):
        row = []
        for v in strings_of(sites, levels):
            product = first[c]
            for k, s in enumerate(v):
                product = product @ a[k, c, s]
            row.append((product @ last[c]) ** 2)
        out.append(row)
    weights = np.array(out)
    return weights / weights.sum(1, keepdims=True)


def random_net(sites, levels, bond, classes, seed=0):
    torch.manual_seed(seed)
    return ProductStates(sites=sites, levels=levels, bond=bond, classes=classes, spread=1.0)


@pytest.mark.parametrize(("sites", "levels", "bond"), [(1, 3, 2), (5, 2, 3), (4, 3, 4)])
def test_probabilities_are_those_of_brute_force_and_sum_to_one(sites, levels, bond):
    net = random_net(sites, levels, bond, 2)
    every = torch.from_numpy(strings_of(sites, levels))
    with torch.no_grad():
        found = net.log_likelihood(torch.stack([every, every])).exp().numpy()
    assert found.sum(1) == pytest.approx(1, abs=1e-5)
    assert np.allclose(found, brute(net, sites, levels), rtol=1e-3, atol=1e-6)


def test_draws_have_the_law():
    sites, levels, n = 4, 3, 40_000
    net = random_net(sites, levels, 3, 2, seed=2)
    law = brute(net, sites, levels)
    tensors = [p.detach().numpy() for p in (net.sites, net.first, net.last)]
    fractions = np.random.default_rng(7).random((n, sites))
    place = levels ** np.arange(sites)[::-1]
    for label in range(2):
        found = sampled(*tensors, np.full(n, label), fractions) @ place
        counts = np.bincount(found, minlength=levels**sites)
        expected = n * law[label]
        rare = expected < 5
        observed, wanted = counts[~rare], expected[~rare]
        if expected[rare].sum() > 5:
            observed, wanted = np.append(observed, counts[rare].sum()), np.append(wanted, expected[rare].sum())
        assert chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3
        other = n * law[1 - label] + 1e-3
        assert chisquare(counts, other * n / other.sum()).pvalue < 1e-9  # the test tells the classes apart


def parity(sites):
    """Even strings for class 0, odd ones for class 1, all alike: two by two matrices hold it exactly."""
    net = random_net(sites, 2, 2, 2)
    with torch.no_grad():
        net.sites[:, :, 0] = torch.eye(2)
        net.sites[:, :, 1] = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        net.first[:] = torch.eye(2)
        net.last[:] = torch.tensor([1.0, 0.0])
    return net


def test_the_likelihood_of_a_law_that_a_bond_of_two_holds_is_exact():
    net, sites = parity(10), 10
    every = torch.from_numpy(strings_of(sites, 2))
    even, odd = (every[every.sum(1) % 2 == part] for part in (0, 1))
    with torch.no_grad():
        right = net.log_likelihood(torch.stack([even, odd]))
        wrong = net.log_likelihood(torch.stack([odd, even]))
    assert torch.allclose(right, torch.full_like(right, -(sites - 1) * math.log(2)), atol=1e-5)
    assert wrong.max() < -40  # impossible strings: the logarithm's floor


def test_long_strings_neither_overflow_nor_vanish():
    net = parity(784)
    strings = torch.zeros(2, 3, 784, dtype=torch.int64)
    strings[1, :, 5] = 1
    with torch.no_grad():
        found = net.log_likelihood(strings)
    assert torch.allclose(found, torch.full_like(found, -783 * math.log(2)), rtol=1e-4)


def parity_images(n=256, side=3, seed=1):
    """Black and white squares, the label says whether the number of white cells is odd."""
    bits = np.random.default_rng(seed).integers(0, 2, (n, side, side, 1))
    labels = bits.sum((1, 2, 3)) % 2
    return ArraySource(name="parity", pixels=bits.astype(np.float32), labels=labels, provenance={})


def chains(n, seed=2):
    """3x3 cells along the snake: fair at first, each next one equal with chance 0.9 in class 0 and 0.1 in class 1."""
    rng, order = np.random.default_rng(seed), snake(3)
    labels = np.arange(n) % 2
    turns = (rng.random((n, 9)) < np.where(labels == 0, 0.1, 0.9)[:, None]).astype(int)
    turns[:, 0] = rng.integers(0, 2, n)
    pixels = np.zeros((n, 9), dtype=np.float32)
    pixels[:, order] = turns.cumsum(1) % 2
    return ArraySource(name="chains", pixels=pixels.reshape(n, 3, 3, 1), labels=labels, provenance={})


def repeats(images):
    """(n,): share of neighbours on the snake that are equal."""
    flat = np.rint(images.pixels).reshape(len(images.pixels), -1)[:, snake(3)]
    return (flat[:, 1:] == flat[:, :-1]).mean(1)


@pytest.mark.slow
def test_training_finds_a_law_that_no_product_of_single_sites_has():
    """The chains' entropy is log 2 + 8 H(0.9); with a bond of one, where each cell is fair, it is 9 log 2."""
    entropy = math.log(2) - 8 * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    found = {}
    for bond in (1, 3):
        with Session(None, seed=3) as session:
            model = session.generator("mps", **{**SMALL, "size": 3, "bond": bond, "batch": 128, "rate": 0.03})
            losses = [s.metrics["loss"] for s in model.fit(chains(4096), steps=300)]
            images = model.sample(600, seed=4)
        found[bond] = np.mean(losses[-50:])
    labels = np.array(images.labels)
    assert repeats(images)[labels == 0].mean() == pytest.approx(0.9, abs=0.03)
    assert repeats(images)[labels == 1].mean() == pytest.approx(0.1, abs=0.03)
    assert found[1] == pytest.approx(9 * math.log(2), abs=0.05)
    assert found[3] == pytest.approx(entropy, abs=0.08)


def test_training_lowers_the_exact_loss():
    images = parity_images()
    with Session(None, seed=3) as session:
        model = session.generator("mps", **{**SMALL, "size": 3, "batch": 64})
        model.begin(images, 15)
        every = torch.stack([own[:100] for own in model._strings])
        before = model.net.log_likelihood(every).mean()
        losses = [s.metrics["loss"] for s in model.fit(images, steps=15)]
        after = model.net.log_likelihood(every).mean()
    assert after > before and np.isfinite(losses).all()


def test_levels_places_and_colours():
    assert levels_of(np.array([0.0, 0.24, 0.25, 0.999, 1.0], dtype=np.float32), 4).tolist() == [0, 0, 1, 3, 3]
    assert snake(3).tolist() == [0, 1, 2, 5, 4, 3, 6, 7, 8]
    rng = np.random.default_rng(0)
    pixels = rng.random((200, 3, 3, 1)).astype(np.float32)
    images = ArraySource(name="greys", pixels=pixels, labels=np.arange(200) % 2, provenance={})
    with Session(None, seed=3) as session:
        model = session.generator("mps", **{**SMALL, "size": 3})
        list(model.fit(images, steps=1))
        made = model.sample(20, seed=1).pixels
    for at in np.ndindex(3, 3):
        values = pixels[:, *at, 0]
        means = [values[values < 0.5].mean(), values[values >= 0.5].mean()]
        assert np.abs(made[:, *at, 0][:, None] - means).min(1).max() < 1e-6


def test_every_other_arm_is_refused_with_what_helps():
    for arm in set(Arm) - {Arm.BYPASS}:
        with pytest.raises(ConfigurationError, match="has no circuit"):
            TensorConfig(arm=arm)


@pytest.mark.parametrize(
    "changes", [{"cells": 5}, {"cells": 1}, {"levels": 1}, {"levels": 17}, {"bond": 0}, {"channels": 3}, {"rate": 0.0}]
)
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(ConfigurationError), Session(None, seed=1) as session:
        session.generator("mps", **{**SMALL, **changes})


def test_data_and_states_that_do_not_fit_are_refused():
    with Session(None, seed=1) as session:
        model = session.generator("mps", **SMALL)
        with pytest.raises(DataError, match="learns images"):
            model.fit(parity_images(), steps=1)
        small = session.generator("mps", **{**SMALL, "size": 3})
        with pytest.raises(WeightsError, match="lacks 'exp_avg/first'"):
            small.fit(parity_images(), steps=2, start=small.state())


def test_training_saving_and_replay_leave_a_record(tmp_path):
    with Session(tmp_path / "log", seed=4) as session:
        model = session.generator("mps", **{**SMALL, "size": 3})
        train(session, model, parity_images(), steps=3, out=tmp_path / "w.safetensors")
        images = session.generator("mps", weights=tmp_path / "w.safetensors").sample(6, seed=3)
        assert images.digest == model.sample(6, seed=3).digest and not images.quantum
        facts = session.ledger.entry(images.entry).facts
        assert "classical tensor network" in facts["model"]["method"] and facts["device_kinds"] == []
        assert model.parameters.total == facts["model"]["numbers"] == 9 * 2 * 2 * 9 + 2 * 3 + 2 * 3 + 9 * 2
    with open_ledger(tmp_path / "log", create=False) as log:
        assert replay_images(log, entry=images.entry).verdict is Verdict.PASS


def test_the_kit_of_generators_passes():
    report = conformance.generator("mps", changes=SMALL)
    shown = {
        r.case: r.outcome.reason for r in report.results if r.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)
    }
    assert shown == {}
