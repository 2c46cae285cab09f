"""One recorded training run: loop, saving, resuming, loss curve, sample grids (floor 7).

The loop belongs here and the method to the generator: `Generator.fit` yields after each step. Whatever
ends the run - the last step, Ctrl-C, a kill - what was trained until the last save is on disk, and
going on from there gives the same weights as a run that was never interrupted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.checked_data import check_data
from qimg_core.config import config_to_json
from qimg_core.errors import ConfigurationError, DataError, StorageError, WeightsError
from qimg_core.storage import write_atomic
from qimg_core.weights import load_weights, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.datasets import ImageSource
    from qimg_core.generator import Generator
    from qimg_core.images import TrainStep
    from qimg_core.session import Session

LOSSES = "training.losses"


@frozen(kw_only=True)
class TrainingResult:
    """How a training run ended.

    Args:
        run: the run id.
        steps: steps done, over all sittings.
        last_loss: mean of the last 50 losses.
        weights: the weights file, None where the run was stopped before its last step.
        digest: of that file.
        state: where to resume from, None where the run is complete.
        entry: index of the ledger entry that ends the training.
    """

    run: str
    steps: int
    last_loss: float
    weights: Path | None
    digest: str | None
    state: Path | None
    entry: int


def state_path(out: Path) -> Path:
    """Where an unfinished training of ``out`` keeps its state."""
    return out.with_name(out.stem + ".state.safetensors")


def train(
    session: Session,
    model: Generator,
    images: ImageSource,
    *,
    steps: int,
    out: str | Path,
    resume: bool = False,
    every: int = 250,
    progress: Callable[[TrainStep], None] | None = None,
    samples: int = 0,
    data: str | Path | None = None,
    manifest: str | Path | None = None,
    weights: str | Path | None = None,
) -> TrainingResult:
    """Train a model through its session and leave its weights, its curve and its record.

    Args:
        session: made with ``activity="train"``.
        model: untrained, bound to that session.
        images: what to learn.
        steps: in all; the schedule depends on it.
        out: the weights file. Beside it: ``.loss.csv``, ``.loss.svg``, ``.samples.png``.
        resume: go on from the state that an interrupted run left.
        every: save the state after so many steps.
        progress: called after each step.
        samples: draw so many images from fixed latents at each quarter of the training.
        data: the name or path that the images were opened by, for those who check them.
        manifest: the data set's manifest, where it does not lie beside the data.
        weights: begin with these, a name that ships with the generator or a file, in place of drawn ones. The schedule
            begins anew; the record names their digest.

    Raises:
        AdmissionDenied: the data were refused; nothing was computed.
        WeightsError: weights of another model.
        ConfigurationError: no steps, a weights file that exists already, nothing to resume or another run's state.
        DataError, StorageError: before the first step.
    """
    out = Path(out)
    start, losses, previous, first = _prepare(session, model, images, steps, out, resume)
    given = None
    if weights is not None and not resume:
        first, given = _begin_with(session, model, weights)
    done = len(losses)
    checked = check_data(session, images, data, manifest)
    facts: dict[str, Any] = {
        "schema": "qimg.training/1",
        "generator": model.name,
        "plugin": session.registry.version_of("generator", model.name),
        "config": config_to_json(model.config),
        "arm": model.arm.value,
        "model": model.describe(),
        "parameters": _counts(model),
        "data": {"name": images.name, "digest": images.digest, "n": images.n, "shape": list(images.shape), **checked},
        "steps": steps,
        "resumes": previous,
        "from_step": done,
    }
    gaps = [] if "licence" in checked else [("licence", "the data set states none")]
    if first is not None:
        facts["from_weights"] = first
    stored = {} if given is None else {"artefacts": {"weights": session.put(given.read_bytes())}}  # a replay's begin
    session.record("training.started", {**facts, **stored}, gaps=gaps)
    marks = {max(1, steps * q // 4) for q in (1, 2, 3, 4)} if samples else set()
    try:
        for step in model.fit(images, steps=steps, start=start):
            losses.append(float(step.metrics["loss"]))
            if progress is not None:
                progress(step)
            if len(losses) % every == 0 and len(losses) < steps:
                _save_state(session, model, images, losses, steps, out, first)
            if len(losses) in marks:
                _grid(model, out, samples)
    except KeyboardInterrupt:
        if losses:
            _save_state(session, model, images, losses, steps, out, first)
        session.log.status = "interrupted"
        entry = session.record("training.stopped", {"steps": len(losses), "of": steps, "reason": "interrupted"})
        _curve(losses, out)
        state = state_path(out) if losses else None
        return TrainingResult(
            run=session.run,
            steps=len(losses),
            last_loss=_mean(losses),
            weights=None,
            digest=None,
            state=state,
            entry=entry.index,
        )
    kept = {**facts, "run": session.run, "seed": str(session.seed)}
    digest = save_weights(out, model.state(), format=model.weights_format, facts=kept)
    _curve(losses, out)
    artefacts = {"weights": session.put(out.read_bytes()), "losses": session.put(_csv(losses))}
    session.flush()
    entry = session.record(
        "weights.saved",
        {**facts, "digest": digest, "format": model.weights_format, "file": out.name, "artefacts": artefacts},
    )
    state_path(out).unlink(missing_ok=True)
    return TrainingResult(
        run=session.run,
        steps=len(losses),
        last_loss=_mean(losses),
        weights=out,
        digest=digest,
        state=None,
        entry=entry.index,
    )


def _prepare(
    session: Session, model: Generator, images: ImageSource, steps: int, out: Path, resume: bool
) -> tuple[dict[str, Any] | None, list[float], str | None, str | None]:
    """Training state, losses, run and first weights of what is gone on with; nothing of it for a new training."""
    if steps < 1:
        raise ConfigurationError(f"steps: wanted 1 or more, got {steps}")
    if images.n < 1:
        raise DataError(f"{images.name} holds no images")
    model.check_images(images)
    folder = out.parent if str(out.parent) else Path()
    if not folder.is_dir():
        try:
            folder.mkdir(parents=True)
        except OSError as cause:
            raise StorageError(f"cannot make the folder {folder}: {cause.strerror}") from cause
    if not os.access(folder, os.W_OK):
        raise StorageError(f"cannot write into {folder}")
    state = state_path(out)
    if not resume:
        if out.exists():
            raise ConfigurationError(f"{out} exists already", hint="choose another --out, or remove it")
        if state.exists():
            raise ConfigurationError(f"{state} is an unfinished training", hint="add --resume to go on, or remove it")
        return None, [], None, None
    if not state.exists():
        raise ConfigurationError(f"nothing to resume: there is no {state}")
    saved = load_weights(state, format=model.weights_format + "+state")
    wanted = _identity(session, model, images, steps)
    if differs := [k for k, v in wanted.items() if saved.facts.get(k) != v]:
        raise WeightsError(
            f"{state} belongs to another training: {differs[0]} was {saved.facts.get(differs[0])!r}, "
            f"now {wanted[differs[0]]!r}"
        )
    arrays = dict(saved.arrays)
    losses = [float(x) for x in arrays.pop(LOSSES)]
    return arrays, losses, str(saved.facts["run"]), saved.facts.get("from_weights")


def _begin_with(session: Session, model: Generator, weights: str | Path) -> tuple[str, Path]:
    """Load the weights that a training begins with; their digest and file.

    Raises:
        ConfigurationError: the generator always begins with drawn weights.
        UnknownName, WeightsError.
    """
    from qimg_core.generation import weights_path

    if not model.fine_tunes:
        raise ConfigurationError(f"{model.name} begins every training with drawn weights, and takes none")
    path = weights_path(session, model.name, weights)
    loaded = load_weights(path, format=model.weights_format)
    model.load(loaded.arrays)
    return loaded.digest, path


def _identity(session: Session, model: Generator, images: ImageSource, steps: int) -> dict[str, Any]:
    config = config_to_json(model.config)
    return {"config": config, "data": images.digest, "steps": steps, "seed": str(session.seed)}


def _save_state(
    session: Session,
    model: Generator,
    images: ImageSource,
    losses: list[float],
    steps: int,
    out: Path,
    first: str | None,
) -> None:
    import numpy as np

    arrays = {**model.training_state(), LOSSES: np.asarray(losses, dtype=np.float64)}
    facts = {**_identity(session, model, images, steps), "run": session.run, "step": len(losses), "from_weights": first}
    save_weights(state_path(out), arrays, format=model.weights_format + "+state", facts=facts)


def _grid(model: Generator, out: Path, samples: int) -> None:
    seed = model.session.seed_for("training samples")
    model.sample(samples, seed=seed).save(out.with_name(out.stem + ".samples.png"))


def _counts(model: Generator) -> dict[str, int]:
    from attrs import asdict

    return asdict(model.parameters)


def _mean(losses: list[float]) -> float:
    last = losses[-50:]
    return sum(last) / len(last) if last else float("nan")


def _csv(losses: list[float]) -> bytes:
    return ("step,loss\n" + "".join(f"{i + 1},{x!r}\n" for i, x in enumerate(losses))).encode()


def _curve(losses: list[float], out: Path) -> None:
    if not losses:
        return
    write_atomic(out.with_name(out.stem + ".loss.csv"), _csv(losses))
    write_atomic(out.with_name(out.stem + ".loss.svg"), curve_svg(losses).encode())


def curve_svg(losses: list[float], *, width: int = 640, height: int = 320) -> str:
    """A loss curve as a standalone SVG: the losses and their running mean over 2 % of the steps."""
    window = max(1, len(losses) // 50)
    means, total = [], 0.0
    for i, x in enumerate(losses):
        total += x - (losses[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    shown = sorted(losses)
    low, high = shown[0], shown[min(len(shown) - 1, int(len(shown) * 0.98))]
    span = (high - low) or 1.0
    stride = max(1, len(losses) // 1200)

    def line(values: list[float], colour: str, thick: float) -> str:
        points = " ".join(
            f"{50 + (width - 70) * i / max(1, len(values) - 1):.1f},"
            f"{20 + (height - 60) * (1 - (min(v, high) - low) / span):.1f}"
            for i, v in list(enumerate(values))[::stride]
        )
        return f'<polyline fill="none" stroke="{colour}" stroke-width="{thick}" points="{points}"/>'

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>'
        f"{line(losses, '#b8c4d6', 0.6)}{line(means, '#1f4e9c', 1.8)}"
        f'<text x="50" y="{height - 12}">step 1</text>'
        f'<text x="{width - 20}" y="{height - 12}" text-anchor="end">step {len(losses)}</text>'
        f'<text x="8" y="26">{high:.3g}</text><text x="8" y="{height - 40}">{low:.3g}</text></svg>'
    )
