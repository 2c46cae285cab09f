"""The fault matrix: every fault at every point at three providers ends in one job, or in an error that says what to do.

What must come out is written here, not computed by what is tested. A few cells of each kind run by default.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from qimg_core.testing.faults import Fault, Point

pytest.importorskip("qimg_ibm")
pytest.importorskip("qimg_braket")
pytest.importorskip("qimg_ionq")

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the SDKs' own clients, at exit

LOST = (Fault.TOO_MANY, Fault.ERROR, Fault.UNAVAILABLE, Fault.DROPPED, Fault.HANG)
PROVIDERS = ("ionq", "braket", "ibm")
QUICK = {Fault.TOO_MANY, Fault.DROPPED, Fault.GARBAGE, Fault.RECALIBRATED}


@functools.cache
def recipe() -> Any:
    """The module of the documentation's recipe."""
    path = Path(__file__).parents[2] / "docs" / "recipes" / "fault_matrix_cells.py"
    spec = importlib.util.spec_from_file_location("fault_matrix_cells", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def provider(request):
    """One fake for the cells of one provider."""
    with recipe().provider(request.param) as at:
        yield at


def once(name: str, fault: Fault, point: Point) -> str:
    """One fault, used up."""
    token = name == "braket"
    if fault is Fault.RECALIBRATED:
        return "one job, result, drift recorded"
    if point is Point.BEFORE_SEND:
        settled = fault in (Fault.TOO_MANY, Fault.ERROR, Fault.UNAVAILABLE)
        uncertain = "no job, `SubmissionUncertain`; resumed: one job, result"
        return "one job, result" if settled or token else uncertain
    if point is Point.AFTER_ACCEPT and not token and fault is not Fault.UNKNOWN_STATE:
        return "one job, result adopted"
    return "one job, result"


def lasting(name: str, fault: Fault, point: Point) -> str:
    """The fault strikes until the session gives up; then the provider is well again."""
    if fault is Fault.RECALIBRATED:
        return "one job, result, drift recorded"
    if point is Point.BEFORE_SEND:
        error = "RateLimited" if fault is Fault.TOO_MANY else "SubmissionUncertain"
        return f"no job, `{error}`; resumed: one job, result"
    if point is Point.AFTER_ACCEPT:
        return "one job, result" if fault is Fault.UNKNOWN_STATE else "one job, result adopted"
    nonsense = "ProtocolError" if point is Point.AFTER_ACKNOWLEDGEMENT else "ResultError"
    error = "RateLimited" if fault is Fault.TOO_MANY else "BackendUnavailable" if fault in LOST else nonsense
    return f"one job, `{error}`; resumed: one job, result adopted"


def matrix(quick: Any) -> list[Any]:
    """The cells that make sense; those that are not ``quick(name, fault, point)`` are slow."""
    return [
        pytest.param(
            name, point, fault, id=f"{name}-{point}-{fault}", marks=() if quick(name, fault) else pytest.mark.slow
        )
        for name in PROVIDERS
        for point in Point
        for fault in Fault
        if recipe().not_applicable(name, fault, point) is None
    ]


@pytest.mark.parametrize(
    ("provider", "point", "fault"),
    matrix(lambda name, fault: fault in QUICK),
    indirect=["provider"],
)
def test_one_fault(provider, point, fault):
    outcome = recipe().cell(provider, fault, point)
    assert outcome.ok, outcome
    assert str(outcome) == once(provider.name, fault, point)
    assert outcome.struck == 1


@pytest.mark.parametrize(
    ("provider", "point", "fault"),
    matrix(lambda name, fault: name == "ionq" and fault in QUICK),
    indirect=["provider"],
)
def test_a_fault_that_lasts_until_the_session_gives_up(provider, point, fault):
    outcome = recipe().cell(provider, fault, point, recipe().LASTING)
    assert outcome.ok, outcome
    assert str(outcome) == lasting(provider.name, fault, point)
    if outcome.error:
        assert "--resume" in outcome.advice
        assert "qimg jobs" in outcome.advice or outcome.error == "RateLimited"


def test_cells_that_make_no_sense_are_few_and_say_why():
    left_out = [recipe().not_applicable(name, fault, point) for name in PROVIDERS for point in Point for fault in Fault]
    assert sum(why is not None for why in left_out) == 14
    assert all(why is None or len(why) > 10 for why in left_out)
