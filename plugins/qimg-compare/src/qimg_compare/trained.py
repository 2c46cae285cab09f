"""The training of one run or trial, gone on with where a killed process had saved it (imports qimg_core, result)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import attrs

from qimg_core.errors import WeightsError
from qimg_core.session import Session
from qimg_core.storage import write_atomic
from qimg_core.training import state_path, train
from qimg_core.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_compare.plan import ArmPlan
    from qimg_compare.result import RunResult
    from qimg_core.datasets import ImageSource
    from qimg_core.images import TrainStep

EVERY = 250


def settings_of(arm: ArmPlan) -> dict[str, Any]:
    """What a session is told to make the arm's model."""
    return {**arm.settings, "arm": arm.arm}


def trained(
    result: RunResult, arm: ArmPlan, images: ImageSource, weights: Path, own: Path, given: dict[str, Any]
) -> RunResult:
    """Whole weights in their file, trained now or before, and the result with what that took.

    Args:
        result: of the run so far.
        arm: with its steps.
        images: to learn.
        weights: the file.
        own: folder of the run.
        given: what a session of the run is told.

    Raises:
        QimgError: what the training raises.
    """
    if not _there(weights, arm, images, result.seed):
        result = _train(result, arm, images, weights, own, given)
        _keep_training(own, result)
    return _kept_training(own, attrs.evolve(result, steps=arm.steps))


def _there(weights: Path, arm: ArmPlan, images: ImageSource, seed: int) -> bool:
    """Are whole weights of this run there already? They are written last, and atomically."""
    if not weights.exists():
        return False
    facts = load_weights(weights).facts
    wanted = {"steps": arm.steps, "seed": str(seed), "arm": arm.arm.value}
    if any(facts.get(k) != v for k, v in wanted.items()) or facts["data"]["digest"] != images.digest:
        raise WeightsError(f"{weights} belongs to another training", hint="remove the folder of this run")
    return True


def _train(
    result: RunResult, arm: ArmPlan, images: ImageSource, weights: Path, own: Path, given: dict[str, Any]
) -> RunResult:
    """Train from the beginning, or from where a killed process had saved its state."""
    clock = own / "clock.json"
    resume = state_path(weights).exists()
    before = json.loads(clock.read_bytes())["seconds"] if resume and clock.exists() else 0.0
    begin = time.perf_counter()

    def progress(step: TrainStep) -> None:
        if step.step % EVERY == 0:  # the state is saved right after this call
            write_atomic(clock, json.dumps({"seconds": before + time.perf_counter() - begin}).encode())

    with Session(own / "ledger", activity="train", **given) as session:
        model = session.generator(arm.generator, **settings_of(arm))
        train(
            session,
            model,
            images,
            steps=arm.steps,
            out=weights,
            resume=resume,
            every=EVERY,
            progress=progress,
        )
        tally = session.log.recorder.tally
        return attrs.evolve(
            result,
            steps=arm.steps,
            train_seconds=before + time.perf_counter() - begin,
            train_executions=tally.executions,
            train_shots=tally.shots,
            cost=result.cost + session.spending.cost,
            runs=(*result.runs, session.run),
        )


def _keep_training(own: Path, result: RunResult) -> None:
    """What the training took, for a process that is killed between training and measuring."""
    document = {
        "steps": result.steps,
        "train_seconds": result.train_seconds,
        "train_executions": result.train_executions,
        "train_shots": result.train_shots,
        "cost": str(result.cost),
        "runs": list(result.runs),
    }
    write_atomic(own / "training.json", json.dumps(document).encode())


def _kept_training(own: Path, result: RunResult) -> RunResult:
    file = own / "training.json"
    if not file.exists():  # killed between the weights and this file: the weights stand, their time is not known
        return result
    d = json.loads(file.read_bytes())
    return attrs.evolve(result, **{**d, "cost": type(result.cost)(d["cost"]), "runs": tuple(d["runs"])})
