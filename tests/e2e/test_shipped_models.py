"""A newcomer's path on the shipped models: make, verify, inspect, replay, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qimg_core import Session
from qimg_core.images import read_images

needs_data = pytest.mark.skipif("QIMG_DATA" not in os.environ, reason="QIMG_DATA does not name the real data")


def qimg(*words, cwd, expect=0):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "qimg_core", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def test_demo_verify_inspect_replay(tmp_path):
    shown = qimg("demo", cwd=tmp_path)
    assert "a classical computer simulated it" in shown
    images, text = read_images(tmp_path / "out" / "digits.png")
    assert len(images) == 64
    assert text["qimg:run"] in shown
    assert json.loads(qimg("verify", "runs", "--json", cwd=tmp_path))["verdict"] == "pass"
    assert "equal to the byte" in qimg("replay", "out/digits.png", cwd=tmp_path)
    seen = json.loads(qimg("inspect", "out/digits.png", "--json", cwd=tmp_path))
    assert text["qimg:run"] in json.dumps(seen)
    flipped = bytearray((tmp_path / "runs" / "ledger.db").read_bytes())
    at = flipped.find(b'"images.made"')
    assert at > 0
    flipped[at + 3] ^= 1
    (tmp_path / "runs" / "ledger.db").write_bytes(bytes(flipped))
    qimg("verify", "runs", cwd=tmp_path, expect=1)


@pytest.mark.parametrize("name", ["hybrid-unet", "quantum-latent-flow"])
def test_the_same_seed_in_another_process_gives_the_same_bytes(name, tmp_path):
    made = []
    for i in range(2):
        qimg("generate", "--generator", name, "--n", "6", "--seed", "11", "--out", f"{i}.png", cwd=tmp_path)
        made.append(read_images(tmp_path / f"{i}.png")[0])
    assert made[0].digest == made[1].digest


def accuracy(name, n, weights="mnist"):
    from qimg_metrics.features import shipped_network

    with Session(None, seed=5, profile="light") as session:
        images = session.generator(name, weights=weights).sample(n, seed=2027)
    assert images.quantum
    assert images.simulated
    asked = np.array(images.labels)
    return float((shipped_network("mnist-28").classify(images.pixels) == asked).mean())


@pytest.mark.parametrize(("name", "least"), [("hybrid-unet", 0.93), ("quantum-latent-flow", 0.85)])
def test_a_hundred_digits_are_the_digits_that_were_asked_for(name, least):
    """A quick guard; the model cards hold the figures on 2,000 samples with their intervals."""
    assert accuracy(name, 100) >= least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights", "least"),
    [
        ("hybrid-unet", "mnist", 0.985),
        ("quantum-latent-flow", "mnist", 0.90),
        ("quantum-latent-flow", "mnist-global", 0.95),
    ],
)
def test_two_thousand_digits(name, weights, least):
    assert accuracy(name, 2000, weights) >= least


def test_shots_and_noise_are_in_the_record(tmp_path):
    words = ["--generator", "quantum-latent-flow", "--n", "2", "--seed", "1", "--shots", "200"]
    qimg("generate", *words, "--noise", "readout=0.02", "--out", "n.png", cwd=tmp_path)
    seen = json.dumps(json.loads(qimg("inspect", "n.png", "--json", cwd=tmp_path)))
    assert "200" in seen
    assert "equal to the byte" in qimg("replay", "n.png", cwd=tmp_path)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["hybrid-unet", "quantum-latent-flow", "hybrid-unet-2602.03405"])
def test_a_short_training_replays_within_the_stated_tolerance(name, tmp_path):
    data = str(Path(os.environ["QIMG_DATA"]) / "mnist")
    qimg(
        "train",
        "--generator",
        name,
        "--data",
        data,
        "--steps",
        "6",
        "--seed",
        "3",
        "--out",
        "w.safetensors",
        cwd=tmp_path,
    )
    run = json.loads(qimg("inspect", "w.safetensors", "--json", cwd=tmp_path))
    run = next(v for k, v in _walk(run) if k == "run")
    shown = json.loads(qimg("replay", run, "--data", data, "--json", cwd=tmp_path))
    assert shown["verdict"] == "pass"
    assert float(shown["measured"]["pixels"]) <= 1e-3
    assert float(shown["measured"]["weights"]) <= 1e-3


def _walk(document):
    if isinstance(document, dict):
        for key, value in document.items():
            yield key, value
            yield from _walk(value)
    elif isinstance(document, list):
        for value in document:
            yield from _walk(value)
