"""A fake of IBM's service on this machine, for tests and for rehearsals (needs qiskit-aer)."""

from qimg_ibm.testing.fake_ibm import FakeIBM
from qimg_ibm.testing.rehearsal import options

__all__ = ["FakeIBM", "options"]
