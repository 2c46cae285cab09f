"""A fake Amazon Braket on a loopback port, for rehearsals and tests (imports qimg_core, the SDK inside functions)."""

from qimg_braket.testing.documents import FORTE, GARNET, SV1, emulator_document
from qimg_braket.testing.rehearsal import options
from qimg_braket.testing.server import FakeBraket

__all__ = ["FORTE", "GARNET", "SV1", "FakeBraket", "emulator_document", "options"]
