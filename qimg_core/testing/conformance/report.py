"""Verdicts with their evidence, and the report that collects them (floor 8; imports verdict, environment)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA = "qimg.conformance/1"


@frozen(kw_only=True)
class Outcome:
    """How one case ended.

    Args:
        verdict: pass, fail, inconclusive (it could not be decided) or not_applicable (nothing is claimed).
        reason: in one sentence: what was found, or why not.
        evidence: numbers behind it: differences and tolerances; shots, p-values and the smallest effect
            that would have been seen; JSON.
    """

    verdict: Verdict
    reason: str
    evidence: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class CaseResult:
    """One case of a report.

    Args:
        case: its id, such as ``C2.zoo5``.
        title: what it asserts.
        outcome: how it ended.
        seconds: wall time.
    """

    case: str
    title: str
    outcome: Outcome
    seconds: float

    @property
    def verdict(self) -> Verdict:
        return self.outcome.verdict

    def to_json(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "title": self.title,
            "verdict": self.verdict.value,
            "reason": self.outcome.reason,
            "evidence": plain(self.outcome.evidence),
            "seconds": round(self.seconds, 3),
        }


def _results(results: Iterable[CaseResult]) -> tuple[CaseResult, ...]:
    return tuple(results)


@frozen(kw_only=True)
class Report:
    """What the kit found out about one component.

    Args:
        kind: backend, encoder, ansatz, observable or generator.
        subject: the component's name.
        results: one for each case, in order.
        claims: what the component promises, as far as it is data.
        settings: of the kit.
        environment: versions and hardware.
        at: when it began, ISO 8601.
    """

    kind: str
    subject: str
    results: tuple[CaseResult, ...] = field(converter=_results)
    claims: Mapping[str, Any] = field(factory=dict)
    settings: Mapping[str, Any] = field(factory=dict)
    environment: Mapping[str, Any] = field(factory=dict)
    at: str = ""

    @property
    def verdict(self) -> Verdict:
        """Fail where a case failed, else inconclusive where one could not be decided, else pass."""
        found = {r.verdict for r in self.results}
        for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
            if worst in found:
                return worst
        return Verdict.NOT_APPLICABLE

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the cases that failed."""
        return tuple(r.case for r in self.results if r.verdict is Verdict.FAIL)

    def __getitem__(self, case: str) -> CaseResult:
        """One case by its id.

        Raises:
            KeyError: there is no such case in this report.
        """
        for result in self.results:
            if result.case == case:
                return result
        raise KeyError(case)

    def counted(self) -> dict[str, int]:
        """How many cases ended how."""
        return {v.value: sum(r.verdict is v for r in self.results) for v in Verdict}

    def to_json(self) -> dict[str, Any]:
        """The whole report as a JSON document."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "subject": self.subject,
            "verdict": self.verdict.value,
            "counted": self.counted(),
            "at": self.at,
            "claims": plain(self.claims),
            "settings": plain(self.settings),
            "environment": plain(self.environment),
            "cases": [r.to_json() for r in self.results],
        }

    def lines(self) -> list[str]:
        """The report as a plain table."""
        width = max((len(r.case) for r in self.results), default=4)
        out = [
            f"{r.case.ljust(width)}  {r.verdict.value.ljust(14)}  {r.title}: {r.outcome.reason}" for r in self.results
        ]
        counted = ", ".join(f"{n} {v}" for v, n in self.counted().items() if n)
        return [*out, f"{self.kind} {self.subject}: {self.verdict.value} ({counted})"]


def plain(value: Any) -> Any:
    """The same as JSON: numpy numbers as Python's, infinities and NaN as words, everything else as text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [plain(v) for v in items]
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return str(value)
