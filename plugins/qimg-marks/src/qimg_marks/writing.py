"""Marked pictures onto disk, the sidecar first (imports picture)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_marks.picture import SIDECAR, write_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qimg_marks.marking import Marked


def write_marked(marked: Sequence[Marked], targets: Sequence[Path]) -> list[list[Path]]:
    """Write each picture to its target; returns the files of each, the picture first.

    Raises:
        StorageError: one cannot be written.
    """
    written = []
    for m, target in zip(marked, targets, strict=True):
        paths = [target]
        if m.sidecar:
            paths.append(target.with_suffix(SIDECAR))
            write_picture(paths[1], m.manifest)
        write_picture(target, m.after.data)
        written.append(paths)
    return written
