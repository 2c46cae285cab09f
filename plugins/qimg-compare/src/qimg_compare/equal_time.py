"""As many steps as fit into another arm's measured training time (imports qimg_core, result; no torch of its own).

"Latency-matched" in the literature means either equal time of training or equal time of sampling. Here it is the
training: the arm gets the seconds that the named arm's training took at the same seed, in this comparison, on this
machine. How many steps that is must be known before the first one, as the learning rate depends on it. So two short
trainings, recorded in the log of the run, are timed; the slope is a step, the rest is what a training takes once.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from qimg_compare.result import read_result, run_folder
from qimg_core.errors import ConfigurationError
from qimg_core.ledger.canonical import real
from qimg_core.session import Session
from qimg_core.storage import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qimg_compare.plan import ArmPlan, ComparePlan
    from qimg_core.datasets import ImageSource

MOST = 1_000_000
SHORT = 20
"""Steps of the shorter timed training; the longer has three times as many."""
FILE = "equal-time.json"


@frozen(kw_only=True)
class EqualTime:
    """What was measured and decided for one run.

    Args:
        of: the arm whose time is matched.
        seconds: its training took at this seed.
        per_step: seconds of a step of this arm.
        once: seconds that its training takes once, however many steps follow.
        steps: that it gets.
    """

    of: str
    seconds: float
    per_step: float
    once: float
    steps: int

    def to_json(self) -> dict[str, Any]:
        """For the record, without floats."""
        numbers = {k: real(getattr(self, k)) for k in ("seconds", "per_step", "once")}
        return {"of": self.of, "steps": self.steps, **numbers}


def affordable(of: str, seconds: float, short: tuple[int, float], long: tuple[int, float]) -> EqualTime:
    """How many steps ``seconds`` pay for, from two timed trainings (steps, seconds); at least 1, at most `MOST`.

    Raises:
        ConfigurationError: times that are not positive, or a longer training of no more steps.
    """
    (a, first), (b, second) = short, long
    if b <= a or not min(seconds, first, second) > 0:
        raise ConfigurationError(f"wanted positive times of more and more steps, got {seconds}, {short}, {long}")
    per_step = (second - first) / (b - a)
    if per_step <= 0:  # a busy machine: the longer was not slower
        per_step = second / b
    once = max(0.0, first - per_step * a)
    steps = min(MOST, max(1, int((seconds - once) / per_step)))
    return EqualTime(of=of, seconds=seconds, per_step=per_step, once=once, steps=steps)


def equal_time(
    home: Path,
    own: Path,
    plan: ComparePlan,
    arm: ArmPlan,
    images: ImageSource,
    given: dict[str, Any],
    clock: Callable[[], float] = time.perf_counter,
) -> EqualTime:
    """What this run gets; measured once, and read again by a process that goes on.

    Args:
        home: of the comparison.
        own: of the run.
        plan: of the comparison.
        arm: of it, with ``time_of``.
        images: of the training.
        given: what a session of the run is told.
        clock: seconds.

    Raises:
        ConfigurationError: the named arm has left no time at this seed.
    """
    file = own / FILE
    if file.exists():
        d = json.loads(file.read_bytes())
        return EqualTime(**{**d, **{k: float(d[k]) for k in ("seconds", "per_step", "once")}})
    assert arm.time_of is not None
    seed = given["seed"]
    there = read_result(run_folder(home, arm.time_of, seed), plan=plan.digest, arm=arm.time_of, seed=seed)
    seconds = None if there is None else there[0].train_seconds
    if seconds is None:
        raise ConfigurationError(
            f"{arm.name} gets the training time of {arm.time_of}, which is not known at seed {seed}",
            hint=f"its run failed, or was stopped as its training ended; remove runs/{arm.time_of}/seed-{seed}",
        )
    _timed(own, arm, images, given, SHORT, clock)  # what is made once in a process: libraries, compiled programs
    short, long = ((n, _timed(own, arm, images, given, n, clock)) for n in (SHORT, 3 * SHORT))
    found = affordable(arm.time_of, seconds, short, long)
    facts = {"schema": "qimg.compare.equal-time/1", "arm": arm.name, "seed": seed, **found.to_json()}
    with Session(own / "ledger", seed=seed, registry=given["registry"]) as session:
        session.record("compare.equal-time", facts)
    write_atomic(file, json.dumps({**asdict(found), **found.to_json()}).encode())
    return found


def _timed(
    own: Path, arm: ArmPlan, images: ImageSource, given: dict[str, Any], steps: int, clock: Callable[[], float]
) -> float:
    with Session(own / "ledger", **{**given, "profile": "light", "activity": "train"}) as session:
        model = session.generator(arm.generator, **{**arm.settings, "arm": arm.arm})
        begin = clock()
        for _ in model.fit(images, steps=steps):
            pass
        return clock() - begin
