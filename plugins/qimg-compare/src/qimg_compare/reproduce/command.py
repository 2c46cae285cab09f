"""``qimg reproduce``: a published figure, the band expected here, ours (imports qimg_core's command-line parts)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_compare.reproduce.catalogue import RECIPES, recipe_of
from qimg_compare.reproduce.judging import overall
from qimg_compare.reproduce.recipe import Effort, ImageRun
from qimg_compare.reproduce.tables import listing, markdown, terminal
from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, say
from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.session import Session
from qimg_core.storage import write_atomic

if TYPE_CHECKING:
    from qimg_compare.reproduce.images import Outcome
    from qimg_compare.reproduce.recipe import Recipe
    from qimg_core.cli.app import App

FINISHED = "reproduce.finished"
SCHEMA = "qimg.reproduce/1"


@click.command()
@click.argument("name", required=False)
@click.option("--data", metavar="NAME|PATH", help="Other data than the recipe's, e.g. one's own.")
@click.option(
    "--effort",
    type=click.Choice([e.value for e in Effort]),
    default=Effort.USUAL.value,
    show_default=True,
    help="quick: minutes, judges nothing. published: the publication's settings.",
)
@click.option("--seeds", type=click.IntRange(1), help="How many; the recipe says how many are usual.")
@click.option(
    "--out", default="reproduce", show_default=True, metavar="FOLDER", help="Each recipe gets a folder in it."
)
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Runs side by side, a core each.")
@ledger_option
@json_option
@click.pass_obj
def reproduce(
    app: App, name: str | None, data: str | None, effort: str, seeds: int | None, out: str, jobs: int, ledger: str
) -> ExitCode:
    """Try a published figure again: what was published, what is expected here, what came out.

    Without NAME the recipes are listed. Exit code 0: every figure with a band lies in it, 1: one lies outside or a run
    failed, 3: not judged (too few seeds, an interval across the band's end, --effort quick).
    """
    if name is None:
        emit({"recipes": [_about(r) for r in RECIPES.values()]}, listing(RECIPES.values()))
        return ExitCode.OK
    recipe, spent = recipe_of(name), Effort(effort)
    outcome = _run(app, recipe, data=data, effort=spent, seeds=seeds, out=Path(out), jobs=jobs, ledger=ledger)
    verdict = overall(outcome.rows)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        **_about(recipe),
        "effort": spent.value,
        "verdict": verdict.value,
        "figures": [row.to_json() for row in outcome.rows],
        "failures": list(outcome.failures),
        **outcome.facts,
    }
    text = canonical.dumps(document)
    with Session(ledger, registry=app.registry) as session:
        facts = {
            "schema": SCHEMA,
            "recipe": recipe.name,
            "effort": spent.value,
            "verdict": verdict.value,
            "seeds": outcome.facts["seeds"],
            "artefacts": {"figures": session.put(text)},
        }
        entry = session.record(FINISHED, facts)
    record = {"run": entry.run, "entry": entry.index, "ledger": ledger}
    files = {
        "reproduce.json": json.dumps({**document, "record": record}, indent=2, sort_keys=True) + "\n",
        "reproduce.md": markdown(recipe, spent, outcome, verdict, record),
    }
    for file, content in files.items():
        write_atomic(outcome.folder / file, content.encode())
    emit({**document, "record": record, "folder": outcome.folder}, terminal(recipe, spent, outcome, verdict, record))
    return ExitCode.FAILED if outcome.failures else verdict_code(verdict)


def _run(
    app: App, recipe: Recipe, *, data: str | None, effort: Effort, seeds: int | None, out: Path, jobs: int, ledger: str
) -> Outcome:
    if isinstance(recipe.run, ImageRun):
        from qimg_compare.reproduce.images import reproduce_images

        return reproduce_images(app, recipe, data=data, effort=effort, seeds=seeds, out=out, jobs=jobs, ledger=ledger)
    from qimg_compare.reproduce.states import reproduce_states

    if jobs > 1:
        raise ConfigurationError(f"{recipe.name} trains one circuit after the other and takes no --jobs {jobs}")
    say(f"{recipe.name}: states, no images")
    return reproduce_states(app, recipe, data=data, effort=effort, seeds=seeds, out=out, ledger=ledger)


def _about(recipe: Recipe) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "source": recipe.source,
        "published": recipe.published,
        "differs": list(recipe.differs),
    }
