"""Executing a mitigated request: its parts on the one road, their combination in the record (floor 5).

Every part is planned, admitted, sent and recorded like any other request, under its own number; the
combination gets an entry ``mitigation.combined`` that names them. Imports mitigating, executing.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve

from qimg_core.execution import Plan, Result, array_digest
from qimg_core.job import Cost
from qimg_core.mitigating import combine, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest
    from qimg_core.session import Session


def mitigated_plan(session: Session, request: ExecutionRequest) -> Plan:
    """The plan of all parts together: their jobs, their cost, what each is for.

    Raises:
        ConfigurationError: see `qimg_core.mitigating.parts`.
        CapabilityError: the device cannot run a part.
    """
    made = parts(request)
    plans = [session.plan(part.request) for part in made.parts]
    said = [f"{part.name}: {d}" for part, plan in zip(made.parts, plans, strict=True) for d in plan.decisions]
    what = f"error mitigation: {len(plans)} requests ({', '.join(made.names)}), combined by us"
    return evolve(
        plans[0],
        request=request,
        lowered=plans[0].lowered,
        cost=_together([plan.cost for plan in plans]),
        decisions=(what, *(d for part in made.parts for d in part.decisions), *said),
        parts=tuple(plans),
    )


def _together(costs: Sequence[Cost]) -> Cost:
    first = costs[0]
    if len({c.unit for c in costs}) > 1 or any(c.high is None or c.low is None for c in costs):
        return Cost.unknown("; ".join(dict.fromkeys(c.basis for c in costs)), unit=first.unit)
    low = sum((c.low for c in costs if c.low is not None), start=Decimal(0))
    high = sum((c.high for c in costs if c.high is not None), start=Decimal(0))
    return Cost(low=low, high=high, unit=first.unit, basis=f"{len(costs)} requests: {first.basis}", date=first.date)


def execute_mitigated(session: Session, request: ExecutionRequest, label: str) -> Result:
    """Run every part, combine them, write both down.

    Raises:
        BudgetExceeded: all parts together pass the budget; nothing was sent.
        As `Session.execute` for each part, and `ResultError` where the read-out carries no information.
    """
    session.spending.check(mitigated_plan(session, request))
    made = parts(request)
    results = [session.execute_as(part.request, None, label, session.next_ordinal(), part.name) for part in made.parts]
    joint = not session.backend(results[0].record.ran_backend).capabilities.contracts
    data, facts = combine(request, made, [r.data for r in results], joint=joint)
    ordinals = [r.record.ordinal for r in results]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    session.record(
        "mitigation.combined",
        {
            "request": request.digest,
            "chosen": facts["chosen"],
            "parts": list(made.names),
            "ordinals": ordinals,
            "outside": facts["outside"],
            "output": array_digest(data),
            "artefacts": {"facts": session.put(text)},
        },
    )
    record = evolve(
        results[0].record,
        request=request.digest,
        circuit=request.circuit.digest,
        output=array_digest(data),
        decisions=(f"combined from requests {', '.join(map(str, ordinals))} ({', '.join(made.names)})",),
        mitigation="combined",
    )
    return Result(data=data, request=request, record=record)
