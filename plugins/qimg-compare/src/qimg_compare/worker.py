"""One run in a process of its own: train, sample, measure, one result file (imports qimg_core, qimg_metrics, torch).

The run writes a ledger of its own, so that runs can go side by side (a log has one writer). It goes on with a training
that was killed, and ends at once when the process that started it is gone.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch

from qimg_compare.bench import Bench, open_bench
from qimg_compare.equal_time import equal_time
from qimg_compare.operation import operation
from qimg_compare.plan import ArmPlan, ComparePlan, plan_from_json
from qimg_compare.result import Head, Measured, RunResult, run_folder, write_result
from qimg_compare.stand_in import stand_in
from qimg_compare.trained import settings_of, trained
from qimg_compare.trial_choice import settled
from qimg_core.budget import Budget
from qimg_core.cli.options import parse_amount
from qimg_core.errors import QimgError
from qimg_core.images import Images
from qimg_core.ledger import canonical
from qimg_core.ledger.opening import open_ledger
from qimg_core.noise import parse_noise
from qimg_core.plugins import Registry
from qimg_core.seeds import derive_seed
from qimg_core.session import Session
from qimg_core.storage import ensure_folder, sha256_digest, write_atomic
from qimg_metrics.evaluation import evaluate_against

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.generator import Generator

PLAN, LOG, ERROR = "plan.json", "log.txt", "error.json"
SHOWN = 40
"""Images of each run that are kept as a picture."""


def work(folder: str, arm: str, seed: int, registered: str) -> None:
    """Make one run; the process's whole life. Ends it with exit code 1 where the run failed.

    Args:
        folder: of the comparison.
        arm: of its plan, or a control.
        seed: one of its seeds.
        registered: digest of the entry that holds the plan.
    """
    home = Path(folder)
    live(run_folder(home, arm, seed), lambda: make_run(home, arm, seed, registered, Registry()))


def live(own: Path, make: Callable[[], object]) -> None:
    """A process's whole life: it makes one thing in a folder of its own, and leaves there what went wrong."""
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the comparison, which ends its runs
    torch.set_num_threads(1)  # runs go side by side: one core each
    ensure_folder(own)
    (own / ERROR).unlink(missing_ok=True)
    with (own / LOG).open("a", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            make()
        except Exception as error:
            traceback.print_exc()
            sys.stderr.flush()
            words = error.message if isinstance(error, QimgError) else str(error)
            document = {"type": type(error).__name__, "message": words, "log": str(own / LOG)}
            write_atomic(own / ERROR, json.dumps(document).encode())
            sys.exit(1)


def make_run(home: Path, arm: str, seed: int, registered: str, registry: Registry) -> RunResult:
    """Make one run in this process.

    Raises:
        QimgError: what the training, the sampling or the measuring raise.
    """
    plan = plan_from_json(canonical.loads((home / PLAN).read_bytes()))
    bench = open_bench(plan, home, registry)
    own = ensure_folder(run_folder(home, arm, seed))
    base = RunResult(
        plan=plan.digest,
        registered=registered,
        arm=arm,
        seed=seed,
        data=bench.train.digest,
        network=bench.reference.network.digest,
        metrics={},
        n=plan.n,
    )
    if arm in plan.controls:
        result = _control(base, bench, own, registry)
    else:
        planned, chosen = settled(home, plan, plan.arm(arm))
        base = attrs.evolve(base, tuned=chosen.settings, chosen=chosen.entry)
        result = model_run(base, plan, planned, bench, home, own, registry)
    return left(own, result, registry)


def left(own: Path, result: RunResult, registry: Registry) -> RunResult:
    """The result with the head of its log, as a file: the run is finished."""
    with open_ledger(own / "ledger", registry, create=False, read_only=True) as log:
        head = Head(origin=log.origin, size=len(log), checkpoint=sha256_digest(log.checkpoints()[-1]))
    result = attrs.evolve(result, log=head)
    write_result(own, result)
    return result


def _control(base: RunResult, bench: Bench, own: Path, registry: Registry) -> RunResult:
    rng = np.random.default_rng(derive_seed(base.seed, "compare", base.arm))
    if base.arm == "real":
        pixels, labels = bench.spare
        rows = rng.choice(len(pixels), base.n, replace=False)
        chosen = pixels[rows]
    else:
        labels = np.asarray(bench.train.labels)
        rows = rng.choice(bench.train.n, base.n, replace=False)
        chosen = bench.train.images(rows)
    images = Images(pixels=chosen, labels=labels[rows], quantum=False, simulated=False)
    with Session(own / "ledger", seed=base.seed, registry=registry) as session:
        result = attrs.evolve(base, pixels=images.digest, runs=(session.run,))
        return _measured(session, result, images, bench, conditional=True, own=own)


def model_run(
    base: RunResult, plan: ComparePlan, arm: ArmPlan, bench: Bench, home: Path, own: Path, registry: Registry
) -> RunResult:
    """Train (or not), sample and measure a model.

    Args:
        base: what is known of the result before.
        plan: of the comparison.
        arm: with its settings.
        bench: what it learns and is judged with.
        home: folder of the comparison.
        own: folder of the run.
        registry: of plugins.
    """
    given: dict[str, Any] = {
        "seed": base.seed,
        "backend": arm.backend,
        "noise": None if arm.noise is None else parse_noise(arm.noise),
        "shots": arm.shots,
        "budget": Budget(max_cost=parse_amount(arm.max_cost)),
        "registry": registry,
    }
    result = base
    weights: str | Path
    if arm.time_of is not None:
        arm = attrs.evolve(arm, steps=equal_time(home, own, plan, arm, bench.train, given).steps)
    if arm.surrogate_of is not None:
        made = stand_in(home, own, plan, arm, given)
        weights, given["backend"] = made.weights, made.backend
        result = attrs.evolve(
            base, train_executions=made.executions, train_shots=made.shots, cost=made.cost, runs=(made.run,)
        )
    elif arm.weights is None:
        weights = own / "weights.safetensors"
        result = trained(result, arm, bench.train, weights, own, given)
    else:
        weights = arm.weights.replace("{seed}", str(base.seed))
    with Session(own / "ledger", activity="generate", **given) as session:
        model = session.generator(arm.generator, weights=weights, **settings_of(arm))
        begin = time.perf_counter()
        images = model.sample(plan.n, seed=derive_seed(base.seed, "compare", "sample"))
        seconds = time.perf_counter() - begin
        tally = session.log.recorder.tally
        assert model.saved is not None
        result = attrs.evolve(
            result,
            parameters=attrs.asdict(model.parameters),
            sample_seconds=seconds,
            sample_executions=tally.executions,
            sample_rows=tally.rows,
            sample_shots=tally.shots,
            cost=result.cost + session.spending.cost,
            kinds=tuple(sorted(tally.kinds)),
            quantum=images.quantum,
            simulated=images.simulated,
            weights=model.saved.digest,
            pixels=images.digest,
            runs=(*result.runs, session.run),
        )
        return _measured(session, result, images, bench, conditional=_conditional(model), own=own)


def _conditional(model: Generator) -> bool:
    """Does the model ask for classes? One of a single class does not."""
    return bool(getattr(model.config, "classes", 0) != 1)


def _measured(
    session: Session, result: RunResult, images: Images, bench: Bench, *, conditional: bool, own: Path
) -> RunResult:
    """Judge the images, write what was found into the run's own log, keep a picture of some."""
    asked = np.asarray(images.labels, dtype=np.int64) if conditional and images.labels is not None else None
    found = evaluate_against(images.pixels.copy(), asked, bench.reference, allow_small=True)
    metrics = {e.name: Measured(value=e.value, low=e.low, high=e.high, n=e.n) for e in found.estimates}
    if result.arm not in ("real", "copy"):
        metrics |= operation(result, found.accepted)
    result = attrs.evolve(result, metrics=metrics)
    body = canonical.dumps(result.to_json())
    facts = {"plan": result.plan, "arm": result.arm, "seed": result.seed, "artefacts": {"result": session.put(body)}}
    if result.trial is None:
        session.record("compare.measured", {"schema": "qimg.compare.measured/1", **facts})
    else:
        facts |= {"trial": result.trial, "settings": dict(result.tuned), "data": result.data}
        session.record("compare.tried", {"schema": "qimg.compare.tried/1", **facts})
    images[: min(len(images), SHOWN)].save(own / "images.png", columns=10)
    return result


def _end_with_parent() -> None:
    """A comparison that is killed leaves no run behind that would hold ledgers and cores."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(75)

    threading.Thread(target=watch, daemon=True).start()
