"""Sessions from options, and what can be known before anything is computed (imports session, ledger, storage)."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from qimg_core.budget import Budget
from qimg_core.cli.options import RunOptions, parse_amount, parse_stated
from qimg_core.errors import BudgetExceeded, ConfigurationError
from qimg_core.generator import Arm
from qimg_core.hooks import GeneratorSpec
from qimg_core.jobs.polling import Polling
from qimg_core.ledger.opening import has_ledger, open_ledger
from qimg_core.mitigation import parse_mitigation
from qimg_core.noise import parse_noise
from qimg_core.planning import PlanningSession
from qimg_core.session import Session
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.cli.app import App
    from qimg_core.generator import Generator
    from qimg_core.ledger.base import Ledger


@contextmanager
def open_run(
    app: App, run: RunOptions, activity: Literal["train", "generate", "execute"], *, planning: bool = False
) -> Iterator[Session]:
    """A session that ends with the block; an error that leaves it carries the run id where a record was begun.

    With ``planning`` it is a `PlanningSession`, without a ledger.
    """
    session = (PlanningSession if planning else Session)(
        None if planning else run.ledger,
        seed=run.seed,
        backend=run.backend,
        fallback=run.fallback,
        shots=run.shots,
        noise=None if run.noise is None else parse_noise(run.noise),
        budget=Budget(
            max_cost=parse_amount(run.max_cost),
            max_jobs=run.max_jobs,
            max_shots=run.max_shots,
            max_depth=run.max_depth,
            max_two_qubit_gates=run.max_two_qubit_gates,
            allow_unknown_cost=run.allow_unknown_cost,
        ),
        profile="light" if run.profile == "light" else "full",
        activity=activity,
        context=parse_stated(run.stated),
        registry=app.registry,
        mitigation=None if run.mitigation is None else parse_mitigation(run.mitigation),
        proposals=cast("Literal['off', 'keep', 'reuse']", run.proposals),
        polling=Polling(timeout=run.timeout),
        resume=run.resume,
    )
    try:
        with session:
            yield session
    except BaseException as error:
        if session.log.started:
            error.add_note(f"run {session.run}: what was done until then is in the record {run.ledger}")
        raise


def prepare_ledger(session: Session, where: str) -> None:
    """Fail now where the record cannot be written later; a ledger that does not exist yet is not made.

    Raises:
        LedgerBusy, LedgerError, StorageError, ConfigurationError.
    """
    if has_ledger(where):
        len(session.ledger)  # opens it: takes the writer's lock, checks keys and the last signed head
    else:
        check_folder(Path(where))


def check_folder(folder: Path) -> None:
    """Can files be written here, or where this folder would be made? Tried, as permission bits do not tell all.

    Raises:
        StorageError.
    """
    found = folder.absolute()
    while not found.exists() and found.parent != found:
        found = found.parent
    try:
        with tempfile.TemporaryFile(dir=found) as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        raise storage_error(error, "write into", found) from error


def check_file(path: Path, suffix: str) -> None:
    """Can this file be written?

    Raises:
        ConfigurationError: another suffix, or there is a folder of that name.
        StorageError: its folder cannot be written.
    """
    if path.suffix.lower() != suffix:
        example = path.with_suffix(suffix) if path.name else f"name{suffix}"
        raise ConfigurationError(f"{str(path)!r} does not end in {suffix}", hint=f"e.g. {example}")
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder", hint="name a file")
    check_folder(path.parent)


def existing_ledger(app: App, where: str, *, write: bool = False) -> Ledger:
    """A ledger that is there already; opened for reading unless something is to be appended.

    Raises:
        ConfigurationError: none there.
        LedgerError, StorageError.
    """
    if not has_ledger(where):
        raise ConfigurationError(f"there is no ledger in {where}", hint="a run makes one; name another with --ledger")
    return open_ledger(where, app.registry, create=False, read_only=not write)


def load_generator(
    session: Session, name: str, *, weights: str | None, untrained: bool, changes: dict[str, Any]
) -> Generator:
    """A generator with trained weights: those asked for, else those that ship with it.

    Raises:
        UnknownName, WeightsError, PluginError.
        ConfigurationError: none ship with it and an untrained model was not asked for.
    """
    spec = session.registry.spec("generator", name)
    if weights is None and not untrained:
        shipped = list(spec.weights) if isinstance(spec, GeneratorSpec) else []
        if not shipped:
            raise ConfigurationError(
                f"no weights ship with {name}",
                hint=f"--weights FILE, after: qimg train --generator {name} ... (or --untrained to see noise)",
            )
        weights = shipped[0]
    if weights is not None and untrained:
        raise ConfigurationError("--weights and --untrained contradict each other")
    return session.generator(name, weights=weights, **changes)


def check_workload(model: Generator, n: int) -> None:
    """Refuse before the first request what would pass the budget's shots on the way.

    Raises:
        ConfigurationError: no images asked for.
        BudgetExceeded.
    """
    if n < 1:
        raise ConfigurationError(f"--n: wanted 1 or more, got {n}")
    most, bound = model.workload(n).total_shots, model.session.spending.budget.max_shots
    if bound is not None and most > bound:
        raise BudgetExceeded(f"{n} images take up to {most:,} shots, the budget allows {bound:,}")


def model_changes(arm: str | None, settings: dict[str, str]) -> dict[str, Any]:
    """Changes of a model's configuration, from ``--arm`` and ``--set``."""
    return {**settings, **({} if arm is None else {"arm": Arm(arm)})}
