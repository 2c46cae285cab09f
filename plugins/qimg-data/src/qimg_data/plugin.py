"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.hooks import CommandSpec, DatasetSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.admission import Context, Decision
    from qimg_core.datasets import ImageSource
    from qimg_core.execution import Plan


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg manifest``."""
    summary = "describe, sign and check datasets; tokens, opt-out, suspects"
    return [CommandSpec(name="manifest", target="qimg_data.command:manifest", summary=summary)]


@hookimpl
def qimg_datasets() -> list[DatasetSpec]:
    """``synthetic``."""
    summary = "10,000 drawn digits of 28x28 (8,000 train, 2,000 test) that show nobody's data; digest pinned"
    return [DatasetSpec(name="synthetic", target="qimg_data.synthetic:open_synthetic", summary=summary)]


@hookimpl
def qimg_check_data(images: ImageSource, context: Context, given: Mapping[str, Any]) -> Decision | None:
    """Check the manifest of what is to be learned; abstain where there is none and none is demanded."""
    from qimg_data.checking import check

    return check(images, context, given)


@hookimpl
def qimg_admit(plan: Plan, context: Context) -> Decision | None:
    """Keep inputs that are neither encoded, synthetic nor public from leaving the process."""
    from qimg_data.gate import admit

    return admit(plan, context)
