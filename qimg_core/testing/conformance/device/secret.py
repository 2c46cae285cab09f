"""C20: credentials are in no handle, record, error or log (floor 8; imports the bench, session)."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.errors import QimgError
from qimg_core.ledger.memory import MemoryLedger
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.device.life import sent, small
from qimg_core.testing.conformance.road import new_session
from qimg_core.testing.faults import Fault, Point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.base import Ledger
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks
    from qimg_core.testing.conformance.site import Site

_PROVOKED = (
    (Fault.ERROR, Point.BEFORE_SEND),
    (Fault.DROPPED, Point.AFTER_ACCEPT),
    (Fault.GARBAGE, Point.AFTER_ACCEPT),
    (Fault.ERROR, Point.AFTER_ACKNOWLEDGEMENT),
    (Fault.MISSING_FIELDS, Point.AFTER_ACKNOWLEDGEMENT),
    (Fault.GARBAGE, Point.DURING_DOWNLOAD),
    (Fault.DROPPED, Point.DURING_DOWNLOAD),
)


@case("C20", "credentials are in no handle, record, snapshot, error or log line")
def _nowhere(bench: Bench, checks: Checks) -> None:
    if not bench.caps.remote and not bench.options.secrets:
        raise NotApplicable("a device in this process, without credentials: none are named in Options(secrets=...)")
    found: list[tuple[str, str]] = []
    with _logged(found), bench.site() as site:
        driver, ledger = site.driver, MemoryLedger()
        request = small(bench)
        plan, _, handle = sent(bench, driver, request)
        raw = bench.await_result(driver, handle)
        found.append(("plan", str((plan.decisions, plan.cost, plan.footprint, plan.backend))))
        found.append(("handle", json.dumps(handle.to_json())))
        found.append(
            ("result", str((raw.provider, raw.raw_digest, raw.kind)) + (raw.raw or b"").decode(errors="replace"))
        )
        found.append(("driver", repr(driver)))
        snapshot = driver.snapshot()
        found.append(("snapshot", "" if snapshot is None else str(dict(snapshot.data))))
        new_session(bench, site.another(), ledger).execute(request)
        found += _texts(ledger)
        _error(
            found, "an unknown job", lambda: driver.fetch(evolve(handle, key="0" * 64, provider_ids=("no-such-job",)))
        )
    _provoke(bench, found)
    for where, text in found:
        leaked = [s for s in bench.secrets if s in text]
        checks.that(f"no credential in {where}", not leaked, "it is there")
    checks.evidence |= {"texts": len(found), "characters": sum(len(t) for _, t in found)}
    checks.says = f"{len(found)} texts were searched"


def _provoke(bench: Bench, found: list[tuple[str, str]]) -> None:
    """Errors of every kind, where there is a fake to make them."""
    if bench.options.server is None:
        return
    for fault, point in _PROVOKED:
        with _logged(found), bench.fake() as site:
            site.server.faults.add(fault, point, 10_000)
            ledger = MemoryLedger()

            def run(site: Site = site, ledger: Ledger = ledger) -> None:
                new_session(bench, site.driver, ledger).execute(small(bench))

            _error(found, f"{fault.value} {point.value}", run)
            found += _texts(ledger)


def _error(found: list[tuple[str, str]], what: str, provoked: Any) -> None:
    try:
        provoked()
    except QimgError as error:
        found.append((f"the error of {what}", _whole(error)))


def _whole(error: BaseException | None) -> str:
    """Everything that somebody might print of an error, its causes too."""
    parts = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error may be its own cause
        seen.add(id(error))
        facts = getattr(error, "facts", {})
        parts.append(f"{error!s} {error!r} {facts!r} {getattr(error, '__notes__', [])!r}")
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def _texts(ledger: Ledger) -> list[tuple[str, str]]:
    """Every entry of a ledger, and every artefact that it names."""
    out = []
    for entry in ledger.entries():
        out.append((f"the entry {entry.kind}", entry.body.decode()))
        artefacts = entry.facts.get("artefacts", {})
        for name, digest in artefacts.items() if isinstance(artefacts, dict) else ():
            out.append((f"the artefact {name}", ledger.get(digest).decode("utf-8", errors="replace")))
    return out


@contextlib.contextmanager
def _logged(found: list[tuple[str, str]]) -> Iterator[None]:
    """Everything that is logged meanwhile, by anybody."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((f"the log of {record.name}", record.getMessage()))

    root, listener = logging.getLogger(), Listener(logging.DEBUG)
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


CASES = (_nowhere,)
