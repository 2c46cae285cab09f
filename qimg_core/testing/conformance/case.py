"""Cases: functions that return a verdict, whatever happens in them (floor 8; imports errors, verdict, report).

A case collects what it compares in `Checks`. What it raises becomes a verdict too: a foreign exception is a
failure of the driver, a price that nobody allowed makes it inconclusive.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import frozen

from qimg_core.errors import BudgetExceeded, QimgError, UnknownCost
from qimg_core.testing.conformance.report import CaseResult, Outcome
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

S = TypeVar("S")


class NotApplicable(Exception):
    """The component does not claim what this case tests; the message says what."""


class Undecided(Exception):
    """The case cannot be decided here; the message says what it would take."""


@frozen
class Case(Generic[S]):
    """One assertion about a component.

    Args:
        id: ``C2.zoo5``; the part before the dot groups cases.
        title: what is asserted.
        body: takes the bench and the checks to fill; raises `NotApplicable` or `Undecided` where that is so.
    """

    id: str
    title: str
    body: Callable[[S, Checks], None]

    def run(self, bench: S) -> CaseResult:
        """The case as a verdict; raises nothing but what interrupts the program."""
        started = time.perf_counter()
        checks = Checks()
        try:
            self.body(bench, checks)
            outcome = checks.outcome()
        except NotApplicable as reason:
            outcome = Outcome(verdict=Verdict.NOT_APPLICABLE, reason=str(reason), evidence=checks.evidence)
        except Undecided as reason:
            outcome = checks.outcome() if checks.failures else _undecided(str(reason), checks)
        except (BudgetExceeded, UnknownCost) as error:
            outcome = _undecided(f"{error.message}; allow it with max_cost or allow_unknown_cost", checks)
        except QimgError as error:
            checks.fail(f"{type(error).__name__}: {error.message}")
            outcome = checks.outcome()
        except Exception as error:  # whatever a plugin raises is what the report has to say
            checks.fail(f"an exception that is not qimg's escaped: {type(error).__name__}: {error}")
            outcome = checks.outcome()
        return CaseResult(case=self.id, title=self.title, outcome=outcome, seconds=time.perf_counter() - started)


def _undecided(reason: str, checks: Checks) -> Outcome:
    return Outcome(verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=checks.evidence)


def case(name: str, title: str) -> Callable[[Callable[[S, Checks], None]], Case[S]]:
    """Make a case of a function ``(bench, checks) -> None``."""

    def made(body: Callable[[S, Checks], None]) -> Case[S]:
        return Case(name, title, body)

    return made


class Checks:
    """What one case compared, and its evidence."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.doubts: list[str] = []
        self.count = 0
        self.says = ""
        self.evidence: dict[str, Any] = {}

    def fail(self, what: str) -> None:
        """A failure in words."""
        self.failures.append(what)

    def doubt(self, what: str) -> None:
        """Something that could not be decided."""
        self.doubts.append(what)

    def that(self, what: str, ok: bool, otherwise: str = "") -> bool:
        """One condition.

        Args:
            what: is asserted.
            ok: whether it holds.
            otherwise: what was found where it does not.
        """
        self.count += 1
        if not ok:
            self.fail(f"{what}{': ' + otherwise if otherwise else ' does not hold'}")
        return ok

    def near(self, what: str, got: Any, wanted: Any, tolerance: float) -> bool:
        """Two arrays of numbers are equal to an absolute tolerance."""
        import numpy as np

        a, b = np.asarray(got), np.asarray(wanted)
        if a.shape != b.shape:
            return self.that(what, False, f"wanted shape {b.shape}, got {a.shape}")
        if a.dtype.kind not in "fciub" or not np.isfinite(a).all():
            return self.that(what, False, f"wanted finite numbers, got {a.dtype} with {a.size} values")
        worst = float(np.abs(a - b).max()) if a.size else 0.0
        self.evidence["numbers"] = self.evidence.get("numbers", 0) + int(a.size)
        self.evidence["largest_difference"] = max(worst, self.evidence.get("largest_difference", 0.0))
        self.evidence["tolerance"] = tolerance
        return self.that(what, worst <= tolerance, f"off by {worst:.3g}, tolerance {tolerance:.3g}")

    def least(self, name: str, value: float) -> None:
        """Keep the smallest of a number in the evidence."""
        self.evidence[name] = min(value, self.evidence.get(name, value))

    def most(self, name: str, value: float) -> None:
        """Keep the largest of a number in the evidence."""
        self.evidence[name] = max(value, self.evidence.get(name, value))

    def outcome(self) -> Outcome:
        """The verdict so far; a case that compared nothing is inconclusive."""
        if self.failures:
            more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
            evidence = {**self.evidence, "failures": self.failures[:20]}
            return Outcome(verdict=Verdict.FAIL, reason=self.failures[0] + more, evidence=evidence)
        if self.doubts:
            evidence = {**self.evidence, "doubts": self.doubts[:20]}
            return Outcome(verdict=Verdict.INCONCLUSIVE, reason=self.doubts[0], evidence=evidence)
        if not self.count:
            return Outcome(verdict=Verdict.INCONCLUSIVE, reason="nothing was compared", evidence=self.evidence)
        return Outcome(verdict=Verdict.PASS, reason=self.says or _words(self), evidence=self.evidence)


def _words(checks: Checks) -> str:
    e = checks.evidence
    if "smallest_p" in e:
        seen = f", would have seen {e['detectable_tvd']:.2g}" if "detectable_tvd" in e else ""
        return f"{checks.count} checks, smallest p {e['smallest_p']:.2g} with {e['shots']} shots{seen}"
    if "largest_difference" in e:
        return f"{checks.count} checks, largest difference {e['largest_difference']:.1e}"
    return f"{checks.count} checks"
