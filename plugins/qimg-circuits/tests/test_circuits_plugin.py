"""The plugin module names what exists, and importing it loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qimg_circuits import plugin
from qimg_core.ansatz import Ansatz
from qimg_core.encoder import Encoder
from qimg_core.observable import Observable
from qimg_core.plugins import Registry

KINDS = {
    "encoder": (Encoder, ["amplitude", "angle", "basis", "dense-angle", "phase", "reupload"]),
    "ansatz": (
        Ansatz,
        [
            "alternating",
            "cluster-mixing",
            "convolution",
            "hadamard-test",
            "hardware-efficient",
            "ry-cz",
            "strongly-entangling",
            "two-qubit",
        ],
    ),
    "observable": (Observable, ["adaptive-non-local", "pauli-strings", "probabilities"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_loads(kind):
    registry = Registry(discover=False)
    registry.register(plugin, "circuits")
    interface, names = KINDS[kind]
    assert list(registry.specs(kind)) == names
    for name in names:
        assert issubclass(registry.load(kind, name), interface)


def test_the_plugin_module_is_light():
    code = (
        "import sys, qimg_circuits.plugin as p; p.qimg_encoders(); p.qimg_ansatzes(); p.qimg_observables();"
        "print(sorted({'numpy', 'torch', 'httpx', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
