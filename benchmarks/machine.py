"""Where and from what a figure comes: CPU, memory, system, commit, the idlest core (imports the standard library)."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def cpu_name(text: str) -> str:
    """The model of /proc/cpuinfo."""
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """Facts about the hardware and the system."""
    info, memory = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    text = info.read_text() if info.exists() else ""
    flags = next((line.split(":")[1].split() for line in text.splitlines() if line.startswith("flags")), [])
    total = int(memory.read_text().split()[1]) // 1024 if memory.exists() else None
    return {
        "cpu": cpu_name(text),
        "cores": os.cpu_count(),
        "simd": "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else platform.machine(),
        "memory_mb": total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def git() -> dict[str, Any] | None:
    """Commit, and whether files differ from it; None outside a checkout."""
    root = Path(__file__).parents[1]

    def run(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": run("rev-parse", "HEAD"), "dirty": bool(run("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def now() -> str:
    """UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def busy_times(text: str) -> dict[int, tuple[int, int]]:
    """(busy, all) ticks of each CPU in /proc/stat."""
    out = {}
    for line in text.splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            numbers = [int(t) for t in ticks[:8]]
            out[int(name[3:])] = (sum(numbers) - numbers[3] - numbers[4], sum(numbers))
    return out


def idlest_core(*, sleep: Callable[[float], None] = time.sleep, stat: Path = Path("/proc/stat")) -> int | None:
    """The CPU, of those this process may use, that did least for half a second; None where that cannot be told."""
    if not stat.exists() or not hasattr(os, "sched_getaffinity"):
        return None
    before = busy_times(stat.read_text())
    sleep(0.5)
    after = busy_times(stat.read_text())

    def load(core: int) -> float:
        busy, everything = (b - a for a, b in zip(before[core], after[core], strict=True))
        return busy / max(1, everything)

    allowed = [core for core in sorted(os.sched_getaffinity(0)) if core in before and core in after]
    return min(reversed(allowed), key=load, default=None)
