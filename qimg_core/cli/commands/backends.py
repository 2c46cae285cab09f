"""``qimg backends``: devices and what they can do (imports plugins; each driver when it is listed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit, table

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.command()
@json_option
@click.pass_obj
def backends(app: App) -> None:
    """List devices and what they can do.

    Drivers are imported, no provider is asked. One that cannot be loaded is listed with the reason.
    """
    found = [_facts(app, name) for name in app.registry.specs("backend")]
    rows = []
    for facts in found:
        if facts["error"]:
            rows.append([facts["name"], "cannot be used", facts["error"], "", "", "", "", ""])
            continue
        shots = facts["shots"]
        rows.append(
            [
                facts["name"],
                facts["kind"],
                str(facts["max_wires"]),
                "yes" if facts["analytic"] else "no",
                "no" if shots is None else f"{shots[0]} to {shots[1] or 'any'}",
                "yes" if facts["noise"] else "no",
                ", ".join(facts["gradients"]) or "parameter_shift",
                f"{facts['billing']}{', remote' if facts['remote'] else ''}",
            ]
        )
    head = ["NAME", "KIND", "WIRES", "EXACT", "SHOTS", "NOISE", "GRADIENTS", "COSTS"]
    emit({"backends": found}, table(head, rows))


def _facts(app: App, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name, "summary": app.registry.spec("backend", name).summary, "error": None}
    try:
        with app.registry.load("backend", name)() as backend:
            c = backend.capabilities
    except Exception as error:  # another plugin's driver: whatever is wrong with it, the others are still listed
        return {**facts, "error": str(getattr(error, "message", None) or repr(error))}
    return {
        **facts,
        "kind": c.kind.value,
        "max_wires": c.max_wires,
        "analytic": c.analytic,
        "shots": None if c.shots is None else list(c.shots),
        "noise": c.noise,
        "seeded": c.seeded,
        "max_window": c.max_window,
        "max_rows": c.max_rows,
        "gates": sorted(g.value for g in c.gates),
        "measurements": sorted(m.value for m in c.measurements),
        "gradients": sorted(g.value for g in c.gradients),
        "remote": c.remote,
        "billing": c.billing.value,
    }
