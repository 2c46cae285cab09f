"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qimg_core.hooks import CommandSpec, Evidence, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qimg_core.hooks import SuppliedNoise
    from qimg_core.ledger.base import Ledger
    from qimg_core.session import Session


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg mark``, ``qimg takedown``, ``qimg marks``, ``qimg watermark``."""
    mark = "mark pictures of any origin: credentials, watermark, label, fingerprint"
    takedown = "record that images shall not be shown, and list what to block"
    watermark = "keys of watermarks, and a detector for noise and pixels"
    marks = "the authority, trusted roots and the registry behind the marks"
    return [
        CommandSpec(name="mark", target="qimg_marks.command:mark", summary=mark),
        CommandSpec(name="takedown", target="qimg_marks.takedown_command:takedown", summary=takedown),
        CommandSpec(name="marks", target="qimg_marks.marks_command:marks", summary=marks),
        CommandSpec(name="watermark", target="qimg_marks.watermark.command:watermark", summary=watermark),
    ]


@hookimpl
def qimg_noise(context: dict[str, Any]) -> SuppliedNoise | None:
    """The noise source ``watermark``."""
    if (context.get("source") or "").partition(":")[0] != "watermark":
        return None
    from qimg_marks.watermark.source import supply

    return supply(context)


@hookimpl
def qimg_mark(pixels: Any, record: dict[str, Any]) -> Any:
    """As images are made: the watermark of ``QIMG_PIXEL_MARK=watermark``, then the label of ``QIMG_MARK_LABEL``."""
    marked = None
    if os.environ.get("QIMG_PIXEL_MARK"):
        from qimg_marks.watermark.at_generation import mark_made

        marked = mark_made(pixels)
    words = os.environ.get("QIMG_MARK_LABEL")
    if not words:
        return marked
    from qimg_marks.label import Label, draw

    return draw(pixels if marked is None else marked, Label(words=words)).pixels


@hookimpl
def qimg_saved(files: Sequence[Path], session: Session) -> Iterable[Path]:
    """Content credentials in each picture, where ``QIMG_MARK_CREDENTIALS`` names an authority."""
    if not os.environ.get("QIMG_MARK_CREDENTIALS"):
        return ()
    from qimg_marks.at_saving import sign_saved

    return sign_saved(files, session)


def MARKS() -> tuple[str, ...]:  # noqa: N802 - a name that the core looks for
    """The marks in the pixels under the present settings. Credentials are none: only a saved file can carry them."""
    by = {"QIMG_PIXEL_MARK": "watermark", "QIMG_MARK_LABEL": "label"}
    return tuple(mark for variable, mark in by.items() if os.environ.get(variable))


@hookimpl
def qimg_detect(path: Path, ledger: Ledger | None, context: Mapping[str, Any]) -> Iterable[Evidence]:
    """What `qimg inspect` says of any picture."""
    from qimg_marks.detect import detect

    return detect(path, ledger, context)
