"""Re-running a recorded run through the same road, and comparing (floor 7; imports session and below).

Images of a simulator are promised to be equal to the byte in the same environment; elsewhere a
difference is reported with what differs. Training is re-run from its record and its weights compared.
"""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.admission import STATED
from qimg_core.budget import Budget
from qimg_core.config import config_from_json
from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.images import pixels_from_bytes
from qimg_core.mitigation import Mitigation
from qimg_core.noise import NoiseModel
from qimg_core.paired import paired_test
from qimg_core.replay_record import Replay, environments, record_replay, same_threads
from qimg_core.sampling_noise import from_npy
from qimg_core.session import Session
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.datasets import ImageSource
    from qimg_core.images import TrainStep
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.plugins import Registry

__all__ = ["SHIFT", "Replay", "find_images", "replay_images", "replay_training", "session_like", "started"]

SHIFT = 0.05
"""What a statistical pass on images excludes by default, of a pixel in [0, 1]."""


def find_images(ledger: Ledger, *, run: str | None = None, entry: int | None = None) -> Entry:
    """The ``images.made`` entry of a run, or the entry itself.

    Raises:
        LedgerError: the ledger holds no such images.
    """
    if entry is not None:
        found = ledger.entry(entry)
        if found.kind == "images.made" and run in (None, found.run):
            return found
        raise LedgerError(f"entry {entry} is {found.kind} of run {found.run}, not images of run {run}")
    made = list(ledger.entries(run=run, kind="images.made"))
    if not made:
        raise LedgerError(f"this ledger holds no images of run {run}", hint="qimg ledger log lists its runs")
    return made[-1]


def started(ledger: Ledger, run: str) -> Entry:
    """The first entry of a run."""
    for entry in ledger.entries(run=run, kind="run.started"):
        return entry
    raise LedgerError(f"this ledger holds no run {run}")


def session_like(
    ledger: Ledger,
    run: str,
    *,
    registry: Registry | None,
    seed: int | None = None,
    budget: Budget | None = None,
) -> Session:
    """A new session with everything that the recorded one was given, but for its budget: without one, free work."""
    opening = started(ledger, run)
    facts = opening.facts
    noise, mitigation = facts["noise"], facts.get("mitigation")
    if noise is not None and "rules" not in noise:
        noise = json.loads(ledger.get(opening.artefacts["noise"]))
    return Session(
        ledger,
        seed=int(facts["seed"]) if seed is None else seed,
        backend=facts["backend"],
        fallback=tuple(facts["fallback"]),
        shots=facts["shots"],
        noise=None if noise is None else NoiseModel.from_json(noise),
        mitigation=None if mitigation is None else Mitigation(**mitigation),
        budget=budget or Budget(max_cost=Decimal(0)),
        profile=facts["profile"],
        activity="replay",
        context={name: str(opening.claims[name]) for name in STATED if name in opening.claims},
        registry=registry,
    )


