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

from attrs import frozen

from qimg_core.budget import Budget
from qimg_core.config import config_from_json
from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.mitigation import Mitigation
from qimg_core.noise import NoiseModel
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


@frozen(kw_only=True)
class Replay:
    """What a re-run showed.

    Args:
        verdict: pass (equal), fail, or inconclusive (nothing promises equality there).
        run: the run that was repeated.
        new_run: the run that repeated it; it has a record of its own.
        first_difference: where the two first differ, in words; None where they are equal.
        environment: packages and hardware that differ, in words.
        measured: numbers of the comparison, as strings.
    """

    verdict: Verdict
    run: str
    new_run: str
    first_difference: str | None
    environment: tuple[str, ...]
    measured: dict[str, str]


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
        registry=registry,
    )


def replay_images(
    ledger: Ledger,
    *,
    run: str | None = None,
    entry: int | None = None,
    registry: Registry | None = None,
    budget: Budget | None = None,
) -> Replay:
    """Make recorded images again and compare the 8-bit pixels.

    Args:
        ledger: holds the images, open for writing: the repetition has a record of its own.
        run: whose images; by default the last ones of the ledger.
        entry: of these images, instead.
        registry: the plugins.
        budget: what the repetition may spend; by default nothing.

    Raises:
        LedgerError: no such images, or their weights are not in the ledger.
        BudgetExceeded: the device costs, and the budget does not allow it.
    """
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
        _same_threads(facts["threads"])
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
        difference = None
        measured: dict[str, str] = {"pixels": again.digest}
        if again.digest != facts["pixels"]:
            difference = _first_pixel(ledger, names, again) or "the pixels differ"
        environment = _environments(ledger, before, started(ledger, session.run))
        verdict = Verdict.PASS if difference is None else Verdict.FAIL
        sampled = facts["device_kinds"] == ["qpu"]
        if verdict is Verdict.FAIL and (sampled or environment):
            verdict = Verdict.INCONCLUSIVE
        session.record(
            "replay.compared",
            {
                "of": old.run,
                "entry": old.index,
                "verdict": verdict.value,
                "first_difference": difference,
                "environment": list(environment),
                "measured": measured,
            },
        )
        return Replay(
            verdict=verdict,
            run=old.run,
            new_run=session.run,
            first_difference=difference,
            environment=environment,
            measured=measured,
        )


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
        _same_threads(before.facts["threads"])
        cls = session.registry.load("generator", facts["generator"])
        config = config_from_json(cls.config_type, facts["config"])
        path = Path(folder) / "recorded.safetensors"
        path.write_bytes(ledger.get(facts["artefacts"]["weights"]))
        recorded = load_weights(path, format=cls.weights_format).arrays
        model = session.generator(facts["generator"], config=config)
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
        environment = _environments(ledger, before, started(ledger, session.run))
        difference = None if worst == 0 else f"weights differ by at most {worst:.3g}, pixels by at most {pixel:.3g}"
        verdict = Verdict.PASS if pixel <= tolerance else Verdict.INCONCLUSIVE if environment else Verdict.FAIL
        measured = {"weights": repr(worst), "pixels": repr(pixel), "tolerance": repr(tolerance)}
        session.record(
            "replay.compared",
            {
                "of": run,
                "entry": old.index,
                "verdict": verdict.value,
                "first_difference": difference,
                "environment": list(environment),
                "measured": measured,
            },
        )
        return Replay(
            verdict=verdict,
            run=run,
            new_run=session.run,
            first_difference=difference,
            environment=environment,
            measured=measured,
        )


def _same_threads(recorded: int | None) -> None:
    """Use as many threads as the recorded run did: the order of a sum decides its last bit."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and recorded is not None and torch.get_num_threads() != recorded:
        torch.set_num_threads(recorded)


def _first_pixel(ledger: Ledger, names: dict[str, str], again: Any) -> str | None:
    old = json.loads(ledger.get(names["image_digests"]))
    for i, (was, now) in enumerate(zip(old, again.digests(), strict=False)):
        if was != now:
            return f"image {i}: pixels {was[:23]}... became {now[:23]}..."
    return None if len(old) == len(again) else f"{len(old)} images became {len(again)}"


def _environments(ledger: Ledger, a: Entry, b: Entry) -> tuple[str, ...]:
    was, now = (json.loads(ledger.get(e.facts["artefacts"]["environment"])) for e in (a, b))
    out = [f"{k}: {was[k]} -> {now[k]}" for k in ("python", "system", "machine", "cpu", "gpu") if was[k] != now[k]]
    for name in sorted(set(was["packages"]) | set(now["packages"])):
        pair = was["packages"].get(name), now["packages"].get(name)
        if pair[0] != pair[1]:
            out.append(f"{name}: {pair[0]} -> {pair[1]}")
    if (was["git"] or {}).get("commit") != (now["git"] or {}).get("commit"):
        out.append("the code: another git commit")
    return tuple(out)
