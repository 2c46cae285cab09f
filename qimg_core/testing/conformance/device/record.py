"""C17 and C22: what the ledger holds of an execution, and the device's account of itself (floor 8; imports session)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Billing
from qimg_core.execution import array_digest
from qimg_core.job import Cost
from qimg_core.ledger.memory import MemoryLedger
from qimg_core.routing import plan_for
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.device.life import floats_in, small
from qimg_core.testing.conformance.road import new_session
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.execution import Result
    from qimg_core.ledger.base import Ledger
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks


@case("C17.record", "the record names request, circuit, device, shots and what was returned, by digests that hold")
def _record(bench: Bench, checks: Checks) -> None:
    request, ledger = small(bench), MemoryLedger()
    with bench.site() as site:
        driver = site.driver
        plan = bench.plan(driver, request)
        with new_session(bench, driver, ledger) as session:
            result = session.execute(request, label="conformance")
    r = result.record
    checks.that("the circuit's digest", r.circuit == request.circuit.digest, r.circuit)
    checks.that("the request's digest", r.request == request.digest, r.request)
    checks.that("the output's digest", r.output == array_digest(result.data), str(r.output))
    checks.that("the device", r.ran_backend == bench.name, r.ran_backend)
    checks.that("its kind", r.device_kind == bench.caps.kind.value, r.device_kind)
    checks.that("shots and seed", (r.shots, r.seed) == (request.shots, request.seed), f"{r.shots}, {r.seed}")
    if request.shots is not None:
        checks.that("a digest of what was drawn or returned", bool(r.raw) or not plan.n_jobs, "raw_digest is missing")
    digests = [d for d in r.raw if not d.startswith("sha256:")]
    checks.that("digests name their hash", not digests, str(digests))
    checks.that("the ledger verifies", ledger.verify().verdict is Verdict.PASS, str(ledger.verify().problems))
    if bench.caps.remote or not isinstance(driver, LocalBackend):
        _jobs(bench, checks, ledger, result)
    checks.evidence["entries"] = [e.kind for e in ledger.entries()]
    checks.says = f"{len(ledger)} entries"


def _jobs(bench: Bench, checks: Checks, ledger: Ledger, result: Result) -> None:
    """What the ledger holds of jobs that left the process."""
    order = [e.kind for e in ledger.entries() if e.kind.startswith("job")]
    wanted = ["jobs.intended", "job.submitted", "job.finished"]
    checks.that("intent, handle and result, in this order", list(dict.fromkeys(order)) == wanted, str(order))
    checks.that("the record has the handles", len(result.record.jobs) > 0)
    checks.that("the plan has the circuit's figures", result.record.footprint is not None, "no footprint")
    for entry in ledger.entries(kind="job.finished"):
        artefacts: Any = entry.facts["artefacts"]
        if "raw" in artefacts:
            found = "sha256:" + hashlib.sha256(ledger.get(artefacts["raw"])).hexdigest()
            checks.that("raw_digest is the digest of raw", found == entry.facts["raw"], str(entry.facts["raw"]))
        else:
            checks.that("what was returned has a digest", entry.facts["raw"] is not None, "raw and raw_digest are None")
        said = entry.facts["sampling"]
        checks.that("who drew the shots", said in ("native", "client", "none"), f"sampling is {said!r}")
        if result.request.shots is not None:
            checks.that("sampled numbers were drawn by somebody", said != "none", "sampling is 'none' with shots")
        if bench.caps.calibrated:
            kept = {"snapshot_before", "snapshot_after"} <= set(artefacts)
            checks.that("the calibration before and after", kept, f"artefacts: {sorted(artefacts)}")


@case("C17.snapshot", "the device's snapshot is data without floats, the same from one moment to the next")
def _snapshot(bench: Bench, checks: Checks) -> None:
    with bench.site() as site:
        first, second = site.driver.snapshot(), site.another().snapshot()
    if first is None or second is None:
        if bench.caps.calibrated:
            checks.fail("the device claims a calibration and gives no snapshot")
            return
        raise NotApplicable("the driver gives no snapshot; the record says so")
    floats = floats_in(dict(first.data))
    checks.that("no floats", not floats, f"floats at {floats[:3]}")
    json.dumps(dict(first.data))
    changed = ", ".join(first.changed(second))
    checks.that("the digest is stable", first.digest == second.digest, f"changed within a moment: {changed}")
    checks.that("the moment has a time zone", first.taken_at.tzinfo is not None, str(first.taken_at))
    checks.evidence["digest"] = first.digest


@case("C22.account", "cost is estimated before anything is sent; footprint and claims are data")
def _account(bench: Bench, checks: Checks) -> None:
    caps = bench.caps
    with bench.site() as site:
        plan = plan_for(site.driver, small(bench))
        again = site.another().capabilities
    cost = plan.cost
    checks.that("the cost is a Cost", isinstance(cost, Cost), type(cost).__name__)
    checks.that("what it is based on", bool(cost.basis), "the basis is empty")
    if caps.billing is Billing.FREE:
        checks.that("free", cost.is_free, f"{cost.low} to {cost.high}")
    else:
        checks.that("not free by omission", not cost.is_free, "a device that bills estimated 0")
    if cost.high is not None and cost.low is not None:
        checks.that("bounds in order", cost.low <= cost.high, f"{cost.low} > {cost.high}")
    if caps.compiles:
        checks.that("a footprint, as claimed", plan.footprint is not None, "compiles is claimed")
    if plan.footprint is not None:
        f = plan.footprint
        checks.that("figures", f.wires >= 1 and f.depth >= 1 and f.two_qubit_gates >= 0, str(f))
        checks.that("what was counted", bool(f.basis), "the basis is empty")
    checks.that("claims do not change", again == caps, "another driver claims something else")
    checks.that("wires", caps.max_wires >= 1, str(caps.max_wires))
    low_high = caps.shots is None or (caps.shots[0] >= 1 and (caps.shots[1] is None or caps.shots[0] <= caps.shots[1]))
    checks.that("a range of shots", low_high, str(caps.shots))
    checks.that("shots or exact numbers", caps.analytic or caps.shots is not None, "neither is claimed")
    checks.evidence |= {
        "cost": cost.to_json(),
        "footprint": None if plan.footprint is None else plan.footprint.to_json(),
    }


CASES = (_record, _snapshot, _account)
