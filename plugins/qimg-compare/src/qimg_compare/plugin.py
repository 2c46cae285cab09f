"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from qimg_core.hooks import CommandSpec, hookimpl


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg compare``, ``qimg align``, ``qimg ladder`` and ``qimg reproduce``."""
    worth = "what the quantum part is worth: arms of a plan, paired seeds, intervals, a verdict"
    again = "a published figure, the band expected here, and ours, for each of six publications"
    fits = "which kernel fits labelled images: quantum and Gaussian ones, chosen on one half, judged on the other"
    rungs = "one model from exact simulation over shots and noise to devices, rung by rung"
    return [
        CommandSpec(name="compare", target="qimg_compare.command:compare", summary=worth),
        CommandSpec(name="align", target="qimg_compare.align_command:align", summary=fits),
        CommandSpec(name="ladder", target="qimg_compare.ladder.command:ladder", summary=rungs),
        CommandSpec(name="reproduce", target="qimg_compare.reproduce.command:reproduce", summary=again),
    ]
