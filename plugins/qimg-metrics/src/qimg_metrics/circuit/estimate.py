"""`CircuitEstimate`: an estimate beside the value that perfectly random states would give (imports bootstrap)."""

from __future__ import annotations

import attrs

from qimg_metrics.bootstrap import Estimate, number


@attrs.frozen(kw_only=True)
class CircuitEstimate(Estimate):
    """A number of a circuit, with its interval, its N, and what to read it against.

    Args:
        reference: the value of Haar-random states (or unitaries) for the same number of wires and samples.
        reference_of: what the reference is, in words.
        warning: what a reader must not overlook; empty where there is nothing.
        seed: of the random parameters.
    """

    reference: float
    reference_of: str
    warning: str = ""
    seed: int

    def __str__(self) -> str:
        text = f"{super().__str__()}; {self.reference_of} {number(self.reference)}"
        return f"{text}; warning: {self.warning}" if self.warning else text
