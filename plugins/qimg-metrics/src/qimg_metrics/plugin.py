"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from qimg_core.hooks import CommandSpec, hookimpl


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg evaluate``, ``qimg metrics``."""
    evaluate = "sample images and measure them against real ones, arms side by side"
    metrics = "feature networks for one's own data, planted faults, convergence, denoising traces"
    return [
        CommandSpec(name="evaluate", target="qimg_metrics.command:evaluate", summary=evaluate),
        CommandSpec(name="metrics", target="qimg_metrics.image_command:metrics", summary=metrics),
    ]
