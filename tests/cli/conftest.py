"""What the tests of the command line share: the toy generator, a trained file, one call with its three outputs."""

import json
import subprocess

import numpy as np
import pytest
from attrs import frozen

from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.testing.toy import ToyPlugin


@frozen
class Called:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    return found


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys, registry):
    """Calls ``qimg`` in an empty folder, with the toy and the reference device as the only plugins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)

    def call(*argv, plugins=None):
        capsys.readouterr()
        code = main([str(a) for a in argv], registry=plugins or registry)
        captured = capsys.readouterr()
        return Called(int(code), captured.out, captured.err)

    return call


@pytest.fixture
def corners(tmp_path):
    """Thirty 2x2 images of three classes, as an NPZ outside of the working folder's listing."""
    rng = np.random.default_rng(3)
    labels = np.arange(30) % 3
    pixels = (np.eye(4)[labels] * 0.8 + 0.1 * rng.random((30, 4))).reshape(30, 2, 2, 1).astype(np.float32)
    path = tmp_path / "corners.npz"
    np.savez(path, x=pixels, y=labels)
    return path


@pytest.fixture
def trained(qimg, corners):
    """Weights of the toy, trained by the command, with their record in ``runs``."""
    done = qimg("train", *TOY, "--data", corners, "--steps", 12, "--out", "w.safetensors", "--seed", 3, "--samples", 0)
    assert done.code == 0, done.err
    return "w.safetensors"


TOY = ("--generator", "toy", "--backend", "reference")


@pytest.fixture
def toy():
    return TOY


@pytest.fixture
def made(qimg, trained):
    """A picture of six images, with its record in ``runs``: the command's JSON document."""
    done = qimg("generate", *TOY, "--weights", trained, "--n", 6, "--seed", 5, "--out", "six.png", "--json")
    assert done.code == 0, done.err
    return done.json


@pytest.fixture
def tiny_disk(tmp_path_factory):
    """A real file system of 64 KiB, where this user may mount one: its folder, and what makes it read-only."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a tmpfs")

    def read_only():
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    try:
        yield folder, read_only
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
