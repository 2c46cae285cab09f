"""``qimg retune``: trained weights with other sampling settings (imports weights, config)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit
from qimg_core.cli.runs import check_file

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.command()
@click.argument("weights", metavar="FILE.safetensors")
@click.option("--generator", required=True, metavar="NAME", help="The generator that the weights belong to.")
@click.option(
    "--set", "settings", multiple=True, required=True, metavar="KEY=VALUE", help="A sampling setting; repeatable."
)
@click.option("--out", required=True, metavar="FILE.safetensors", help="The new file; must not exist.")
@json_option
@click.pass_obj
def retune(app: App, weights: str, generator: str, settings: tuple[str, ...], out: str) -> None:
    """Write trained weights with other sampling settings.

    What was trained stays as it was; the new file names the one it comes from. Only settings that
    sampling alone reads can be changed, such as guidance or the number of solver steps.
    """
    from pathlib import Path

    from qimg_core.config import config_from_json, config_to_json
    from qimg_core.errors import ConfigurationError
    from qimg_core.weights import load_weights, retune

    if Path(out).exists():
        raise ConfigurationError(f"{out} exists already", hint="choose another --out")
    check_file(Path(out), ".safetensors")
    cls = app.registry.load("generator", generator)
    old = load_weights(weights, format=cls.weights_format)
    given = dict(pair.partition("=")[::2] for pair in settings)
    config = config_to_json(config_from_json(cls.config_type, {**old.facts["config"], **given}))
    digest = retune(weights, out, {k: config[k] for k in given}, cls.sampling_settings)
    document = {"out": out, "digest": digest, "retuned_from": old.digest, "run": old.facts["run"], "settings": given}
    changed = ", ".join(f"{k} {old.facts['config'].get(k)} -> {config[k]}" for k in given)
    emit(document, [f"{out}: {changed}; trained by run {old.facts['run']}", f"  {digest}, from {old.digest}"])