def replay_images(
    ledger: Ledger,
    *,
    run: str | None = None,
    entry: int | None = None,
    registry: Registry | None = None,
    budget: Budget | None = None,
    alpha: float = 0.01,
    effect: float | None = None,
) -> Replay:
    """Make recorded images again and compare the 8-bit pixels.

    Where a device takes fresh shots, nothing promises equal bytes; `qimg_core.paired.paired_test` decides then.

    Args:
        ledger: holds the images, open for writing: the repetition has a record of its own.
        run: whose images; by default the last ones of the ledger.
        entry: of these images, instead.
        registry: the plugins.
        budget: what the repetition may spend; by default nothing.
        alpha: chance of calling equal distributions different.
        effect: smallest shift of a pixel, in [0, 1], that a pass has to exclude; `SHIFT` by default.

    Raises:
        LedgerError: no such images, or their weights are not in the ledger.
        BudgetExceeded: the device costs, and the budget does not allow it.
    """
    bound = SHIFT if effect is None else effect
    old = find_images(ledger, run=run, entry=entry)
    assert old.run is not None
    facts = old.facts
    names = facts["artefacts"]
    if "weights" not in names:
        raise LedgerError("these images were made by a model that was never saved: there are no weights to replay")
    before = started(ledger, old.run)
    with (
        session_like(ledger, old.run, registry=registry, budget=budget) as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        same_threads(facts["threads"])
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(ledger.get(names["weights"]))
        model = session.generator(facts["generator"], weights=path)
        condition = facts["condition"]
        if condition is None:
            raise LedgerError("the record holds no classes for more than 1,000 images", hint="replay a smaller run")
        if facts["seed"] is not None:
            again = model.sample(facts["n"], condition=condition, seed=int(facts["seed"]))
        else:
            again = model.sample(facts["n"], condition=condition, noise=from_npy(ledger.get(names["noise"])))
        environment = environments(ledger, before, started(ledger, session.run))
        replay = Replay(
            verdict=Verdict.PASS,
            run=old.run,
            new_run=session.run,
            first_difference=None,
            environment=environment,
            measured={"pixels": again.digest},
        )
        if again.digest != facts["pixels"]:
            difference = _first_pixel(ledger, names, again) or "the pixels differ"
            marks = (facts.get("marks", []), again.record.get("marks", []))
            if marks[0] != marks[1]:  # the settings of marks are not part of a run
                difference = f"{difference}; marks: recorded {marks[0] or 'none'}, now {marks[1] or 'none'}"
            excused = bool(environment) or marks[0] != marks[1]
            verdict = Verdict.INCONCLUSIVE if excused else Verdict.FAIL
            replay = evolve(replay, verdict=verdict, first_difference=difference)
            if _fresh_samples(session, before, facts):
                was = pixels_from_bytes(ledger.get(names["pixels"]))
                replay = _judged(replay, was, again.to_uint8(), session.seed_for("replay", "signs"), alpha, bound)
        stated = {} if replay.method == "bytes" else {"alpha": repr(alpha), "effect": repr(bound)}
        return record_replay(session, replay, product="images", entry=old.index, stated=stated)


def _fresh_samples(session: Session, before: Entry, facts: dict[str, Any]) -> bool:
    """Whether nothing promises equal bytes: shots of a device that takes no seed."""
    if "qpu" in facts["device_kinds"]:
        return True
    return before.facts["shots"] is not None and not session.backend(session.chain[0]).capabilities.seeded


def _judged(replay: Replay, was: Any, now: Any, seed: int, alpha: float, bound: float) -> Replay:
    """The verdict of the paired test, in place of the comparison of bytes."""
    found = paired_test(was, now, seed=seed, alpha=alpha)
    measured = {**replay.measured, "p": f"{found.p:.3g}", "shift": f"{found.shift:.3g}"}
    measured["detectable_shift"] = f"{found.detectable:.3g}"
    if found.p <= alpha:
        verdict = Verdict.FAIL
        said = f"the images differ by more than shots (p = {found.p:.2g}, mean shift {found.shift:.3g})"
    elif found.detectable <= bound:
        verdict, said = Verdict.PASS, f"equal up to shots: no shift of {found.detectable:.3g} or more"
    else:
        verdict = Verdict.INCONCLUSIVE
        said = f"no shift is seen, and none below {found.detectable:.3g} would have been; {bound:g} was asked"
    return evolve(replay, verdict=verdict, first_difference=said, measured=measured, method="paired permutation test")


def replay_training(
    ledger: Ledger,
    run: str,
    images: ImageSource,
    *,
    tolerance: float = 1e-3,
    samples: int = 16,
    registry: Registry | None = None,
    progress: Callable[[TrainStep], None] | None = None,
    budget: Budget | None = None,
) -> Replay:
    """Train again from the record and compare weights and samples.

    Args:
        ledger: holds the training.
        run: its run id.
        images: the same data; its digest is compared before anything is trained.
        tolerance: greatest difference of any pixel of ``samples`` images from equal noise, in [0, 1].
        samples: how many images are compared.
        registry: the plugins.
        progress: called after each step.
        budget: what the repetition may spend; by default nothing.

    Raises:
        LedgerError: no finished training of that run.
        ConfigurationError: other data.
    """
    import numpy as np

    from qimg_core.weights import load_weights

    old = next(iter(ledger.entries(run=run, kind="weights.saved")), None)
    if old is None:
        raise LedgerError(f"run {run} saved no weights in this ledger")
    facts = old.facts
    if images.digest != facts["data"]["digest"]:
        raise ConfigurationError(f"run {run} learned data {facts['data']['digest']}, this is {images.digest}")
    before = started(ledger, run)
    with (
        session_like(ledger, run, registry=registry, budget=budget) as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        same_threads(before.facts["threads"])
        cls = session.registry.load("generator", facts["generator"])
        config = config_from_json(cls.config_type, facts["config"])
        path = Path(folder) / "recorded.safetensors"
        path.write_bytes(ledger.get(facts["artefacts"]["weights"]))
        recorded = load_weights(path, format=cls.weights_format).arrays
        model = session.generator(facts["generator"], config=config)
        if facts.get("from_weights"):
            path.write_bytes(ledger.get(facts["from_weights"]))
            model.load(load_weights(path, format=cls.weights_format).arrays)
        for step in model.fit(images, steps=facts["steps"]):
            if progress is not None:
                progress(step)
        state = model.state()
        worst = max(
            float(np.abs(np.asarray(state[k], float) - np.asarray(v, float)).max(initial=0))
            for k, v in recorded.items()
        )
        other = session.generator(facts["generator"], config=config)
        other.load(recorded)
        seed = session.seed_for("replay samples")
        a, b = model.sample(samples, seed=seed), other.sample(samples, seed=seed)
        pixel = float(np.abs(a.pixels - b.pixels).max())
        environment = environments(ledger, before, started(ledger, session.run))
        difference = None if worst == 0 else f"weights differ by at most {worst:.3g}, pixels by at most {pixel:.3g}"
        verdict = Verdict.PASS if pixel <= tolerance else Verdict.INCONCLUSIVE if environment else Verdict.FAIL
        replay = Replay(
            verdict=verdict,
            run=run,
            new_run=session.run,
            first_difference=difference,
            environment=environment,
            measured={"weights": repr(worst), "pixels": repr(pixel), "tolerance": repr(tolerance)},
            method="samples of the weights",
        )
        return record_replay(session, replay, product="weights", entry=old.index, stated={"tolerance": repr(tolerance)})


def _first_pixel(ledger: Ledger, names: dict[str, str], again: Any) -> str | None:
    old = json.loads(ledger.get(names["image_digests"]))
    for i, (was, now) in enumerate(zip(old, again.digests(), strict=False)):
        if was != now:
            return f"image {i}: pixels {was[:23]}... became {now[:23]}..."
    return None if len(old) == len(again) else f"{len(old)} images became {len(again)}"
