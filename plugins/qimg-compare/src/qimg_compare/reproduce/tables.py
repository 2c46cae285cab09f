"""What ``qimg reproduce`` prints and writes, as lines of text (imports recipe, judging, images' outcome)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_compare.reproduce.recipe import Effort, ImageRun
from qimg_core.cli.output import table
from qimg_core.verdict import Verdict
from qimg_metrics.bootstrap import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_compare.reproduce.images import Outcome
    from qimg_compare.reproduce.judging import Ours, Row
    from qimg_compare.reproduce.recipe import Band, Recipe

WITHIN = {
    Verdict.PASS: "yes",
    Verdict.FAIL: "NO",
    Verdict.INCONCLUSIVE: "not judged",
    Verdict.NOT_APPLICABLE: "-",
}
VERDICTS = {
    Verdict.PASS: "every figure with a band lies in it",
    Verdict.FAIL: "a figure lies outside its band",
    Verdict.INCONCLUSIVE: "not judged",
}
HEAD = ("figure", "published", "expected here", "ours", "fresh data", "within")


def listing(recipes: Iterable[Recipe]) -> list[str]:
    """All recipes: name, data, seeds, source; then what was published."""
    cells, lines = [], []
    for r in recipes:
        run = r.run
        data = (run.data or "--data") if isinstance(run, ImageRun) else "drawn states"
        usual = run.efforts[Effort.USUAL]
        cells.append((r.name, data, str(usual.seeds), r.published))
        lines.append(f"  {r.name}: {r.source}")
    return [*table(("NAME", "DATA", "SEEDS", "PUBLISHED"), cells), "", "Sources:", *lines]


def cells(row: Row) -> tuple[str, ...]:
    """One row of the table, in the order of `HEAD`."""
    fresh = "-" if row.data is None else number(row.data.value)
    return (row.name, row.published or "-", band_words(row.band), ours_words(row.ours), fresh, WITHIN[row.verdict])


def band_words(band: Band | None) -> str:
    """``0.3 to 0.8``, ``at least 0.3``, or a dash."""
    if band is None:
        return "-"
    if band.low is None or band.high is None:
        return f"at most {plain(band.high)}" if band.low is None else f"at least {plain(band.low)}"
    return plain(band.low) if band.low == band.high else f"{plain(band.low)} to {plain(band.high)}"


def plain(value: float | None) -> str:
    """A band's end, without digits that nobody gave."""
    return f"{value:.6g}" if value is None or value != int(value) else f"{value:,.0f}"


def ours_words(ours: Ours | None) -> str:
    """Value, interval, and what it was made from."""
    if ours is None:
        return "-"
    if ours.low is None or ours.high is None:
        return f"{number(ours.value)} ({ours.basis})"
    if ours.low == ours.high == int(ours.value):
        return f"{ours.value:,.0f} ({ours.basis})"
    return f"{number(ours.value)} [{number(ours.low)}, {number(ours.high)}] ({ours.basis})"


def notes(rows: Iterable[Row]) -> list[str]:
    """What the published number is, where the band comes from, what the reader must know; said once for equal rows."""
    found: dict[str, list[str]] = {}
    for row in rows:
        parts = [f"published: {row.definition}" if row.definition else ""]
        parts += [f"band: {row.band.source}" if row.band else "", row.remark]
        if words := "; ".join(p for p in parts if p):
            found.setdefault(words, []).append(row.name)
    return [f"{'; '.join(names)}: {words}" for words, names in found.items()]


def terminal(
    recipe: Recipe, effort: Effort, outcome: Outcome, verdict: Verdict, record: Mapping[str, Any]
) -> list[str]:
    """Lines for a terminal, the verdict last."""
    return [
        f"{recipe.name} ({effort.value}): {recipe.source}",
        "",
        *table([h.upper() for h in HEAD], [cells(row) for row in outcome.rows]),
        "",
        *notes(outcome.rows),
        "",
        *(f"differs: {line}" for line in recipe.differs),
        *(f"failed: {line}" for line in outcome.failures),
        f"everything lies in {outcome.folder}",
        f"{recipe.name}: {VERDICTS[verdict]}; run {record['run']}, entry {record['entry']} of {record['ledger']}",
    ]


def markdown(recipe: Recipe, effort: Effort, outcome: Outcome, verdict: Verdict, record: Mapping[str, Any]) -> str:
    """The same for a page."""
    lines = [
        f"# {recipe.name} ({effort.value})",
        "",
        recipe.source,
        "",
        f"Published: {recipe.published}",
        "",
        f"**{VERDICTS[verdict]}**",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
        *("| " + " | ".join(c.replace("|", "\\|") for c in cells(row)) + " |" for row in outcome.rows),
        "",
        *(f"- {line}" for line in notes(outcome.rows)),
        "",
        "What differs from the publication:",
        "",
        *(f"- {line}" for line in recipe.differs),
        *(f"- failed: {line}" for line in outcome.failures),
        "",
        f"Run {record['run']}, entry {record['entry']} of {record['ledger']}.",
        "",
    ]
    return "\n".join(lines)
