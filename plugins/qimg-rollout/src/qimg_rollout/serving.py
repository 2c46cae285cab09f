"""One request under a flag: decide the path, run it, go classical where it fails, judge the canary (imports state).

A run that serves a flag says so in its entry ``rollout.served``; the analysis of a canary counts these runs and no
others. Who was served is not written down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError, FallbackExhausted, PolicyError, QimgError
from qimg_core.noise import parse_noise
from qimg_core.session import Session
from qimg_core.verdict import Verdict
from qimg_rollout.baseline import at
from qimg_rollout.canary import Analysis, CanaryPlan, against, analyse
from qimg_rollout.sets import images_of
from qimg_rollout.state import Served, decide, in_use, required, roll_back
from qimg_rollout.stopping import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_core.budget import Budget
    from qimg_core.images import Images
    from qimg_core.ledger.base import Ledger
    from qimg_core.plugins import Registry

SERVED, JUDGED = "rollout.served", "rollout.judged"
_BREACHES = ("images.withheld", "route.fell_back", "plan.refused")


@frozen(kw_only=True, eq=False)
class Outcome:
    """What a subject got.

    Args:
        images: with run and entry.
        served: the path that made them, and why.
        analysis: of the canary, where this request led to a new one.
    """

    images: Images
    served: Served
    analysis: Analysis | None = None


@frozen(kw_only=True)
class Seen:
    """What a canary did: entries of images, and for each run that ended whether it failed, in order."""

    entries: tuple[int, ...]
    sizes: tuple[int, ...]
    failures: tuple[bool, ...]

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.sizes)


def serve(
    ledger: Ledger,
    registry: Registry,
    name: str,
    *,
    n: int,
    subject: str = "",
    cohorts: Iterable[str] = (),
    key: bytes | None = None,
    seed: int | None = None,
    condition: Sequence[int] | None = None,
    budget: Budget | None = None,
) -> Outcome:
    """Make images by the path that the flag gives to a subject, and judge the canary.

    Where the quantum path fails, the classical one runs in a run of its own, and says why. A canary that fails by this
    request is rolled back before it returns.

    Args:
        ledger: open for writing.
        registry: the plugins.
        name: of the flag.
        n: how many images.
        subject: who asks; not recorded.
        cohorts: what the subject opted in to.
        key: that sorts subjects, see `qimg_rollout.flags.bucket`.
        seed: of the run.
        condition: classes.
        budget: of each run.

    Raises:
        ConfigurationError: no flags in use; UnknownName: no such flag.
        QimgError: what broke on the classical path.
    """
    record(ledger)
    found, flag = required(ledger, name)
    served = decide(found, name, subject=subject, cohorts=cohorts, key=key)
    order: dict[str, Any] = {"n": n, "seed": seed, "condition": condition, "budget": budget}
    try:
        images = _make(ledger, registry, name, flag.path, served, found.entry, **order)
    except (QimgError, FallbackExhausted) as error:
        if served.variant == "off":
            raise
        word = "was refused" if isinstance(error, PolicyError) else "failed"
        reason = f"the quantum path {word}: {type(error).__name__}"
        served = Served(variant="off", reason=reason, settings=dict(flag.off))
        images = _make(ledger, registry, name, flag.path, served, found.entry, **order)
    analysis = judge(ledger, name) if flag.path in found.started and flag.path not in found.back else None
    return Outcome(images=images, served=served, analysis=analysis)


def _make(
    ledger: Ledger,
    registry: Registry,
    name: str,
    path: str,
    served: Served,
    flags: int,
    *,
    n: int,
    seed: int | None,
    condition: Sequence[int] | None,
    budget: Budget | None,
) -> Images:
    s = served.settings
    session = Session(
        ledger,
        seed=seed,
        backend=s.get("backend", "simulator"),
        fallback=s.get("fallback", ()),
        shots=s.get("shots"),
        noise=parse_noise(s["noise"]) if "noise" in s else None,
        budget=budget,
        activity="generate",
        registry=registry,
    )
    with session:
        facts = {
            "schema": "qimg.served/1",
            "flag": name,
            "flags": flags,
            "path": path,
            "variant": served.variant,
            "reason": served.reason,
        }
        session.record(SERVED, facts)
        changes = {"arm": s["arm"]} if "arm" in s else {}
        model = session.generator(s["generator"], weights=s.get("weights"), **changes)
        return model.sample(n, condition=condition, seed=seed)


def seen(ledger: Ledger, path: str, start: int) -> Seen:
    """What the ``on`` runs of a path did since an entry."""
    runs = {
        e.run: None
        for e in ledger.entries(kind=SERVED, start=start)
        if e.facts["path"] == path and e.facts["variant"] == "on"
    }
    entries, sizes, failures = [], [], []
    for run in runs:
        kinds, ended, bad = set(), False, False
        for entry in ledger.entries(run=run, start=start):
            kinds.add(entry.kind)
            if entry.kind == "images.made":
                entries.append(entry.index)
                sizes.append(int(entry.facts["n"]))
            elif entry.kind == "run.finished":
                ended, bad = True, entry.facts["status"] != "ok"
        if ended or run != next(reversed(runs)):  # a run that broke off has no end, and later ones follow it
            failures.append(bad or not ended or any(kind in kinds for kind in _BREACHES))
    return Seen(entries=tuple(entries), sizes=tuple(sizes), failures=tuple(failures))


def judge(ledger: Ledger, name: str, *, again: bool = False) -> Analysis | None:
    """Judge a flag's canary where a look was reached, or where its runs fail; roll it back where it fails.

    Args:
        ledger: open for writing.
        name: of the flag.
        again: also where nothing new was reached.

    Returns:
        the analysis, which is in the ledger; None where there was nothing new to judge.

    Raises:
        ConfigurationError: no canary of this flag runs.
    """
    found, flag = required(ledger, name)
    if flag.path not in found.started:
        raise ConfigurationError(f"no canary of {name} was started", hint=f"qimg rollout start {name} --baseline NAME")
    begun = ledger.entry(found.started[flag.path])
    plan, now = CanaryPlan.from_json(begun.facts), seen(ledger, flag.path, begun.index)
    failing = against(now.failures, plan.failing) >= 2 / plan.alpha
    reached = sum(now.images >= size for size in plan.looks)
    before = [e.facts for e in ledger.entries(kind=JUDGED, start=begun.index) if e.facts["path"] == flag.path]
    if not again and not failing and reached <= max((len(f["looks"]) for f in before), default=0):
        return None
    if before and not again and before[-1]["verdict"] == Verdict.FAIL.value:
        return None
    images = images_of(ledger, now.entries) if now.entries else None
    analysis = analyse(plan, at(ledger, begun.facts["baseline"]).sets, images, now.failures)
    facts = {
        "schema": "qimg.canary/1",
        "flag": name,
        "path": flag.path,
        "plan": begun.index,
        "entries": list(now.entries)[-1000:],
        **analysis.to_json(),
    }
    ledger.append(JUDGED, facts=facts)
    if analysis.verdict is Verdict.FAIL:
        roll_back(ledger, name, reason=analysis.reason, by="canary")
    return analysis


def status(ledger: Ledger) -> list[dict[str, Any]]:
    """One document for each flag in use: state, rollback, canary and its newest verdict."""
    found = in_use(ledger)
    if found is None:
        return []
    judged = {e.facts["path"]: e for e in ledger.entries(kind=JUDGED)}
    documents = []
    for name, flag in sorted(found.flags.flags.items()):
        last = judged.get(flag.path)
        documents.append(
            {
                "flag": name,
                "state": flag.state.value,
                "attempt": flag.attempt,
                "rolled_back": found.back.get(flag.path),
                "stopped": found.stopped.get(flag.path),
                "canary": found.started.get(flag.path),
                "verdict": None if last is None else last.facts["verdict"],
                "reason": None if last is None else last.facts["reason"],
                "judged": None if last is None else last.index,
            }
        )
    return documents
