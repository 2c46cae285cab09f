"""What plugin authors and qimg's own tests need (floor 8): a reference device, a fake remote provider."""

from qimg_core.testing.fake_provider import FakeProvider
from qimg_core.testing.reference import ReferenceBackend, statevector, unitary

__all__ = ["FakeProvider", "ReferenceBackend", "statevector", "unitary"]
