"""G1 to G10: does a generator keep what `qimg_core.generator` says? (floor 8; imports session, weights, datasets)"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.config import config_to_json
from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generation import initial_noise
from qimg_core.generator import Arm
from qimg_core.testing.conformance.case import NotApplicable, Undecided, case
from qimg_core.testing.conformance.device.life import floats_in
from qimg_core.testing.conformance.part.bench import refused
from qimg_core.verdict import Verdict
from qimg_core.weights import load_weights, save_weights

if TYPE_CHECKING:
    from qimg_core.generator import Generator
    from qimg_core.images import Images
    from qimg_core.testing.conformance.case import Checks
    from qimg_core.testing.conformance.part.model import ModelBench

TWIN_PARAMETERS = 0.02
CLASSICAL = (Arm.TWIN, Arm.BYPASS)


def same(checks: Checks, what: str, first: Images, second: Images) -> None:
    """The same 8-bit pixels."""
    checks.that(what, first.digest == second.digest, "the images differ")


@case("G1", "the same seed gives the same images in another session, another seed others")
def _seeds(bench: ModelBench, checks: Checks) -> None:
    first = bench.model().sample(bench.n, seed=11)
    other_run = bench.model(seed=99)
    state = bench.model().state()
    other_run.load(state)
    same(checks, "the same in a run of another seed, with the same weights", first, other_run.sample(bench.n, seed=11))
    different = bench.model().sample(bench.n, seed=12)
    checks.that("other images from another seed", first.digest != different.digest, "the seed is ignored")


@case("G2", "images do not depend on what was sampled before")
def _order(bench: ModelBench, checks: Checks) -> None:
    forth, back = bench.model(), bench.model()
    one, two = forth.sample(bench.n, seed=1), forth.sample(bench.n, seed=2)
    again_two, again_one = back.sample(bench.n, seed=2), back.sample(bench.n, seed=1)
    same(checks, "seed 1, first and second", one, again_one)
    same(checks, "seed 2, second and first", two, again_two)


@case("G3", "as many images as asked, of one shape, in [0, 1], the first ones the same in a smaller batch")
def _shapes(bench: ModelBench, checks: Checks) -> None:
    import numpy as np

    model = bench.model()
    many, few = model.sample(bench.n, seed=3), model.sample(1, seed=3)
    checks.that("n images", (len(many), len(few)) == (bench.n, 1), f"{len(many)} and {len(few)}")
    checks.that("one shape", many.shape == few.shape, f"{many.shape} and {few.shape}")
    inside = float(many.pixels.min()) >= 0 and float(many.pixels.max()) <= 1
    checks.that("in [0, 1]", inside, "outside")
    off = float(np.abs(many.pixels[0] - few.pixels[0]).max())
    checks.that("image 0 depends on the seed alone", off < 0.02, f"off by {off:.3g} in a batch of one")
    checks.evidence |= {"shape": list(many.shape), "image_0_in_another_batch": off}
    for n in (0, -1):
        refused(checks, f"{n} images", DataError, lambda n=n: model.sample(n))  # type: ignore[misc]


@case("G4", "initial noise from the caller is used, and checked")
def _noise(bench: ModelBench, checks: Checks) -> None:
    import numpy as np

    model, n = bench.model(), bench.n
    shape = model.noise_shape
    checks.that("a shape", all(isinstance(s, int) and s > 0 for s in shape), str(shape))
    one = initial_noise(model.session, n, shape, seed=1)
    two = initial_noise(model.session, n, shape, seed=2)
    first = model.sample(n, noise=one, seed=None)
    same(checks, "the same noise, the same images", first, bench.model().sample(n, noise=one))
    checks.that("other noise, other images", first.digest != model.sample(n, noise=two).digest, "it is ignored")
    spoiled = one.copy()
    spoiled.reshape(-1)[0] = np.nan
    refused(checks, "noise with a NaN", DataError, lambda: model.sample(n, noise=spoiled))
    refused(checks, "noise of another shape", DataError, lambda: model.sample(n + 1, noise=one))


@case("G5", "classes are as asked, repeated; one that is not there is refused")
def _conditions(bench: ModelBench, checks: Checks) -> None:
    model = bench.model()
    plain = model.sample(bench.n, seed=4)
    if plain.labels is None:
        raise NotApplicable("the model has no classes")
    given = model.sample(3, condition=[1, 0], seed=4)
    checks.that("the classes asked, repeated", given.labels == (1, 0, 1), str(given.labels))
    _disturb(model, bench.rng("disturbed"))
    fixed = initial_noise(model.session, 1, model.noise_shape, seed=5)
    zero, one = (model.sample(1, condition=[c], noise=fixed) for c in (0, 1))
    checks.that("the class changes the image", zero.digest != one.digest, "both classes give the same image")
    refused(checks, "class 100000", DataError, lambda: model.sample(1, condition=[100_000]))
    refused(checks, "class -1", DataError, lambda: model.sample(1, condition=[-1]))


def _disturb(model: Generator, rng: Any) -> None:
    """Move the weights a little: an untrained model may begin with layers of zeros that hide the class."""
    import numpy as np

    state = {k: np.array(v) for k, v in model.state().items()}
    for name, array in state.items():
        if array.dtype.kind == "f":
            state[name] = (array + 0.1 * rng.standard_normal(array.shape)).astype(array.dtype)
    model.load(state)


@case("G6", "the workload bounds what sampling asks of the device")
def _workload(bench: ModelBench, checks: Checks) -> None:
    for n in (1, bench.n):
        model = bench.model()
        bound = model.workload(n)
        model.sample(n, seed=6)
        t = model.session.log.recorder.tally
        for what, real, most in (("requests", t.executions, bound.requests), ("rows", t.rows, bound.rows)):
            checks.that(f"{what} for {n} images", real <= most, f"{real} executed, {most} promised")
        checks.that(f"shots for {n} images", t.shots <= bound.total_shots, f"{t.shots} > {bound.total_shots}")
        checks.evidence |= {"executed": t.executions, "promised": bound.requests, "rows": t.rows}
        checks.that("what runs is announced", bound.requests > 0 or t.executions == 0, "0 requests announced")


@case("G7", "the arms: equal shapes, the twin's parameters within 2 %, quantum only where a circuit ran")
def _arms(bench: ModelBench, checks: Checks) -> None:
    whole = bench.model().parameters
    shape = bench.model().sample(1, seed=7).shape
    for arm in Arm:
        try:
            model = bench.model(arm=arm)
        except (ConfigurationError, NotImplementedError) as error:
            checks.evidence[f"{arm.value} not offered"] = str(error)
            continue
        images = model.sample(1, seed=7)
        checks.that(f"{arm}: the same shape", images.shape == shape, str(images.shape))
        ran = model.session.log.recorder.tally.executions > 0
        if arm in CLASSICAL:
            checks.that(f"{arm}: no circuit", not ran, "a circuit ran")
            checks.that(f"{arm}: not quantum", not images.quantum, "images.quantum is True")
        else:
            checks.that(f"{arm}: quantum where a circuit ran", images.quantum == ran, f"{images.quantum}, ran {ran}")
        parameters = model.parameters
        checks.that(f"{arm}: parts of the whole", parameters.layer <= parameters.total, str(parameters))
        if arm is Arm.TWIN:
            off = abs(parameters.total - whole.total) / max(1, whole.total)
            checks.that("parameters of the twin", off <= TWIN_PARAMETERS, f"{parameters.total} and {whole.total}")
            checks.evidence["twin_parameters_off"] = off


@case("G8", "saved weights give the same images in another session; others are refused")
def _saved(bench: ModelBench, checks: Checks) -> None:
    import numpy as np

    model = bench.model(seed=41)
    wanted = model.sample(bench.n, seed=8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        facts = {"config": config_to_json(model.config)}
        save_weights(path, model.state(), format=model.weights_format, facts=facts)
        loaded = load_weights(path, format=model.weights_format)
    again = bench.model(seed=42)
    again.load(loaded.arrays)
    same(checks, "the same images", wanted, again.sample(bench.n, seed=8))
    state = dict(model.state())
    name = max(state, key=lambda k: state[k].size)
    lacking = {k: v for k, v in state.items() if k != name}
    refused(checks, "weights that lack an array", WeightsError, lambda: again.load(lacking))
    wrong = {**state, name: np.zeros((state[name].size + 1,), state[name].dtype)}
    refused(checks, "an array of another shape", WeightsError, lambda: again.load(wrong))
    same(checks, "refused weights change nothing", wanted, again.sample(bench.n, seed=8))


@case("G9", "the record describes the images and what made them, and verifies")
def _record(bench: ModelBench, checks: Checks) -> None:
    model = bench.model()
    images = model.sample(bench.n, seed=9)
    session = model.session
    ledger = session.ledger
    if not checks.that("the images name their entry", images.entry is not None and images.run == session.run):
        return
    assert images.entry is not None
    facts: dict[str, Any] = dict(ledger.entry(images.entry).facts)
    checks.that("the entry's kind", ledger.entry(images.entry).kind == "images.made")
    checks.that("the pixels' digest", facts["pixels"] == images.digest, str(facts["pixels"]))
    checks.that("the seed", facts["seed"] == "9", str(facts["seed"]))
    checks.that("the number", facts["n"] == bench.n, str(facts["n"]))
    checks.that("quantum or not", facts["quantum"] == images.quantum)
    said = model.describe()
    floats = floats_in(said)
    checks.that("describe without floats", not floats, f"floats at {floats[:3]}")
    ran = {c for e in ledger.entries(run=session.run, kind="executions") for c in e.facts["circuits"]}
    nameless = [c for c in ran if c not in str(said)]
    checks.that("every circuit that ran is described", not nameless, f"describe() lacks {nameless[:1]}")
    session.close()
    found = ledger.verify()
    checks.that("the ledger verifies", found.verdict is Verdict.PASS, str(found.problems))
    checks.evidence["circuits"] = len(ran)


@case("G10", "training goes on after an interruption as if there had been none")
def _training(bench: ModelBench, checks: Checks) -> None:
    import numpy as np

    if bench.options.quick:
        raise Undecided("training is left out with quick")
    images = bench.images or _some_images(bench)
    try:
        bench.model().check_images(images)
    except DataError as error:
        raise Undecided(f"the kit's images are not for this model ({error.message}); give images") from error
    whole, first = bench.model(), bench.model()
    losses = [step.metrics for step in whole.fit(images, steps=2)]
    checks.that("two steps", len(losses) == 2, f"{len(losses)} steps")
    finite = all(np.isfinite(v) for metrics in losses for v in metrics.values())
    checks.that("finite losses", finite, str(losses))
    steps = first.fit(images, steps=2)
    next(iter(steps))
    kept = {k: np.array(v) for k, v in first.training_state().items()}
    steps.close()  # type: ignore[attr-defined]
    second = bench.model()
    for _ in second.fit(images, steps=2, start=kept):
        pass
    a, b = whole.state(), second.state()
    checks.that("the same arrays", sorted(a) == sorted(b), "other names")
    differs = [k for k in a if not np.array_equal(a[k], b[k])]
    checks.that("the same weights", not differs, f"{len(differs)} arrays differ, such as {differs[:1]}")


def _some_images(bench: ModelBench) -> ArraySource:
    import numpy as np

    sample = bench.model().sample(12, seed=10)
    labels = None if sample.labels is None else np.array(sample.labels)
    pixels = np.clip(sample.pixels * 0.5 + 0.25, 0, 1).astype(np.float32)
    return ArraySource(name="conformance", pixels=pixels, labels=labels, provenance={})


CASES = (_seeds, _order, _shapes, _noise, _conditions, _workload, _arms, _saved, _record, _training)
