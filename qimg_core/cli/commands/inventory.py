"""``qimg inventory``: what a ledger's runs are for (imports workloads, ledger)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields
from qimg_core.cli.runs import existing_ledger
from qimg_core.cli.workloads import CLASSES, COUNTED, NEW_WEIGHTS, workloads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.cli.app import App
    from qimg_core.cli.workloads import Workload


@click.command()
@click.option("--tag", "tags", multiple=True, help="Only workloads with this tag; repeatable.")
@click.option(
    "--class", "classes", multiple=True, type=click.Choice([c.value for c in CLASSES]), help="Only this class."
)
@ledger_option
@json_option
@click.pass_obj
def inventory(app: App, tags: Sequence[str], classes: Sequence[str], ledger: str) -> None:
    """List what a ledger's runs are for: workloads with class, tags, counts, last run and spend.

    The class is the highest sensitivity that was stated for the runs, or checked for the data behind their weights.
    From entries alone; `qimg verify` says whether these hold.
    """
    with existing_ledger(app, ledger) as log:
        origin, size = log.origin, len(log)
        found = workloads(log.entries())
    chosen = [w for w in found if set(tags) <= w.tags and (not classes or w.key.sensitivity in classes)]
    document = {"log": origin, "entries": size, "workloads": [w.to_json() for w in chosen]}
    lines = [] if chosen else [f"no workload of that kind; {len(found)} in all"]
    for number, workload in enumerate(chosen, 1):
        lines += _lines(number, workload)
    emit(document, lines)


def _lines(number: int, workload: Workload) -> list[str]:
    key, counts = workload.key, workload.counts
    what = " ".join(key.generator) or ("circuits" if key.activity == "execute" else "no generator yet")
    head = f"{number}. {key.activity} {what} on {', '.join(key.backend)}"
    shown = ", ".join(f"{n.replace('_', ' ')} {counts[n]:,}" for n in COUNTED if counts[n])
    return [
        click.style(head, bold=True),
        *fields(
            [
                ("class", key.sensitivity),
                ("purpose", key.purpose),
                ("data", ", ".join(f"{workload.names.get(d, '')} {d[7:19]}".strip() for d in key.data)),
                ("weights", ", ".join(w if w == NEW_WEIGHTS else w[7:19] for w in key.weights)),
                ("decision", f"{key.decision}{' by ' if key.policies else ''}{', '.join(key.policies)}"),
                ("counts", shown),
                ("billed", ", ".join(f"{a} {u}" for u, a in sorted(workload.billed.items()))),
                ("admitted", ", ".join(f"at most {a} {u}" for u, a in sorted(workload.at_most.items()))),
                ("tags", ", ".join(sorted(workload.tags))),
                ("last", f"{workload.last[:19]}Z, run {workload.last_run}"),
            ]
        ),
    ]
