"""The conformance kit on the device: each case is one test."""

from __future__ import annotations

from qimg_core.testing.conformance import Options
from qimg_core.testing.conformance.suites import BackendConformance

from qimg_toucan.backend import ToucanBackend


class TestToucan(BackendConformance):
    options = Options(quick=True)

    def make(self) -> ToucanBackend:
        return ToucanBackend()
