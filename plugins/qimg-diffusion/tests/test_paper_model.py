"""The generator: counts, arms, labels, exact resuming, refusals, the record."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from qimg_core.config import config_from_json, config_to_json
from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, DataError, UnknownName, WeightsError
from qimg_core.generator import Arm
from qimg_core.ledger import MemoryLedger
from qimg_core.session import Session
from qimg_diffusion.optimise import TrainingDiverged
from qimg_diffusion.paper_2602.model import PaperConfig, PaperUNet

TINY = {"qubits": 2, "reps": 1, "timesteps": 3, "classes": 3, "batch": 4, "images": 12, "sample_batch": 4}


def make(seed=5, **changes):
    session = Session(MemoryLedger(), seed=seed, backend="simulator")
    return PaperUNet(session, PaperConfig(**{**TINY, **changes}))


def released(arm):
    return PaperUNet(Session(MemoryLedger(), seed=1, backend="simulator"), PaperConfig(arm=arm))


def source(n=14, *, seed=0, size=28, classes=3, channels=1):
    rng = np.random.default_rng(seed)
    pixels = rng.random((n, size, size, channels), dtype=np.float32)
    return ArraySource(name="random", pixels=pixels, labels=np.arange(n) % classes)


def test_counts_of_the_released_model():
    p = released("quantum").parameters
    assert (p.circuit, p.observable, p.layer) == (48_000, 8_192, 56_192)
    classical = 512 * 512 + 512 + 512 * 16 + 16 + 2 * 16 + (17 + 512) * 512 + 512 + 512 * 512 + 512
    assert p.total == classical + 56_192 == 861_104


def test_arms_at_the_released_sizes():
    quantum, twin = released("quantum").parameters, released("twin").parameters
    assert abs(twin.layer - quantum.layer) <= 0.02 * quantum.layer
    assert abs(twin.total - quantum.total) <= 0.02 * quantum.layer
    assert (twin.circuit, twin.observable) == (0, 0)
    assert released("separable").parameters == quantum
    assert released("frozen").parameters.total == quantum.total - 48_000
    bypass = released("bypass")
    assert bypass.parameters.layer == 0
    assert not any("bottleneck" in name for name in bypass.state())


@pytest.mark.parametrize(("reps", "timesteps"), [(5, 10), (10, 5), (4, 20)])
def test_twin_keeps_its_size_at_other_settings(reps, timesteps):
    a, b = (make(qubits=4, reps=reps, timesteps=timesteps, arm=arm).parameters.layer for arm in ("quantum", "twin"))
    assert abs(a - b) <= 0.02 * a


@pytest.mark.parametrize("arm", list(Arm))
def test_every_arm_trains_samples_and_leaves_a_record(arm):
    model = make(arm=arm)
    seen = list(model.fit(source(), steps=2))
    assert [s.step for s in seen] == [1, 2]
    images = model.sample(5, condition=[0, 2], seed=9)
    assert images.pixels.shape == (5, 16, 16, 1)
    assert images.labels == (0, 2, 0, 2, 0)
    runs_circuits = arm in (Arm.QUANTUM, Arm.SEPARABLE, Arm.FROZEN)
    assert images.quantum is runs_circuits
    entries = list(model.session.ledger.entries())
    made = [e for e in entries if e.kind == "images.made"]
    assert made[0].index == images.entry
    assert made[0].facts["model"]["class_conditional"] is (arm is not Arm.BYPASS)
    assert bool(model.session.device_kinds) is runs_circuits
    workload = model.workload(5)
    assert (workload.requests, workload.rows) == ((12, 30) if runs_circuits else (0, 0))


def test_workload_bounds_what_sampling_asks():
    model = make()
    asked = []
    real = model.session.execute

    def execute(request, **kwargs):
        asked.append(request.rows)
        return real(request, **kwargs)

    model.session.execute = execute
    model.sample(5, seed=1)
    assert (len(asked), sum(asked)) == (model.workload(5).requests, model.workload(5).rows)


@pytest.mark.parametrize("arm", ["quantum", "twin"])
def test_sampling_uses_the_labels(arm):
    """The released code calls the net without labels when it samples, so every sample is of class 0."""
    model = make(arm=arm, spread=1.0)
    noise = np.repeat(np.random.default_rng(0).standard_normal((1, 2, 16, 16)), 3, axis=0).astype(np.float32)
    pixels = model.sample(3, condition=[0, 1, 2], noise=noise).pixels
    assert all(np.abs(pixels[i] - pixels[j]).max() > 1e-3 for i, j in ((0, 1), (0, 2), (1, 2)))
    again = model.sample(3, condition=[2, 1, 0], noise=noise).pixels
    np.testing.assert_allclose(again, pixels[::-1], atol=1e-5)


def test_bypass_cannot_know_the_label():
    model = make(arm="bypass")
    noise = np.repeat(np.random.default_rng(0).standard_normal((1, 2, 16, 16)), 2, axis=0).astype(np.float32)
    a, b = model.sample(2, condition=[0, 2], noise=noise).pixels
    np.testing.assert_array_equal(a, b)


def test_labels_and_times_reach_training():
    model = make()
    for _ in model.fit(source(), steps=1):
        pass
    gradient = model.net.bottleneck.angles.grad
    assert (gradient.abs().amax(-1) > 0).any(1).all()  # every time is trained at every step
    only = ArraySource(name="ones", pixels=source().pixels, labels=np.ones(14, int))
    model = make()
    for _ in model.fit(only, steps=1):
        pass
    assert (model.net.bottleneck.angles.grad.abs().amax((0, 2)) > 0).tolist() == [False, True, False]


def test_frozen_angles_stay_and_the_rest_moves():
    model = make(arm="frozen")
    before = model.state()
    list(model.fit(source(), steps=2))
    after = model.state()
    np.testing.assert_array_equal(after["bottleneck.angles"], before["bottleneck.angles"])
    assert np.abs(after["bottleneck.observables"] - before["bottleneck.observables"]).max() > 0


@pytest.mark.parametrize("changes", [{}, {"arm": "twin"}, {"arm": "frozen"}, {"forward": "paper"}])
def test_resuming_is_exact(changes):
    whole = make(**changes)
    losses = [s.metrics["loss"] for s in whole.fit(source(), steps=8)]
    first = make(**changes)
    run = first.fit(source(), steps=8)
    early = [next(run).metrics["loss"] for _ in range(4)]  # inside the second epoch of three batches
    state = {k: v.copy() for k, v in first.training_state().items()}
    second = make(**changes)
    late = [s.metrics["loss"] for s in second.fit(source(), steps=8, start=state)]
    assert early + late == losses
    for name, array in whole.training_state().items():
        np.testing.assert_array_equal(second.training_state()[name], array, err_msg=name)


def test_resuming_another_run_is_refused():
    model = make()
    list(model.fit(source(), steps=2))
    state = model.training_state()
    with pytest.raises(ConfigurationError, match="another seed"):
        make(seed=6).fit(source(), steps=2, start=state)
    with pytest.raises(WeightsError, match="lack"):
        make().fit(source(), steps=2, start={k: v for k, v in state.items() if k != "step"})


def test_the_rate_falls_by_epochs_as_released():
    model = make(rate_epochs=1, rate_factor=0.5, rate=0.01)
    found = []
    for _ in model.fit(source(), steps=7):  # three steps an epoch
        found.append(model._optimiser.param_groups[0]["lr"])
    np.testing.assert_allclose(found, [0.01] * 3 + [0.005] * 3 + [0.0025])


@pytest.mark.parametrize("forward", ["code", "paper"])
@pytest.mark.parametrize("loss", ["infidelity", "mse", "trace-distance"])
def test_every_loss_goes_down(forward, loss):
    model = make(arm="twin", forward=forward, loss=loss)
    losses = [s.metrics["loss"] for s in model.fit(source(), steps=40)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_same_seed_same_images_whatever_the_batch():
    model = make()
    a = model.sample(6, seed=11)
    assert a.digest == model.sample(6, seed=11).digest
    assert a.digest != model.sample(6, seed=12).digest
    other = make(sample_batch=2)
    other.load(model.state())
    np.testing.assert_allclose(other.sample(6, seed=11).pixels, a.pixels, atol=1e-4)


def test_weights_round_trip_and_foreign_ones_are_refused():
    model = make()
    list(model.fit(source(), steps=1))
    other = make(seed=77)
    other.load(model.state())
    np.testing.assert_array_equal(other.sample(2, seed=1).pixels, model.sample(2, seed=1).pixels)
    with pytest.raises(WeightsError):
        make(arm="twin").load(model.state())
    broken = model.state()
    broken["dec1.bias"] = broken["dec1.bias"] * np.nan
    with pytest.raises(WeightsError, match="NaN"):
        other.load(broken)


def test_data_that_cannot_be_learned_is_refused_before_anything_is_done():
    unlabelled = ArraySource(name="u", pixels=source().pixels)
    for bad in (unlabelled, source(classes=4), source(n=3), source(channels=3)):
        model = make()
        before = model.state()
        with pytest.raises(DataError):
            model.fit(bad, steps=1)
        assert all(np.array_equal(v, before[k]) for k, v in model.state().items())
    with pytest.raises(ConfigurationError, match="1 step or more"):
        make().fit(source(), steps=0)


def test_divergence_is_an_error():
    model = make(arm="twin")
    run = model.fit(source(), steps=3)
    next(run)
    with torch.no_grad():
        model.net.dec2.weight.fill_(torch.nan)
    with pytest.raises(TrainingDiverged, match="step 2"):
        next(run)


def test_shots_are_refused_where_a_state_is_needed():
    session = Session(MemoryLedger(), seed=1, backend="simulator", shots=100)
    with pytest.raises(ConfigurationError, match="state vector"):
        PaperUNet(session, PaperConfig(**TINY))
    PaperUNet(session, PaperConfig(**TINY, arm="twin"))


def test_settings_are_checked_and_travel():
    with pytest.raises(UnknownName, match="infidelity"):
        PaperConfig(loss="infidelty")
    for bad in ({"qubits": 3}, {"beta_last": 1.5}, {"images": 5, "batch": 32}, {"timesteps": 0}):
        with pytest.raises(ConfigurationError):
            PaperConfig(**bad)
    config = PaperConfig(**TINY, forward="paper", beta_last=0.9)
    assert config_from_json(PaperConfig, config_to_json(config)) == config


def test_sixteen_pixel_images_are_taken_as_they_are():
    list(make(arm="twin").fit(source(size=16), steps=1))


@pytest.mark.slow
def test_digits_are_learned():
    if not os.environ.get("QIMG_DATA"):
        pytest.skip("QIMG_DATA names no folder with MNIST")
    from qimg_core.datasets.idx import open_folder

    data = open_folder(Path(os.environ["QIMG_DATA"]) / "mnist")
    model = PaperUNet(Session(MemoryLedger(), seed=1, backend="simulator"), PaperConfig(arm="twin"))
    losses = [s.metrics["loss"] for s in model.fit(data, steps=400)]
    assert np.mean(losses[-50:]) < 0.1 < np.mean(losses[:50])
