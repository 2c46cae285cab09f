"""A training that begins with weights begins there: with hardly any learning rate it stays there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qimg_core.datasets import ArraySource
from qimg_core.session import Session
from qimg_core.training import train

SMALL = {"size": 8, "classes": 3, "wires": 3, "layers": 1, "batch": 8}
LATENT = {**SMALL, "latent": 3, "compressor_width": 4, "compressor_batch": 8}
STILL = {"rate": 1e-12, "observable_rate": 1e-12, "decay": 0.0}
STILL_LATENT = {**STILL, "compressor_rate": 1e-12}


@pytest.fixture
def source() -> ArraySource:
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 3
    pixels = (rng.random((60, 8, 8, 1)) * 0.2 + labels[:, None, None, None] * 0.3).astype(np.float32)
    return ArraySource(name="greys", pixels=pixels, labels=labels, provenance={"made": "by this test"})


@pytest.mark.parametrize(
    ("name", "settings", "still"),
    [
        ("hybrid-unet", {**SMALL, "width": 4, "observables": 1}, STILL),
        ("quantum-latent-flow", LATENT, STILL_LATENT),
        ("latent-diffusion", {**LATENT, "times": 20, "sample_steps": 3}, STILL_LATENT),
        (
            "latent-diffusion",
            {**LATENT, "times": 20, "sample_steps": 3, "start": "circuit"},
            STILL_LATENT | {"start_rate": 1e-12},
        ),
    ],
    ids=["unet", "flow", "diffusion", "proposals"],
)
def test_it_stays_where_it_began(
    name: str, settings: dict[str, Any], still: dict[str, Any], source: ArraySource, tmp_path: Any
) -> None:
    with Session(None, seed=1, activity="train") as session:
        first = train(
            session, session.generator(name, **settings), source, steps=20, out=tmp_path / "first.safetensors"
        )
        was = session.generator(name, weights=first.weights).state()
    with Session(None, seed=2, activity="train") as session:
        drawn = session.generator(name, **settings).state()
        model = session.generator(name, **{**settings, **still})
        train(session, model, source, steps=20, out=tmp_path / "second.safetensors", weights=first.weights)
        now = model.state()
    assert set(now) == set(was)
    trained = [k for k in was if not k.endswith("seed")]  # the strings of a start are drawn anew in each run
    moved = {k: float(np.abs(now[k].astype(float) - was[k]).max(initial=0)) for k in trained}
    assert max(moved.values()) < 1e-4, moved
    assert any(np.abs(drawn[k].astype(float) - was[k]).max(initial=0) > 1e-2 for k in trained)
