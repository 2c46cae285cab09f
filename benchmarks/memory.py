"""Resident memory of this process from /proc, without other packages (imports the standard library)."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

STATUS = Path("/proc/self/status")


def status_mb(text: str, field: str) -> float | None:
    """A field of /proc/self/status in MB (10**6 bytes); None where it is missing."""
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024 / 1e6


def private_mb() -> float | None:
    """Resident now, without pages of files."""
    return status_mb(STATUS.read_text(), "RssAnon") if STATUS.exists() else None


class Peak:
    """The most memory above a base line, while some work runs.

    Pages of libraries come and go with what else the machine does, so the base line is of private pages alone.

    Args:
        base: private pages at rest, MB (`private_mb`).
    """

    def __init__(self, base: float | None) -> None:
        self._base = base
        self._text = STATUS.read_text() if STATUS.exists() else ""
        try:
            Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak is counted anew
        except OSError:
            self._base = None

    def above(self) -> float | None:
        """MB: grown since the base line, and what the peak came to on top; None where the system does not tell."""
        return None if self._base is None else risen(self._text, STATUS.read_text(), self._base)


def risen(before: str, after: str, base: float) -> float | None:
    """`Peak.above` from /proc/self/status at both ends."""
    held, private, peak = status_mb(before, "VmRSS"), status_mb(before, "RssAnon"), status_mb(after, "VmHWM")
    if held is None or private is None or peak is None:
        return None
    return max(0.0, private - base) + max(0.0, peak - held)


def give_back() -> None:
    """Collect garbage and let the C library return free memory, so that a base line is one."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
