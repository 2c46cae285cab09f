"""Numbers of earlier executions, kept and used again, never in silence (floor 5; imports proposals)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qimg_core.executing import Executed
    from qimg_core.execution import ExecutionRecord, ExecutionRequest
    from qimg_core.routing import Route
    from qimg_core.session import Session


def remember(session: Session, record: ExecutionRecord, request: ExecutionRequest, data: Any) -> None:
    """Keep an execution's numbers in the ledger."""
    raise NotImplementedError


def remembered(session: Session, found: Route) -> Executed | None:
    """The numbers of the very same request, executed before on the same device; None where there are none."""
    raise NotImplementedError
