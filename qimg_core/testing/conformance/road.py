"""A real `Session` for a case, and looking over a driver's shoulder (floor 8; imports session, ledger)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.budget import Budget
from qimg_core.jobs.polling import Polling
from qimg_core.plugins import Registry
from qimg_core.session import Session

if TYPE_CHECKING:
    from qimg_core.backend import Backend
    from qimg_core.ledger.base import Ledger
    from qimg_core.testing.conformance.bench import Bench


class Crash(BaseException):
    """Stands for the end of the process: no `except Exception` stops it."""


def new_session(
    bench: Bench, driver: Backend, ledger: Ledger | None = None, *, resume: str | None = None, **polling: Any
) -> Session:
    """A session on a driver, with no other plugin; the kit's own budget has been asked before.

    Args:
        bench: seed and pauses.
        driver: the device.
        ledger: shared by the sessions of a case; None for one of its own.
        resume: a run of that ledger.
        polling: changes of `Polling`.
    """
    return Session(
        ledger,
        seed=None if resume else bench.options.seed,
        backend=driver,
        registry=Registry(discover=False),
        budget=Budget(allow_unknown_cost=True),
        polling=Polling(**{"sleep": bench.polling.sleep, **polling}),
        resume=resume,
    )


def watched(driver: Backend) -> list[str]:
    """The keys of all intents that are submitted to this driver object from now on."""
    calls: list[str] = []
    real = driver.submit

    def submit(plan: Any, job: int, *, intent: Any) -> Any:
        calls.append(intent.key)
        return real(plan, job, intent=intent)

    _put(driver, "submit", submit)
    return calls


def crash_in(driver: Backend, verb: str, *, after: bool) -> None:
    """Let the process "end" when a verb is called for the first time, before or after it has done its work."""
    real = getattr(driver, verb)

    def crashing(*args: Any, **kwargs: Any) -> Any:
        if after:
            real(*args, **kwargs)
        raise Crash(verb)

    _put(driver, verb, crashing)


def _put(driver: Backend, name: str, function: Any) -> None:
    """On this object only; past `__setattr__`, which a frozen driver refuses."""
    object.__setattr__(driver, name, function)
