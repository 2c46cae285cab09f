"""The kit as pytest classes: pass, skip with a reason, fail with evidence; and without pytest."""

import subprocess
import sys

import pytest

from qimg_core import Registry
from qimg_core.testing.conformance import Options
from qimg_core.testing.conformance.device import CASES
from qimg_core.testing.conformance.suites import (
    AnsatzConformance,
    BackendConformance,
    EncoderConformance,
    GeneratorConformance,
    ObservableConformance,
)
from qimg_core.testing.mutants import SoundDevice
from qimg_core.testing.toy import ToyPlugin


def toy():
    registry = Registry(discover=False)
    registry.register(ToyPlugin(), "toy")
    return registry


class TestSound(BackendConformance):
    options = Options(quick=True, skip=("C2", "C4", "C6", "C7", "C8", "C9"))

    def make(self):
        return SoundDevice()


class TestToyGenerator(GeneratorConformance):
    name = "toy"
    backend = "reference"
    registry = staticmethod(toy)


class TestAngle(EncoderConformance):
    def make(self):
        return pytest.importorskip("qimg_circuits.encoders").AngleEncoder(2)


class TestLayers(AnsatzConformance):
    def make(self):
        return pytest.importorskip("qimg_circuits.ansatzes").RYCZ(2)


class TestWords(ObservableConformance):
    def make(self):
        return pytest.importorskip("qimg_circuits.observables").PauliStrings(["Z0 X1"])


def test_every_case_is_a_test():
    names = {n for n in dir(BackendConformance) if n.startswith("test_")}
    assert names == {"test_" + c.id.lower().replace(".", "_") for c in CASES}
    assert BackendConformance.test_c1.__doc__ == CASES[0].title


FAULTY = """
from qimg_core.testing.conformance import Options
from qimg_core.testing.conformance.suites import BackendConformance
from qimg_core.testing.mutants.orders import BitReversal
from qimg_core.testing import FakeProvider

class TestReversed(BackendConformance):
    options = Options(quick=True)
    make = BitReversal

class TestRemote(BackendConformance):
    options = Options(quick=True, max_cost=100)
    undecided = frozenset({"C15"})
    make = FakeProvider
"""


def test_how_pytest_sees_the_verdicts(tmp_path):
    (tmp_path / "test_faulty.py").write_text(FAULTY)
    only = "TestReversed and (c2_zoo3 or c8_signs or c21_adjoint) or TestRemote and (c15_before_send or c16_download)"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-k", only, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "2 failed, 1 passed, 2 skipped" in done.stdout, done.stdout
    assert "fail: C2.zoo3: every gate on three wires, measured in the order (2, 0, 1)" in done.stdout
    assert "'largest_difference'" in done.stdout
    assert "inconclusive: C16.download" in done.stdout
    assert "inconclusive, as allowed: C15.before_send" in done.stdout
    assert "the device does not claim adjoint gradients" in done.stdout


def test_the_kit_runs_without_pytest():
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from qimg_core.testing import conformance, ReferenceBackend\n"
        "r = conformance.backend(ReferenceBackend, conformance.Options(quick=True), cases=('C1', 'C3'))\n"
        "print(r.verdict, len(r.results), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "pass 2 False\n"
