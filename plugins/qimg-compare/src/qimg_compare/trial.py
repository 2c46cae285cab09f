"""One tuning trial in a process of its own: training images only, some of them held out to judge (imports worker).

The test split is never opened here: what a trial is judged by is a fifth of the training images, which it does not
learn. The feature network is that of the comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from qimg_compare.bench import Bench, kept_reference, network_of
from qimg_compare.grid import point
from qimg_compare.plan import plan_from_json
from qimg_compare.result import RunResult, trial_folder
from qimg_compare.worker import PLAN, left, live, model_run
from qimg_core.cli.app import App
from qimg_core.cli.sources import open_data
from qimg_core.datasets import ArraySource
from qimg_core.errors import DataError
from qimg_core.ledger import canonical
from qimg_core.plugins import Registry
from qimg_core.seeds import derive_seed
from qimg_core.storage import ensure_folder, sha256_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qimg_compare.plan import ComparePlan
    from qimg_core.datasets import ImageSource

HELD_OUT = 5
"""One of so many training images is held out."""
REFERENCE = "trial-reference.npz"


def parts(plan: ComparePlan, train: ImageSource) -> tuple[ImageSource, ImageSource]:
    """Training images as (what trials learn, what judges them); the rows are drawn from the plan's seed.

    Raises:
        DataError: no labels, or fewer than ten images.
    """
    if train.labels is None or train.n < 2 * HELD_OUT:
        raise DataError(f"trials need labels and {2 * HELD_OUT} training images, {train.name} has {train.n}")
    order = np.random.default_rng(derive_seed(plan.seed, "trials held out")).permutation(train.n)
    cut = train.n // HELD_OUT

    def part(rows: NDArray[np.int64], what: str) -> ArraySource:
        assert train.labels is not None
        rows = np.sort(rows)
        return ArraySource(
            name=f"{train.name}, {what}",
            pixels=train.images(rows),
            labels=train.labels[rows],
            provenance={"part_of": train.digest, "rows": sha256_digest(rows.astype("<i8").tobytes()), "what": what},
        )

    return part(order[cut:], "for trials"), part(order[:cut], "held out of trials")


def open_trial_bench(plan: ComparePlan, folder: Path, registry: Registry) -> Bench:
    """What every trial of a plan learns and is judged with, from the training split alone.

    Raises:
        DataError: too few images for n, or a feature network that does not know them.
    """
    train = open_data(App(given=registry), plan.data, split="train", size=plan.size)
    learned, held = parts(plan, train)
    network = network_of(plan, train, folder)
    names = {"trials": learned.digest, "held": held.digest, "network": network.digest, "n": plan.n}
    digest = sha256_digest(canonical.dumps(names))
    try:
        reference = kept_reference(
            folder / REFERENCE,
            digest,
            plan,
            train=learned.all(),
            train_labels=learned.labels,
            test=held.all(),
            test_labels=held.labels,
            network=network,
            seed=derive_seed(plan.seed, "trial reference"),
        )
    except DataError as error:
        error.add_note(f"trials are judged by {held.n} held-out training images and learn {learned.n}")
        raise
    nothing = (np.zeros((0, *train.shape), dtype=np.float32), np.zeros(0, dtype=np.int64))
    return Bench(train=learned, reference=reference, spare=nothing, digest=digest)


def work_trial(folder: str, arm: str, position: int, registered: str) -> None:
    """Make one trial; the process's whole life.

    Args:
        folder: of the comparison.
        arm: of its plan, with a grid.
        position: in that grid.
        registered: digest of the entry that holds the plan.
    """
    home = Path(folder)
    own = trial_folder(home, arm, position)
    live(own, lambda: make_trial(home, arm, position, registered, Registry()))


def make_trial(home: Path, arm: str, position: int, registered: str, registry: Registry) -> RunResult:
    """Make one trial in this process.

    Raises:
        QimgError: what the training, the sampling or the measuring raise.
    """
    plan = plan_from_json(canonical.loads((home / PLAN).read_bytes()))
    one = plan.arm(arm)
    varied = point(one.grid, position)
    bench = open_trial_bench(plan, home, registry)
    own = ensure_folder(trial_folder(home, arm, position))
    base = RunResult(
        plan=plan.digest,
        registered=registered,
        arm=arm,
        seed=plan.trial_seed,
        data=bench.train.digest,
        network=bench.reference.network.digest,
        metrics={},
        n=plan.n,
        trial=position,
        tuned=varied,
    )
    # Its steps are those of a trial, whatever its runs get.
    tried = attrs.evolve(one, settings={**one.settings, **varied}, steps=one.trial_steps, time_of=None)
    return left(own, model_run(base, plan, tried, bench, home, own, registry), registry)
