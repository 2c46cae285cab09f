"""Two samples compared through quantum kernels, beside the Gaussian kernel of the same phases (imports mmd, drift).

Rows are brought to a few numbers first: principal components of the pool of both samples, each with spread 1. What
is done to a row depends on the pool alone, and so does the kernel; so the permutation test of the discrepancy (`mmd`)
stays exact, with shots too, whose noise is the same for all rows. The circuits run through the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.seeds import derive_seed
from qimg_core.two_samples import holm
from qimg_core.verdict import Verdict
from qimg_rollout.drift import MINIMUM, Drift, Finding
from qimg_rollout.mmd import Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from qimg_circuits.quantum_kernels_named import Kernel
    from qimg_core.session import Session
    from qimg_rollout.mmd import Floats
    from qimg_rollout.sets import Sets

SOURCES = ("latents", "bits", "images")


@frozen(eq=False, slots=False)
class KernelPair(Pair):
    """`Pair` with a kernel matrix that was computed elsewhere.

    Args:
        kernel: (n + m, n + m) of the first sample's rows, then the second's.
    """

    kernel: Floats

    def __attrs_post_init__(self) -> None:
        rows = len(self.first) + len(self.second)
        if self.kernel.shape != (rows, rows) or not np.isfinite(self.kernel).all():
            raise DataError(f"wanted a finite kernel ({rows}, {rows}), got {self.kernel.shape}")

    @property
    def _kernel(self) -> Floats:
        return self.kernel

    def detectable(self, alpha: float, *, seed: int, power: float = 0.9) -> float:
        """Not known: how a shift moves this kernel would have to be run on the device."""
        raise NotImplementedError("the smallest shift is simulated for the Gaussian kernel only")


def features_of(first: ArrayLike, second: ArrayLike, wires: int) -> Floats:
    """Both samples as rows (n + m, wires): leading principal components of the pool, each of mean 0 and spread 1.

    Columns that do not vary are 0. Of rows that have at most ``wires`` numbers, the numbers themselves are taken.

    Raises:
        DataError: see `qimg_rollout.mmd.Pair.of`.
    """
    pair = Pair.of(first, second)
    pool = np.concatenate([pair.first, pair.second])
    pool = pool - pool.mean(0)
    if pool.shape[1] > wires:
        _, _, axes = np.linalg.svd(pool, full_matrices=False)
        pool = pool @ axes[:wires].T
    spread = pool.std(0)
    out = np.where(spread > 1e-12 * max(1.0, float(spread.max())), pool / np.where(spread > 0, spread, 1.0), 0.0)
    missing = wires - out.shape[1]
    return np.pad(out, ((0, 0), (0, missing))) if missing > 0 else out


def source_of(was: Sets, now: Sets) -> str:
    """What both have: latents before bits before images.

    Raises:
        DataError: nothing.
    """
    for name in SOURCES:
        if getattr(was, name) is not None and getattr(now, name) is not None:
            return name
    raise DataError(
        f"nothing to compare: the baseline has {', '.join(was.sizes)}, the new sample {', '.join(now.sizes)}"
    )


def check_kernels(
    session: Session,
    was: ArrayLike,
    now: ArrayLike,
    kernels: Sequence[Kernel],
    *,
    what: str = "latents",
    alpha: float = 0.01,
    seed: int,
    minimum: int = MINIMUM,
) -> Drift:
    """Test whether two samples have one distribution, once with each kernel.

    Args:
        session: runs the circuits of the quantum kernels.
        was: the baseline (n, ...).
        now: the new sample (m, ...).
        kernels: all on as many wires.
        what: is compared, for the record.
        alpha: chance of a false alarm of all kernels together (Holm), up to 0.1.
        seed: of the permutations; each kernel sees the same ones.
        minimum: fewest rows of a sample.

    Raises:
        ConfigurationError: alpha out of range, no kernel, or different numbers of wires.
        DataError: see `qimg_rollout.mmd.Pair.of`.
        CapabilityError, PolicyError, BudgetExceeded: as `Session.execute`.
    """
    if not 0 < alpha <= 0.1:
        raise ConfigurationError(f"alpha: wanted more than 0 and up to 0.1, got {alpha}")
    if len({k.wires for k in kernels}) != 1:
        raise ConfigurationError("wanted one kernel or more, all on as many wires")
    pair = Pair.of(was, now)
    sizes = len(pair.first), len(pair.second)
    blank = [
        Finding(what=f"{what}, {k.kind} kernel", method="permutation test of the MMD", was=sizes[0], now=sizes[1])
        for k in kernels
    ]
    if min(sizes) < minimum:
        reason = f"too few rows: {sizes[0]} and {sizes[1]}, wanted {minimum}"
        return Drift(verdict=Verdict.INCONCLUSIVE, alpha=alpha, findings=tuple(blank), reason=reason)
    pool = features_of(pair.first, pair.second, kernels[0].wires)
    draw, share = derive_seed(seed, "kernel drift"), alpha / len(kernels)
    found = []
    for finding, kernel in zip(blank, kernels, strict=True):
        matrix = np.asarray(kernel.matrix(session, pool), dtype=np.float64)
        each = KernelPair(pool[: sizes[0]], pool[sizes[0] :], (matrix + matrix.T) / 2)
        found.append(evolve(finding, p=each.p_value(finest=share, seed=draw), effect=each.mmd2))
    adjusted = holm([_p(f) for f in found])
    done = tuple(evolve(f, adjusted=a) for f, a in zip(found, adjusted, strict=True))
    changed = [f.what for f in done if f.adjusted is not None and f.adjusted <= alpha]
    verdict = Verdict.FAIL if changed else Verdict.PASS
    reason = f"changed: {', '.join(changed)}" if changed else "no kernel sees a change"
    return Drift(verdict=verdict, alpha=alpha, findings=done, reason=reason)


def _p(finding: Finding) -> float:
    assert finding.p is not None
    return finding.p


def planned(session: Session, kernels: Sequence[Kernel], rows: int) -> list[dict[str, Any]]:
    """What each quantum kernel of a pool of ``rows`` rows would ask of the device and cost; nothing is sent."""
    out = []
    for kernel in kernels:
        request = kernel.request(session, rows)
        if request is None:
            continue
        plan = session.plan(request)
        exact, bases = request.shots is None, 3 if kernel.kind == "projected" else 1  # one for each Pauli
        out.append(
            {
                "kernel": kernel.to_json(),
                "backend": plan.backend,
                "rows": request.rows,
                "bases": 1 if exact else bases,
                "shots": None if exact else plan.total_shots * bases,
                "jobs": plan.n_jobs,
                "cost": plan.cost.to_json(),
            }
        )
    return out
