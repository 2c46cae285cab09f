"""`qimg ladder`: distances against closed forms, rungs, and a climb with a model of few wires."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from qimg_compare import plugin
from qimg_compare.ladder.distances import pixel_distance, sampling_floor, total_variation
from qimg_compare.ladder.rungs import drawn_noise, usual_rungs
from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.noise import parse_noise
from qimg_core.testing.toy import ToyPlugin

simulator = pytest.importorskip("qimg_simulator.plugin")


def test_total_variation_of_two_coins():
    p, q = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.8, 0.2], [0.0, 1.0]])
    np.testing.assert_allclose(total_variation(p, q), [0.3, 1.0])
    with pytest.raises(DataError):
        total_variation(p, q[:1])


def test_the_floor_of_a_coin_is_the_mean_deviation_of_a_binomial():
    shots, p = 100, 0.3
    k = np.arange(shots + 1)
    exact = (np.abs(k / shots - p) * stats.binom.pmf(k, shots, p)).sum()
    found = sampling_floor(np.array([[p, 1 - p]]), shots, seed=1, draws=20_000)
    np.testing.assert_allclose(found, exact, rtol=0.03)


def test_the_floor_falls_with_the_root_of_the_shots():
    p = np.random.default_rng(0).dirichlet(np.ones(16), 3)
    few, many = (sampling_floor(p, shots, seed=2, draws=2000) for shots in (400, 6400))
    np.testing.assert_allclose(few / many, 4, rtol=0.1)


def test_pixel_distance():
    a = np.zeros((2, 3, 3, 1))
    b = a.copy()
    b[1, 0, 0, 0] = 0.9
    np.testing.assert_allclose(pixel_distance(a, b), [0, 0.1])


def test_drawn_noise_is_within_its_range_and_the_same_for_a_seed():
    drawn = [drawn_noise(5, k, 1e-3, 1e-2) for k in range(50)]
    assert drawn == [drawn_noise(5, k, 1e-3, 1e-2) for k in range(50)]
    assert len(set(drawn)) == 50
    for text in drawn:
        parse_noise(text)
        numbers = [float(part.split("=")[1]) for part in text.split(",")]
        assert all(0.99e-3 <= v <= 1.01e-2 for v in numbers)
    with pytest.raises(ConfigurationError, match="low <= high"):
        drawn_noise(5, 0, 0.1, 0.01)


def test_the_usual_rungs_change_one_thing_at_a_time():
    rungs = usual_rungs("simulator", ["a", "b"], shots=10, seed=1, draws=2, noise="readout=0.1")
    assert [r.name for r in rungs] == ["exact", "shots", "noise-1", "noise-2", "stated-noise", "a", "b"]
    assert [r.shots for r in rungs] == [None, *[10] * 6]
    assert [r.backend for r in rungs] == [*["simulator"] * 5, "a", "b"]
    assert rungs[-1].noise is None
    with pytest.raises(ConfigurationError, match="twice"):
        usual_rungs("simulator", ["a", "a"], shots=10, seed=1)
    with pytest.raises(ConfigurationError, match="1 shot"):
        usual_rungs("simulator", [], shots=0, seed=1)


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    registry = Registry(discover=False)
    registry.register(ToyPlugin(), "toy")
    registry.register(plugin, "compare")
    registry.register(simulator, "simulator")

    def call(*words):
        capsys.readouterr()
        code = int(main([str(w) for w in words], registry=registry))
        return code, *capsys.readouterr()

    return call


TOY = ("ladder", "--generator", "toy", "--untrained", "--backend", "simulator", "--seed", 4)


def test_a_climb(qimg):
    code, out, err = qimg(*TOY, "--n", 6, "--shots", 4000, "--draws", 1, "--strength", "0.2,0.2", "--json")
    assert code == 0, err
    told = json.loads(out)
    exact, shots, noisy = told["rungs"]
    assert float(exact["total_variation"]) == float(exact["pixel_distance"]) == float(exact["sampling_floor"]) == 0
    assert 0 < float(shots["total_variation"]) < 2 * float(shots["sampling_floor"])
    assert float(noisy["total_variation"]) > 4 * float(noisy["sampling_floor"])
    assert float(noisy["pixel_distance"]) > float(shots["pixel_distance"])
    assert len({r["run"] for r in told["rungs"]}) == 3
    assert all(r["simulated"] for r in told["rungs"])
    assert {p.name for p in Path("ladder").iterdir()} == {"exact.png", "shots.png", "noise-1.png", "ladder.json"}
    assert json.loads(Path("ladder/ladder.json").read_text()) == told
    code, out, _ = qimg("verify", "runs")
    assert code == 0, out
    assert qimg(*TOY, "--n", 6, "--shots", 4000, "--draws", 1, "--strength", "0.2,0.2", "--out", "again")[0] == 0
    again = json.loads(Path("again/ladder.json").read_text())
    assert [r["pixels"] for r in again["rungs"]] == [r["pixels"] for r in told["rungs"]]


def test_what_cannot_run_is_refused_before_anything_has_run(qimg):
    code, _, err = qimg(*TOY, "--device", "nowhere")
    assert code == 2
    assert "nowhere" in err
    assert not Path("runs").exists()
    assert not Path("ladder").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--arm", "twin"), "runs no circuit"),
        (("--strength", "much"), "LOW,HIGH"),
        (("--device", "simulator", "--device", "simulator"), "twice"),
    ],
)
def test_bad_input(qimg, words, said):
    code, _, err = qimg(*TOY, *words)
    assert code == 2, err
    assert said in err
    assert not Path("runs").exists()
