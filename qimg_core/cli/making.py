"""Making images for `qimg generate` and `qimg demo` (imports session, images; runs, progress, summary)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from qimg_core.cli.progress import sampling
from qimg_core.cli.runs import (
    check_file,
    check_folder,
    check_workload,
    load_generator,
    model_changes,
    open_run,
    prepare_ledger,
)
from qimg_core.cli.summary import circuit_facts, circuits_of, quantum_words
from qimg_core.storage import ensure_folder

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.cli.options import RunOptions


@frozen(kw_only=True)
class Order:
    """Which images are wanted, and where.

    Args:
        generator, weights, untrained, arm, settings: the model.
        n: how many.
        condition: classes, repeated; None for all in turn.
        out: the picture of all of them.
        each: a folder for single pictures, or None.
        columns: of the grid; None for a square one.
    """

    generator: str
    weights: str | None
    untrained: bool = False
    arm: str | None = None
    settings: dict[str, str]
    n: int
    condition: tuple[int, ...] | None
    out: Path
    each: Path | None = None
    columns: int | None = None


def make(app: App, run: RunOptions, order: Order) -> dict[str, Any]:
    """Make images and write them.

    Returns:
        What was made, as the command's JSON document.

    Raises:
        QimgError: bad input, before anything is computed or written; or what broke on the way.
    """
    check_file(order.out, ".png")
    if order.each is not None:
        check_folder(order.each)
    with open_run(app, run, "generate") as session:
        model = load_generator(
            session,
            order.generator,
            weights=order.weights,
            untrained=order.untrained,
            changes=model_changes(order.arm, order.settings),
        )
        check_workload(model, order.n)
        prepare_ledger(session, run.ledger)
        with sampling(session, model.workload(order.n).requests, f"{order.n} images"):
            images = model.sample(order.n, condition=order.condition)
        ensure_folder(order.out.parent)
        files = [str(images.save(order.out, columns=order.columns))]
        if order.each is not None:
            files += [str(path) for path in images.save_each(order.each)]
        beside = session.registry.hooks.hook.qimg_saved(files=[Path(name) for name in files], session=session)
        files += [str(path) for paths in beside for path in paths]
        circuits = circuits_of(session.ledger, session.run) if images.quantum else {}
        return {
            "run": session.run,
            "entry": images.entry,
            "ledger": run.ledger,
            "log": session.ledger.origin,
            "files": files,
            "n": len(images),
            "condition": list(images.labels or ()),
            "generator": model.name,
            "arm": model.arm.value,
            "weights": None if model.saved is None else model.saved.digest,
            "seed": session.seed,
            "pixels": images.digest,
            "quantum": images.quantum,
            "simulated": images.simulated,
            "words": quantum_words(images.quantum, images.simulated),
            "circuits": [circuit_facts(c) for c in circuits.values()],
            "parameters": asdict(model.parameters),
            "executions": session.log.recorder.tally.executions,
            "rows": session.log.recorder.tally.rows,
        }
