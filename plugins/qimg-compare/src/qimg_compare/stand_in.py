"""A trained circuit replaced by a fitted classical surrogate, for the role ``surrogate`` (imports qimg_core, result).

The weights are those of the named arm at the same seed. A teacher runs its circuit on the arm's own simulator for some
images that are not judged; what it asked and got is kept, a surrogate is fitted to it (`qimg_classical`), and the
judged images are made with that and no circuit. They are never called quantum, and the surrogate's measured error is
in the run's log.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, frozen

from qimg_compare.result import read_result, run_folder
from qimg_core.backend import LocalBackend
from qimg_core.cli.circuits import first_party
from qimg_core.errors import ConfigurationError
from qimg_core.proposals import Proposals
from qimg_core.seeds import derive_seed
from qimg_core.session import Session
from qimg_core.storage import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_compare.plan import ArmPlan, ComparePlan
    from qimg_core.backend import Backend
    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import ExecutionRequest
    from qimg_core.job import RawResult, Snapshot

ROWS = 6000
"""Rows of the circuit that are asked of the teacher, about."""
FILE = "surrogate.safetensors"


class Teacher(LocalBackend):
    """A device of this process that offers numbers and nothing else, so that each request is one that can be kept.

    Args:
        inner: what runs.

    Raises:
        ConfigurationError: a device outside of this process.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__()
        if not isinstance(inner, LocalBackend):
            raise ConfigurationError(
                f"a surrogate is fitted to a circuit that runs in this process, {inner.name} does not",
                hint="fit one from the ledger of the arm: qimg surrogate fit",
            )
        self.inner, self.name = inner, inner.name

    @property
    def capabilities(self) -> Capabilities:
        """Those of the device, without gradients and contraction."""
        return evolve(self.inner.capabilities, gradients=frozenset(), contracts=False)

    def snapshot(self) -> Snapshot | None:
        """Of the device."""
        return self.inner.snapshot()

    def run(self, request: ExecutionRequest) -> RawResult:
        """On the device."""
        return self.inner.run(request)


@frozen(kw_only=True)
class StandIn:
    """A fitted surrogate and what it took.

    Args:
        backend: the classical path with nothing but the surrogate.
        weights: of the model.
        executions, shots, cost: of the teacher.
        run: of the session that fitted it.
    """

    backend: Backend
    weights: Path
    executions: int
    shots: int
    cost: Decimal
    run: str


def stand_in(home: Path, own: Path, plan: ComparePlan, arm: ArmPlan, given: dict[str, Any]) -> StandIn:
    """Fit the surrogate of a run.

    Args:
        home: of the comparison.
        own: of the run.
        plan: of the comparison.
        arm: of it, with ``surrogate_of``.
        given: what a session of the run is told.

    Raises:
        ConfigurationError: no weights of the named arm, or a device outside of this process.
        DataError: too few rows, weights that differ from row to row, or a measurement that cannot be learned.
        PluginIncompatible: qimg-classical is not installed.
    """
    backends, fitting, files, sets = (
        first_party(f"qimg_classical.{name}", "qimg-classical")
        for name in ("backend", "fitting", "surrogate_file", "training_set")
    )
    seed = given["seed"]
    weights = _weights(home, plan, plan.arm(arm.surrogate_of or ""), seed)
    with Session(None, seed=seed, backend=given["backend"], registry=given["registry"]) as session:
        teacher = Teacher(session.backend())
    told = {**given, "backend": teacher}
    with Session(own / "ledger", activity="generate", proposals="keep", **told) as session:
        model = session.generator(arm.generator, weights=weights, **{**arm.settings, "arm": arm.arm})
        n = max(8, ROWS // max(1, model.workload(1).rows))
        model.sample(n, seed=derive_seed(seed, "compare", "surrogate"))
        tally, cost = session.log.recorder.tally, Decimal(session.spending.cost)
    with Session(own / "ledger", seed=seed, registry=given["registry"]) as session:
        training = sets.table(sets.choose(Proposals(session.ledger), {"backend": teacher.name}), session.ledger.origin)
        blob = files.to_bytes(fitting.fit(training, seed=derive_seed(seed, "surrogate")))
        made = files.from_bytes(blob)
        facts = {
            "schema": "qimg.compare.surrogate/1",
            "of": arm.surrogate_of,
            "seed": seed,
            "images": n,
            "rows": training.rows,
            "function": asdict(made.function),
            "error": made.error.to_json(),
            "artefacts": {"surrogate": session.put(blob)},
        }
        session.record("compare.surrogate", facts)
        run = session.run
    write_atomic(own / FILE, blob)
    return StandIn(
        backend=backends.ClassicalBackend(str(own / FILE), max_wires=0),
        weights=weights,
        executions=tally.executions,
        shots=tally.shots,
        cost=cost,
        run=run,
    )


def _weights(home: Path, plan: ComparePlan, source: ArmPlan, seed: int) -> Any:
    if source.weights is not None:
        return source.weights.replace("{seed}", str(seed))
    folder = run_folder(home, source.name, seed)
    if read_result(folder, plan=plan.digest, arm=source.name, seed=seed) is None:
        raise ConfigurationError(
            f"the arm {source.name!r} has no result at seed {seed}, so there is nothing to imitate"
        )
    return folder / "weights.safetensors"
