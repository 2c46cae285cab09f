"""G1 to G15: does a generator keep what `qimg_core.generator` says? (floor 8; imports session, weights, arms)"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.config import config_to_json
from qimg_core.errors import DataError, WeightsError
from qimg_core.generation import initial_noise
from qimg_core.hooks import SuppliedNoise, hookimpl
from qimg_core.sampling_noise import from_npy
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.device.life import floats_in
from qimg_core.testing.conformance.part import arms
from qimg_core.testing.conformance.part.bench import refused
from qimg_core.verdict import Verdict
from qimg_core.weights import load_weights, save_weights

if TYPE_CHECKING:
    from qimg_core.generator import Generator
    from qimg_core.images import Images
    from qimg_core.session import Session
    from qimg_core.testing.conformance.case import Checks
    from qimg_core.testing.conformance.part.model import ModelBench

STEPS = 10
"""Of training before the class is asked."""


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

    images = bench.training_images()
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


@case("G13", "after some training the class that is asked changes the image, alone and in a batch")
def _conditioned(bench: ModelBench, checks: Checks) -> None:
    import numpy as np

    images = bench.training_images()
    model = bench.model()
    labels = model.sample(bench.n, seed=4).labels
    if labels is None or len(set(labels)) < 2:
        raise NotApplicable("the model has no classes")
    for _ in model.fit(images, steps=STEPS):
        pass
    classes = sorted(set(labels))
    one = initial_noise(model.session, 1, model.noise_shape, seed=5)
    alone, again = (
        np.concatenate([model.sample(1, condition=[c], noise=one).pixels for c in classes]) for _ in range(2)
    )
    checks.that("the same class, the same image", np.array_equal(alone, again), "it differs")
    apart = {(i, j): _apart(alone[i], alone[j]) for i in range(len(classes)) for j in range(i)}
    for (i, j), off in apart.items():  # however little: where the class is forgotten it is the very same sum
        checks.that(f"classes {classes[j]} and {classes[i]}: other images", off > 0, "the class is forgotten")
    batch = model.sample(len(classes), condition=classes, noise=np.repeat(one, len(classes), axis=0)).pixels
    last_bits, least = _apart(batch[0], alone[0]), min(apart.values())
    checks.evidence |= {"classes_apart": least, "place_in_batch": last_bits}
    if 4 * last_bits >= least > 0:
        checks.doubt(f"classes are {least:.1e} apart after {STEPS} steps, the place in a batch is {last_bits:.1e}")
        return
    for i, made in enumerate(batch):
        nearest = min(range(len(classes)), key=lambda j: _apart(made, alone[j]))
        words = f"class {classes[i]} in a batch of all is what it is alone"
        checks.that(words, nearest == i, f"it is class {classes[nearest]}")


def _apart(a: Any, b: Any) -> float:
    """The largest difference of two images."""
    return float(abs(a - b).max())


class _Supply:
    """Supplies the noise of one session."""

    def __init__(self, session: Session, values: Any) -> None:
        self.session, self.values = session, values

    @hookimpl
    def qimg_noise(self, context: dict[str, Any]) -> SuppliedNoise | None:
        """The same values always."""
        return SuppliedNoise(values=self.values, source="kit") if context["session"] is self.session else None


@case("G15", "noise that a plugin supplies is used, kept in the record, and gives the same images again")
def _supplied(bench: ModelBench, checks: Checks) -> None:
    model, plain = bench.model(), bench.model()
    values = bench.rng("supplied").standard_normal((bench.n, *model.noise_shape)).astype("float32")
    supply = _Supply(model.session, values)
    bench.registry.register(supply, f"supply-{model.session.run}")
    try:
        images = model.sample(bench.n, seed=9)
    finally:
        bench.registry.hooks.unregister(supply)
    same(checks, "as with the same noise from the caller", images, plain.sample(bench.n, noise=values))
    assert images.entry is not None
    facts = model.session.ledger.entry(images.entry).facts
    source = (facts["noise_source"] or {}).get("source")
    checks.that("the source is named", source == "kit", f"{source} is")
    checks.that("no seed is named", facts["seed"] is None, f"seed {facts['seed']}, which does not give these images")
    if checks.that("the noise is an artefact", "noise" in facts["artefacts"]):
        kept = from_npy(model.session.ledger.get(facts["artefacts"]["noise"]))
        same(checks, "the same images from the record", images, bench.model().sample(bench.n, noise=kept))


_arms, _separable, _frozen, _bypass = arms.CASES
CASES = (
    _seeds,
    _order,
    _shapes,
    _noise,
    _conditions,
    _workload,
    _arms,
    _saved,
    _record,
    _training,
    _separable,
    _frozen,
    _conditioned,
    _bypass,
    _supplied,
)
