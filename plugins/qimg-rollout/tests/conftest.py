"""A toy model with weights, a device that can be shifted or broken, and flags over them."""

import sys
import types

import numpy as np
import pytest
from attrs import evolve

import qimg_rollout.plugin
from qimg_core import Registry, Session, hookimpl
from qimg_core.cli import main
from qimg_core.datasets import ArraySource
from qimg_core.errors import BackendUnavailable
from qimg_core.hooks import BackendSpec
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.toy import ToyPlugin
from qimg_core.training import train

HERE = "qimg_rollout_test_device"
FLAGS = """
version = {version}

[flags.quantum-path]
state = "{state}"
cohorts = ["early"]
share = "{share}"
block = {block}
attempt = {attempt}
on = {{ generator = "toy", weights = "{weights}", backend = "{backend}"{more} }}
off = {{ generator = "toy", weights = "{twin}", arm = "twin", backend = "reference" }}
"""


class Device(ReferenceBackend):
    """The reference device; ``shift`` moves every result, ``broken`` refuses."""

    name = "device"
    shift = 0.0
    broken = False

    def run(self, request):
        if Device.broken:
            raise BackendUnavailable("device: not reachable")
        raw = super().run(request)
        return evolve(raw, data=np.clip(raw.data - Device.shift, -1, 1))


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(Device, "shift", 0.0)
    monkeypatch.setattr(Device, "broken", False)
    return Device


@pytest.fixture
def registry(device):
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(qimg_rollout.plugin, "rollout")

    class Supply:
        @hookimpl
        def qimg_backends(self):
            return [BackendSpec(name="device", target=f"{HERE}:Device")]

    found.register(Supply(), "device")
    module = types.ModuleType(HERE)
    module.Device = device
    sys.modules[HERE] = module
    yield found
    del sys.modules[HERE]


@pytest.fixture
def weights(registry, tmp_path):
    """A file of toy weights, trained without a record on disk; those of the twin are beside it."""
    pixels = np.random.default_rng(3).random((6, 2, 2, 1)).astype(np.float32)
    source = ArraySource(name="six", pixels=pixels, labels=np.arange(6) % 3, provenance={"made": "by this test"})
    for arm, name in (("twin", "twin"), ("quantum", "w")):
        path = tmp_path / f"{name}.safetensors"
        with Session(None, seed=3, backend="reference", registry=registry, activity="train") as session:
            train(session, session.generator("toy", arm=arm), source, steps=2, out=path)
    return path


@pytest.fixture
def flag_text(weights):
    def text(**changes):
        found = {
            "version": 1,
            "state": "canary",
            "share": "1",
            "block": "false",
            "attempt": 1,
            "backend": "device",
            "more": "",
        }
        return FLAGS.format(weights=weights, twin=weights.with_name("twin.safetensors"), **{**found, **changes})

    return text


@pytest.fixture
def qimg(capsys, registry):
    """Calls ``qimg``: exit code, stdout, stderr."""

    def call(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv], registry=registry)
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    return call
