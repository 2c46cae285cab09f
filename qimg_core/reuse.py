"""Numbers of earlier executions, kept and used again, never in silence (floor 5; imports proposals, executing)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from qimg_core.executing import Executed
from qimg_core.execution import is_tensor
from qimg_core.keeping import KEPT, keep, worth_keeping
from qimg_core.proposals import REUSED, Proposals, reused

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRecord, ExecutionRequest
    from qimg_core.routing import Route
    from qimg_core.session import Session


def remember(session: Session, record: ExecutionRecord, request: ExecutionRequest, data: Any) -> None:
    """Keep an execution's numbers in the ledger; those that carry a gradient graph are left out."""
    if is_tensor(request.inputs) or not worth_keeping(record):
        return
    now = dt.datetime.now(dt.UTC)
    session.record(KEPT, keep(session.put, request, record, data, run=session.run, at=now))


def remembered(session: Session, found: Route) -> Executed | None:
    """The numbers of the very same request, executed before on the same device; None where there are none."""
    request = found.plan.request
    if is_tensor(request.inputs):
        return None
    if session.known_proposals is None:
        session.known_proposals = Proposals(session.ledger)
    proposal = session.known_proposals.find(request, backend=found.backend.name)
    if proposal is None:
        return None
    facts = reused(proposal, request, now=dt.datetime.now(dt.UTC))
    session.record(REUSED, facts)
    return Executed(
        data=proposal.data(),
        identity=request.digest,
        decisions=(f"numbers of {proposal.source} used again, {facts['age_seconds']} s old; nothing was sent",),
        reused=proposal.source,
        kind=proposal.device_kind,
    )
