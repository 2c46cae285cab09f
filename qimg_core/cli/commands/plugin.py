"""``qimg plugin``: what is installed, testing it, beginning a new one (imports plugins)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.commands.plugin_new import new
from qimg_core.cli.commands.plugin_test import test
from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit, table
from qimg_core.hooks import GeneratorSpec
from qimg_core.plugins import KINDS

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.group()
def plugin() -> None:
    """List plugins and what they supply, test a component, begin a plugin."""


plugin.add_command(test)
plugin.add_command(new)


@plugin.command(name="list")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only components of this kind.")
@json_option
@click.pass_obj
def list_(app: App, kind: str | None) -> ExitCode:
    """Plugins, their state, and the components they supply. Exit code 1 where one is broken."""
    registry = app.registry
    kinds = [kind] if kind else list(KINDS)
    components = [
        {
            "kind": k,
            "name": name,
            "target": spec.target,
            "summary": spec.summary,
            "weights": sorted(spec.weights) if isinstance(spec, GeneratorSpec) else [],
        }
        for k in kinds
        for name, spec in registry.specs(k).items()
    ]
    plugins = [
        {
            "name": s.name,
            "distribution": s.distribution,
            "version": s.version,
            "error": None if s.error is None else s.error.message,
            "hint": "" if s.error is None else s.error.hint,
        }
        for s in registry.status
    ]
    lines = []
    if kind is None:
        rows = [[str(p["name"]), f"{p['distribution']} {p['version']}", str(p["error"] or "ok")] for p in plugins]
        lines += [*table(["PLUGIN", "DISTRIBUTION", "STATE"], rows), ""]
        lines += [f"  {p['name']}: {p['hint']}" for p in plugins if p["hint"]]
    rows = [[str(c["kind"]), str(c["name"]), str(c["summary"])] for c in components]
    emit({"plugins": plugins, "components": components}, [*lines, *table(["KIND", "NAME", "WHAT IT IS"], rows)])
    return ExitCode.FAILED if any(p["error"] for p in plugins) else ExitCode.OK
