"""The conformance kit: does a plugin's component do what it claims? (floor 8; needs no pytest)

`backend` takes a way to make a driver and gives a `Report`: one `qimg_core.verdict.Verdict` for each case, with the
numbers behind it. For pytest subclass `BackendConformance` and the like: each case becomes one test.
"""

from qimg_core.testing.conformance.kit import ansatz, backend, encoder, generator, observable
from qimg_core.testing.conformance.options import CANARY, Options, Provider
from qimg_core.testing.conformance.report import CaseResult, Outcome, Report

__all__ = [
    "CANARY",
    "CaseResult",
    "Options",
    "Outcome",
    "Provider",
    "Report",
    "ansatz",
    "backend",
    "encoder",
    "generator",
    "observable",
]
