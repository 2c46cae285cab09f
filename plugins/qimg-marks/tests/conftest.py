"""Fixtures: a folder with an authority, a time-stamp authority on loopback made from openssl, small pictures."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from attrs import frozen

import qimg_marks.plugin
from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.generation import conditions, initial_noise, record_images
from qimg_core.hooks import GeneratorSpec, hookimpl
from qimg_core.images import Images
from qimg_core.testing.toy import ToyGenerator, ToyPlugin
from qimg_marks.credentials import authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPENSSL = shutil.which("openssl")


@pytest.fixture(scope="session")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority."""
    folder = tmp_path_factory.mktemp("authority") / "marks"
    authority.create(folder, "Example Org")
    return folder


@pytest.fixture(scope="session")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, bytes]]:
    """The address of an RFC 3161 time-stamp authority on loopback, and its root certificate (PEM)."""
    if OPENSSL is None:
        pytest.skip("openssl is not installed")
    from qimg_anchors.testing.tsa import LocalTSA

    with LocalTSA(tmp_path_factory.mktemp("tsa")) as authority_of_time:
        yield authority_of_time.url, authority_of_time.roots.read_bytes()


def smooth(size: int, seed: int = 0, channels: int = 3) -> Any:
    """A picture of soft shapes, uint8 (size, size, channels); different seeds give different ones."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    out = np.zeros((size, size, channels))
    for _ in range(6):
        fx, fy, phase = rng.uniform(0.5, 4, 3)
        out += rng.uniform(0.2, 1, channels) * np.cos(2 * np.pi * (fx * x + fy * y + phase))[..., None]
    out -= out.min()
    return (255 * out / out.max()).astype(np.uint8)


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """``picture(kind, size, seed)``: the bytes of a file."""
    from PIL import Image

    def make(kind: str = "PNG", size: int = 64, seed: int = 0, **options: Any) -> bytes:
        out = io.BytesIO()
        Image.fromarray(smooth(size, seed)).save(out, kind, **options)
        return out.getvalue()

    return make


class ShapesGenerator(ToyGenerator):
    """The toy with 32x32 pictures of soft shapes, so that marks have something to sit on."""

    name = "shapes"

    def sample(self, n: int, *, condition: Any = None, noise: Any = None, seed: int | None = None) -> Images:
        classes = conditions(n, condition, 3)
        seed = self.session.seed_for("shapes") if seed is None else seed
        start = initial_noise(self.session, n, self.noise_shape, seed=seed)
        pixels = np.stack([smooth(32, int(1e6 * abs(float(row[0]))), 1) for row in start])
        images = Images(pixels=pixels.astype(np.float32) / np.float32(255), quantum=False, simulated=False)
        return record_images(self.session, self, images, seed=seed, noise=start, condition=classes, settings={})


class ShapesPlugin(ToyPlugin):
    """Supplies the generator ``shapes``."""

    @hookimpl
    def qimg_generators(self) -> list[GeneratorSpec]:
        return [GeneratorSpec(name="shapes", target=f"{__name__}:ShapesGenerator", summary="soft shapes")]


@frozen
class Called:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def qimg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], marks: Path
) -> Callable[..., Called]:
    """Calls ``qimg`` in an empty folder, with these marks and the shapes as the only plugins."""
    monkeypatch.chdir(tmp_path)
    for name in ("QIMG_LEDGER", "QIMG_WATERMARK_KEY", "QIMG_MARK_LABEL", "QIMG_NOISE_SOURCE", authority.PASSWORD):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(marks, tmp_path / "marks")
    monkeypatch.setenv("QIMG_MARKS", "marks")
    registry = Registry(discover=False)
    registry.register(ShapesPlugin(), "shapes")
    registry.register(qimg_marks.plugin, "marks")
    monkeypatch.setattr(registry, "load", _loading(registry.load))

    def call(*argv: object) -> Called:
        capsys.readouterr()
        code = main([str(a) for a in argv], registry=registry)
        captured = capsys.readouterr()
        return Called(int(code), captured.out, captured.err)

    return call


def _loading(load: Any) -> Any:
    """This file is no importable module, so its generator is handed out by hand."""

    def found(kind: str, name: str) -> Any:
        return ShapesGenerator if (kind, name) == ("generator", "shapes") else load(kind, name)

    return found


@pytest.fixture
def made(qimg: Callable[..., Called]) -> Any:
    """Four pictures of 32x32 with their record in ``runs``: grid ``four.png``, and ``each/0000?.png``."""
    made = ("--generator", "shapes", "--untrained", "--backend", "reference", "--seed", 5, "--n", 4)
    done = qimg("generate", *made, "--out", "four.png", "--each", "each", "--json")
    assert done.code == 0, done.err
    return done.json
