"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from qimg_core.hooks import CommandSpec, hookimpl


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg compare`` and ``qimg ladder``."""
    worth = "what the quantum part is worth: arms of a plan, paired seeds, intervals, a verdict"
    rungs = "one model from exact simulation over shots and noise to devices, rung by rung"
    return [
        CommandSpec(name="compare", target="qimg_compare.command:compare", summary=worth),
        CommandSpec(name="ladder", target="qimg_compare.ladder.command:ladder", summary=rungs),
    ]
