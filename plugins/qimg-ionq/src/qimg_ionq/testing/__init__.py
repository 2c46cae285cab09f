"""IonQ on this machine, for rehearsals and tests. A fake proves protocol and failure handling, not a live account."""

from qimg_ionq.testing.rehearsal import options
from qimg_ionq.testing.server import FakeIonQ

__all__ = ["FakeIonQ", "options"]
