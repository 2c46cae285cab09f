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


def resident_mb() -> float | None:
    """Resident now."""
    return status_mb(STATUS.read_text(), "VmRSS") if STATUS.exists() else None


def peak_mb() -> float | None:
    """The most that was resident since `reset_peak`."""
    return status_mb(STATUS.read_text(), "VmHWM") if STATUS.exists() else None


def reset_peak() -> None:
    """Start counting the peak anew (Linux: 5 in clear_refs); nothing where that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def give_back() -> None:
    """Collect garbage and let the C library return free memory, so that a base line is one."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
