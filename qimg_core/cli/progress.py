"""Progress on stderr: bars on a terminal, a line now and then elsewhere (imports rich when a bar is shown)."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qimg_core.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qimg_core.images import TrainStep
    from qimg_core.session import Session


def _bar(*columns: Any, refresh: Callable[[Any], None] | None = None) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Bar(Progress):
        def get_renderables(self) -> Any:
            if refresh is not None:
                refresh(self)
            return super().get_renderables()

    console = Console(stderr=True)
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *columns, TimeRemainingColumn())
    return Bar(*shown, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def sampling(session: Session, requests: int, what: str) -> Iterator[None]:
    """A bar over the executions of a session while the block runs.

    Args:
        session: its count of executions is watched.
        requests: how many to expect at most; 0 for a model without circuits.
        what: said beside the bar.
    """
    before = session.log.recorder.tally.executions

    def refresh(bar: Any) -> None:
        for task in bar.task_ids:
            bar.update(task, completed=session.log.recorder.tally.executions - before)

    bar = _bar(refresh=refresh)
    bar.add_task(what, total=requests or None)
    with bar:
        yield


@contextmanager
def training(steps: int, done: int = 0) -> Iterator[Callable[[TrainStep], None]]:
    """A bar with the loss. Gives the callback that `train` calls after each step.

    Ctrl-C is held back until a step is whole, so that what is saved is the state after a step; a second
    Ctrl-C ends the process at once, and the last saved state stands.
    """
    from rich.progress import TextColumn

    asked = threading.Event()

    def interrupt(number: int, frame: object) -> None:
        if asked.is_set():
            raise SystemExit(130)  # `train` saves on KeyboardInterrupt only, and half a step must not be saved
        asked.set()
        say("stopping after this step; once more Ctrl-C to stop at once and lose what was not saved")

    bar = _bar(TextColumn("loss {task.fields[loss]}"))
    task = bar.add_task("training", total=steps, completed=done, loss="-")
    mark = max(1, steps // 20)
    mean = 0.0

    def progress(step: TrainStep) -> None:
        nonlocal mean
        loss = float(step.metrics["loss"])
        mean = loss if mean == 0.0 else 0.98 * mean + 0.02 * loss
        bar.update(task, completed=step.step, loss=f"{mean:.4g}")
        if bar.disable and (step.step % mark == 0 or step.step == steps):
            say(f"step {step.step}/{steps}  loss {mean:.4g}")
        if asked.is_set():
            raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if here else signal.SIG_IGN
    held = here and before is not signal.SIG_IGN
    if held:
        signal.signal(signal.SIGINT, interrupt)
    try:
        with bar:
            yield progress
    finally:
        if held:
            signal.signal(signal.SIGINT, before)


@contextmanager
def downloading(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar over bytes. Gives the callback for `qimg_core.datasets.download`."""
    bar = _bar()
    task = bar.add_task(what, total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)
