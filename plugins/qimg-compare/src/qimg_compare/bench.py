"""What all runs of a comparison share: data, feature network, reference (imports qimg_core, qimg_metrics).

Made once and kept in the comparison's folder; every run reads the same files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_compare.kept import load, save
from qimg_core.cli.app import App
from qimg_core.cli.sources import open_data
from qimg_core.errors import DataError, StorageError
from qimg_core.ledger import canonical
from qimg_core.seeds import derive_seed
from qimg_core.storage import sha256_digest
from qimg_metrics.feature_training import train_feature_network
from qimg_metrics.features import FeatureNetwork, shipped_network
from qimg_metrics.image.reference import prepare_reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qimg_compare.plan import ComparePlan
    from qimg_core.datasets import ImageSource
    from qimg_core.plugins import Registry
    from qimg_metrics.image.reference import Reference

NETWORK, REFERENCE = "network.safetensors", "reference.npz"
UPDATES = 32_000
"""Images that a feature network sees at least while it is trained: 8 passes over few images are too few."""


@frozen(kw_only=True, eq=False)
class Bench:
    """What a run is judged with.

    Args:
        train: what models learn.
        reference: real images and floor; half of the test images where the ``real`` control takes the other half.
        spare: test images (m, h, w, c) of the ``real`` control and their labels; empty without it.
        digest: of data, feature network and choices of rows.
    """

    train: ImageSource
    reference: Reference
    spare: tuple[NDArray[np.float32], NDArray[np.int64]]
    digest: str


def open_bench(plan: ComparePlan, folder: Path, registry: Registry) -> Bench:
    """Data, network and reference of a plan; what was made before is read from the folder.

    Raises:
        DataError: no labels, too few images for n, or a feature network that does not know such images.
        UnknownName, WeightsError, StorageError.
    """
    app = App(given=registry)
    train, test = (open_data(app, plan.data, split=split, size=plan.size) for split in ("train", "test"))
    for source in (train, test):
        if source.labels is None:
            raise DataError(f"{source.name} has no labels, which a comparison needs")
    assert train.labels is not None
    assert test.labels is not None
    order = np.random.default_rng(derive_seed(plan.seed, "test halves")).permutation(test.n)
    held, rest = (order[test.n // 2 :], order[: test.n // 2]) if "real" in plan.controls else (order, order[:0])
    if "real" in plan.controls and len(rest) < plan.n:
        raise DataError(
            f"the control 'real' needs {plan.n} test images that judge nothing, half of {test.name} has {len(rest)}",
            hint=f"n = {len(rest)}, or controls without real",
        )
    held, rest = np.sort(held), np.sort(rest)
    network = network_of(plan, train, folder)
    if train.shape != network.shape:
        raise DataError(
            f"{train.name} has images of shape {train.shape}, the feature network takes {network.shape}",
            hint='size = ... brings them to another size; network = "trained" makes one for them',
        )
    digest = sha256_digest(
        canonical.dumps(
            {"train": train.digest, "test": test.digest, "network": network.digest, "held": held.tolist(), "n": plan.n}
        )
    )
    reference = kept_reference(
        folder / REFERENCE,
        digest,
        plan,
        train=train.all(),
        train_labels=train.labels,
        test=test.images(held),
        test_labels=test.labels[held],
        network=network,
        seed=derive_seed(plan.seed, "reference"),
    )
    spare = (test.images(rest), np.asarray(test.labels[rest])) if len(rest) else (np.zeros((0, *test.shape)), rest)
    return Bench(train=train, reference=reference, spare=spare, digest=digest)  # type: ignore[arg-type]


def kept_reference(kept: Path, digest: str, plan: ComparePlan, **given: Any) -> Reference:
    """A reference for the plan's n, made once and then read from the file.

    Args:
        kept: the file.
        digest: of what it is made of.
        plan: of the comparison.
        given: to `prepare_reference`.

    Raises:
        DataError, StorageError.
    """
    same = {k: given[k] for k in ("network", "train")}
    found: Reference | None = load(kept, digest=digest, given=same) if kept.exists() else None
    if found is not None:
        return found
    made = prepare_reference(**given, n=plan.n, allow_small=plan.allow_small)
    _replaced(kept, lambda to: save(to, made, digest=digest, without=same))
    return made


def network_of(plan: ComparePlan, train: ImageSource, folder: Path) -> FeatureNetwork:
    """The feature network of a plan, trained once where the plan says so; it sees training images only."""
    if plan.network != "trained":
        file = Path(plan.network)
        return FeatureNetwork.load(file) if file.is_file() else shipped_network(plan.network)
    kept = folder / NETWORK
    if not kept.exists():
        made = train_feature_network(
            train.all(),
            train.labels,  # type: ignore[arg-type]
            seed=derive_seed(plan.seed, "feature network"),
            epochs=max(8, -(-UPDATES // train.n)),
        )
        _replaced(kept, made.save)
    return FeatureNetwork.load(kept)


def _replaced(path: Path, save: Any) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save(beside)
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
