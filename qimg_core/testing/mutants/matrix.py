"""Which case catches which fault (floor 8; imports the mutants of devices).

Printed by ``python -m qimg_core.testing.mutants``; ``docs/reference/conformance.md`` shows its output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.testing.mutants import MUTANTS, SOUND
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qimg_core.testing.mutants.generators import FaultyGenerator
    from qimg_core.testing.mutants.mutant import Mutant

    Faulty = Mutant | FaultyGenerator


def matrix(
    mutants: Iterable[Faulty] = (*SOUND, *MUTANTS), progress: Callable[[str], None] | None = None
) -> list[tuple[Faulty, tuple[str, ...]]]:
    """Each device, or generator, with the cases that fail on it, by the whole kit; of devices with ``quick``."""
    out: list[tuple[Faulty, tuple[str, ...]]] = []
    for mutant in mutants:
        report = mutant.examine()
        out.append((mutant, report.failed))
        if progress is not None:
            progress(f"{mutant.name}: {', '.join(report.failed) or 'no case fails'}")
        if any(r.verdict is Verdict.INCONCLUSIVE for r in report.results) and progress is not None:
            undecided = [r.case for r in report.results if r.verdict is Verdict.INCONCLUSIVE]
            progress(f"  undecided: {', '.join(undecided)}")
    return out


def table(rows: Iterable[tuple[Faulty, tuple[str, ...]]]) -> str:
    """As Markdown: the case that has to fail, and all that do."""
    lines = ["| fault | has to fail | fails |", "|---|---|---|"]
    lines += [f"| {m.name} | {m.caught_by or 'none'} | {', '.join(failed) or 'none'} |" for m, failed in rows]
    return "\n".join(lines)
