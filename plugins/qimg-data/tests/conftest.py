"""``qimg`` as a user calls it, in an empty folder, with pictures of two people."""

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from qimg_core import Registry, png
from qimg_core.cli import main
from qimg_core.hooks import BackendSpec, hookimpl
from qimg_core.testing.toy import ToyPlugin
from qimg_data import plugin
from qimg_policy import plugin as policy

ABOUT = run_path(str(Path(__file__).with_name("manifest_helpers.py")))["ABOUT"]


class CloudPlugin:
    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="cloud", target="qimg_core.testing:FakeProvider", remote=True, metered=True)]


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("QIMG_POLICY", "QIMG_LEDGER", "QIMG_DATA_RULES", "QIMG_ZONES"):
        monkeypatch.delenv(name, raising=False)
    registry = Registry(discover=False)
    registry.register(ToyPlugin(), "toy")
    registry.register(plugin, "data")
    registry.register(policy, "policy")
    registry.register(CloudPlugin(), "cloud")

    def call(*argv, code=0):
        capsys.readouterr()
        got = main([str(a) for a in argv], registry=registry)
        captured = capsys.readouterr()
        assert got == code, f"{argv}: {got}\n{captured.out}\n{captured.err}"
        return json.loads(captured.out) if "--json" in argv else captured.out + captured.err

    return call


@pytest.fixture
def pictures(tmp_path, qimg):
    """Twelve pictures of two people in three classes, 2x2."""
    rng = np.random.default_rng(1)
    rows = ["file,subject"]
    for i in range(12):
        folder = tmp_path / "pictures" / str(i % 3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:02}.png").write_bytes(png.encode(rng.integers(0, 256, (2, 2, 1), dtype=np.uint8)))
        rows.append(f"{i % 3}/{i:02}.png,{'ann' if i < 4 else 'bob'}@example.org")
    (tmp_path / "subjects.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "about.toml").write_text(ABOUT)
    return tmp_path / "pictures"
