"""The work that is measured: one module for each family; the docstring of a workload says what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.workloads.large import w6
from benchmarks.workloads.layered import ru, w1, w2, w3
from benchmarks.workloads.noisy import w7
from benchmarks.workloads.patches import w4
from benchmarks.workloads.scattered import r2
from benchmarks.workloads.shots import w8
from benchmarks.workloads.training import ts
from benchmarks.workloads.windows import w5

if TYPE_CHECKING:
    from benchmarks.workloads.base import Workload


def catalogue() -> dict[str, Workload]:
    """Every workload by name, in the order of the page."""
    return {w.name: w for w in (w1(), w2(), w3(), w4(), w5(), w6(), w7(), w8(), ru(), r2(), ts())}
