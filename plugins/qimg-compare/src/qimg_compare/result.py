"""`RunResult`: what one run (an arm at a seed) left, as one file, whole or not there (imports qimg_core)."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, fields, frozen

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger("qimg")

SCHEMA = "qimg.compare.result/1"
FILE = "result.json"


@frozen(kw_only=True)
class Measured:
    """One metric of one run: value, 95 % interval over its images, N."""

    value: float
    low: float
    high: float
    n: int


@frozen(kw_only=True)
class Head:
    """The signed head of the log that a run wrote: its name, its size, the digest of the checkpoint."""

    origin: str
    size: int
    checkpoint: str


@frozen(kw_only=True)
class RunResult:
    """An arm at a seed.

    Args:
        plan: digest of the plan.
        registered: digest of the ledger entry that held the plan before this run began.
        arm, seed: which run.
        data, network: digests of the training data and of the feature network.
        metrics: by name.
        parameters: trained numbers: total, layer, circuit, observable.
        steps: of the training.
        train_seconds: over all sittings up to the last saved state; None where weights were given.
        sample_seconds: for n images.
        n: images.
        executions, rows, shots: of the training and of the sampling.
        cost: upper bound of what was spent, in the provider's unit.
        kinds: kinds of device that ran.
        quantum, simulated: as the images' record says.
        weights, pixels: digests.
        runs: ids in the run's own log.
        log: head of that log.
        trial: position in the arm's grid, of a trial; None: a run of the comparison.
        tuned: settings that a trial tries, or that were chosen for a run.
        chosen: digest of the ledger entry that chose them before this run began.
    """

    plan: str
    registered: str
    arm: str
    seed: int
    data: str
    network: str
    metrics: Mapping[str, Measured] = field(hash=False)
    parameters: Mapping[str, int] = field(factory=dict, hash=False)
    steps: int = 0
    train_seconds: float | None = None
    sample_seconds: float = 0.0
    n: int = 0
    train_executions: int = 0
    train_shots: int = 0
    sample_executions: int = 0
    sample_rows: int = 0
    sample_shots: int = 0
    cost: Decimal = Decimal(0)
    kinds: tuple[str, ...] = ()
    quantum: bool = False
    simulated: bool = False
    weights: str | None = None
    pixels: str | None = None
    runs: tuple[str, ...] = ()
    log: Head | None = None
    trial: int | None = None
    tuned: Mapping[str, Any] = field(factory=dict, hash=False)
    chosen: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Canonical form without the log's head: what the run's own log vouches for."""
        out: dict[str, Any] = {f.name: _plain(getattr(self, f.name)) for f in fields(RunResult) if f.name != "log"}
        for key, nothing in (("trial", None), ("tuned", {}), ("chosen", None)):
            if out[key] == nothing:
                del out[key]
        return {"schema": SCHEMA, **out}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return canonical.real(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (Measured, Head)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(type(value))}
    return value


def run_folder(folder: Path, arm: str, seed: int) -> Path:
    """Where a run keeps its files."""
    return folder / "runs" / arm / f"seed-{seed}"


def trial_folder(folder: Path, arm: str, position: int) -> Path:
    """Where a trial keeps its files."""
    return folder / "trials" / arm / f"point-{position}"


def write_result(folder: Path, result: RunResult) -> str:
    """Write the file atomically; returns its digest."""
    data = canonical.dumps({"body": result.to_json(), "log": _plain(result.log)})
    write_atomic(folder / FILE, data)
    return sha256_digest(data)


def read_result(
    folder: Path, *, plan: str, arm: str, seed: int, trial: int | None = None
) -> tuple[RunResult, str] | None:
    """A finished result and the digest of its file; None where there is none, or one of another plan, arm or seed.

    A file that is damaged counts as none, with a warning: the run is made again.
    """
    try:
        data = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = canonical.loads(data)
        found = _from_json(document["body"], document["log"])
    except (ConfigurationError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        log.warning("%s is damaged and counts as none (%s): the run is made again", folder / FILE, error)
        return None
    if (found.plan, found.arm, found.seed, found.trial) != (plan, arm, seed, trial):
        return None
    return found, sha256_digest(data)


def _from_json(body: dict[str, Any], log: dict[str, Any] | None) -> RunResult:
    if body.pop("schema") != SCHEMA:
        raise ValueError("another schema")
    seconds = body["train_seconds"]
    metrics = {
        name: Measured(value=float(m["value"]), low=float(m["low"]), high=float(m["high"]), n=m["n"])
        for name, m in body["metrics"].items()
    }
    body |= {
        "metrics": metrics,
        "train_seconds": None if seconds is None else float(seconds),
        "sample_seconds": float(body["sample_seconds"]),
        "cost": Decimal(body["cost"]),
        "kinds": tuple(body["kinds"]),
        "runs": tuple(body["runs"]),
    }
    return evolve(RunResult(**body), log=None if log is None else Head(**log))
