"""`Workload`: cases, who runs them, what is asked of the figures (imports attrs, benchmarks.task)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from benchmarks.task import Gate, Task, Training

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS = "qimg-simulator"
COMPILED = "qimg-simulator with qimg-kernels"
BEST_PEER = "best peer"


@frozen(kw_only=True)
class Target:
    """What a figure of ours should be.

    Args:
        metric: "ratio": the peer's median over ours, at least. "first_ms": our first call, at most. "memory":
            our peak over the peer's, at most. "layer_share", "record_share": of our train step, at most.
        peer: an engine's name, or "best peer" for the fastest that does the same work.
        must, goal: the figures.
        ours: which engine of ours.
        cases: of the workload; empty for all.
    """

    metric: Literal["ratio", "first_ms", "memory", "layer_share", "record_share"]
    must: float
    goal: float | None = None
    peer: str = ""
    ours: str = OURS
    cases: tuple[str, ...] = ()


@frozen(kw_only=True)
class Case:
    """One table: a task and the engines that are asked to run it.

    Args:
        task: what.
        engines: by name, ours first.
        slow: engines that are asked with ``--all`` only, for the time they take.
    """

    task: Task | Training
    engines: tuple[str, ...]
    slow: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.task.name


def _cases(cases: Iterable[Case]) -> tuple[Case, ...]:
    return tuple(cases)


@frozen(kw_only=True)
class Workload:
    """Cases of one kind. ``about`` is shown above the tables."""

    name: str
    title: str
    about: str
    cases: tuple[Case, ...] = field(converter=_cases)
    targets: tuple[Target, ...] = ()


def upload(wires: int, *, first: int = 0) -> list[Gate]:
    """RX on every wire by inputs ``first`` and on."""
    return [Gate("rx", (q,), (("x", first + q),)) for q in range(wires)]


def entangling_layer(wires: int, index: int) -> list[Gate]:
    """A general rotation on every wire, then a CX ring of range 1 + index mod (wires - 1).

    Layer ``index`` of PennyLane's StronglyEntanglingLayers; three weights a wire.
    """
    start, reach = 3 * wires * index, 1 + index % (wires - 1)
    turns = [Gate("rot", (q,), tuple(("w", start + 3 * q + k) for k in range(3))) for q in range(wires)]
    return turns + [Gate("cx", (q, (q + reach) % wires)) for q in range(wires)]


def turning_layer(wires: int, index: int) -> list[Gate]:
    """RX, RY, RZ on every wire, then a CX ring of range 1; three weights a wire."""
    start = 3 * wires * index
    turns = [
        Gate(name, (q,), (("w", start + 3 * q + k),)) for q in range(wires) for k, name in enumerate(("rx", "ry", "rz"))
    ]
    return turns + [Gate("cx", (q, (q + 1) % wires)) for q in range(wires)]


def paragraphs(docstring: str | None) -> str:
    """A docstring as Markdown: no indentation."""
    import inspect

    return inspect.cleandoc(docstring or "")
