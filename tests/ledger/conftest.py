"""What the ledger tests share: the vectors, a tiny disk, and a log with runs and artefacts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from qimg_core.ledger import Draft, Gap


@pytest.fixture
def vectors():
    root = os.environ.get("QIMG_DATA")
    if not root or not (Path(root) / "vectors").is_dir():
        pytest.skip("QIMG_DATA is not set to a folder with vectors/")
    return Path(root) / "vectors"


@pytest.fixture
def scratch(tmp_path):
    """A folder in memory, where the system has one."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def governed():
    """The module `governed_world`, under a name by which a descriptor can name it."""
    pytest.importorskip("qimg_anchors")
    pytest.importorskip("qimg_stores")
    name = "qimg_test_governed_world"
    if name not in sys.modules:
        spec = spec_from_file_location(name, Path(__file__).with_name("governed_world.py"))
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 512 KiB, where this user may mount one: its folder, and what makes it read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this user cannot mount a tmpfs")

    def read_only():
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    try:
        yield folder, read_only
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def fill():
    """Writes runs of entries with artefacts into a ledger: entry index -> digests it names."""

    def write(ledger, rng, runs=3, steps=6, signed=True):
        named = {}
        for run in range(runs):
            name = f"run-{len(ledger)}-{run}"
            drafts = []
            for step in range(rng.randint(1, steps)):
                digests = {f"a{k}": ledger.put(rng.randbytes(rng.randint(0, 200))) for k in range(rng.randint(0, 2))}
                facts = {"step": step, "text": "näh \U0001f600 \x7f", "artefacts": digests}
                gaps = [Gap("cost", "not billed")] if rng.random() < 0.3 else []
                drafts.append(Draft("step", run=name, facts=facts, claims={"by": "me"}, gaps=gaps))
            for entry in ledger.extend(drafts):
                named[entry.index] = set(entry.artefacts.values())
            entry = ledger.append("run.end", run=None if rng.random() < 0.2 else name, facts={"ok": True, "n": None})
            named[entry.index] = set()
            if signed and rng.random() < 0.7:
                ledger.checkpoint()
        if signed:
            ledger.checkpoint()
        return named

    return write
