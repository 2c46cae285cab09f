"""What a job costs, in IonQ's own words (imports answers; the core's plan and settings)."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.circuit.gates import TWO_WIRE
from qimg_core.job import Cost
from qimg_core.settings import rotated, settings_for
from qimg_ionq.answers import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.execution import Plan
    from qimg_ionq.devices import Device


@frozen
class Work:
    """What IonQ is asked the price of: so many circuits alike.

    Args:
        qubits, one, two: of a circuit: its qubits, its gates of one and of two qubits (the mean over the settings,
            rounded up).
        shots: of each.
        circuits: how many.
    """

    qubits: int
    one: int
    two: int
    shots: int
    circuits: int

    def query(self, device: Device) -> dict[str, str | int]:
        """Parameters of ``GET /jobs/estimate``, for one circuit."""
        return {
            "backend": device.target,
            "type": "ionq.circuit.v1",
            "qubits": self.qubits,
            "shots": self.shots,
            "1q_gates": self.one,
            "2q_gates": self.two,
            "error_mitigation": "true" if device.debiasing else "false",
        }


def works(plan: Plan) -> list[Work]:
    """What a plan asks of the device, by the shots of its pieces."""
    lowered = plan.lowered
    settings = settings_for(lowered.measurement)
    two = sum(g.name in TWO_WIRE for g in lowered.circuit.gates)
    gates = sum(len(rotated(lowered.circuit, s).gates) for s in settings)
    one = math.ceil(gates / len(settings)) - two
    pieces = plan.shots_per_job or (lowered.shots or 1,)
    return [
        Work(lowered.circuit.n_wires, one, two, shots, lowered.rows * len(settings) * pieces.count(shots))
        for shots in sorted(set(pieces))
    ]


def quoted(document: Any, work: Work) -> Cost:
    """IonQ's answer to the question what one circuit costs, times the circuits; unknown where it does not say.

    Where a job has a least price, a circuit among several may cost less than alone: then the lower bound is that
    of one job.
    """
    document = document if isinstance(document, dict) else {}
    each, unit, at = (
        number(document.get("estimated_total_cost")),
        document.get("estimated_unit"),
        document.get("estimated_at"),
    )
    if each is None or each < 0 or not isinstance(unit, str) or not unit:
        return Cost.unknown("IonQ's estimate names no price")
    card = document.get("rate_card")
    card = card if isinstance(card, dict) else {}
    least = _least(card)
    total = each * work.circuits
    return Cost(
        low=each if least is not None and each <= least else total,
        high=total,
        unit=_unit(unit),
        basis=(
            f"IonQ's estimate for a circuit of {work.one} one-qubit and {work.two} two-qubit gates as written, "
            f"{work.shots} shots, times {work.circuits} circuits; rate card {str(card.get('id', 'not named'))[:64]}"
        ),
        date=at if isinstance(at, str) else None,
    )


def together(costs: list[Cost]) -> Cost:
    """The sum of costs in one unit; unknown where one of them is, or where the units differ."""
    first = costs[0]
    if len(costs) == 1:
        return first
    if any(c.low is None or c.high is None or c.unit != first.unit for c in costs):
        return Cost.unknown("IonQ's estimates name no price, or several units")
    low, high = (
        sum((c.low or Decimal(0) for c in costs), Decimal(0)),
        sum((c.high or Decimal(0) for c in costs), Decimal(0)),
    )
    return Cost(low=low, high=high, unit=first.unit, basis="; ".join(c.basis for c in costs), date=first.date)


def billed(document: Any) -> Cost | None:
    """The ``cost`` of ``GET /jobs/{id}/cost``; None where there is none (yet)."""
    found = document.get("cost") if isinstance(document, dict) else None
    if not isinstance(found, dict):
        return None
    value, unit = number(found.get("value")), found.get("unit")
    if value is None or not isinstance(unit, str):
        return None
    return Cost.exactly(value, unit=_unit(unit), basis="billed by IonQ for this job")


def _least(card: Mapping[str, Any]) -> Decimal | None:
    rates = card.get("rates")
    found = [number(r.get("job_cost_minimum")) for r in rates if isinstance(r, dict)] if isinstance(rates, list) else []
    return max((f for f in found if f is not None), default=None)


def _unit(word: str) -> str:
    return {"usd": "USD", "credit": "credits"}.get(word.lower(), word)
