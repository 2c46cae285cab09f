"""``python -m benchmarks.ledger.verifying FOLDER [--strict]``: verify once, and print what it took as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from qimg_core.ledger import SQLiteLedger


def main(folder: str, *, strict: bool) -> None:
    """Seconds of the clock and of the processor, and the most memory that this process had."""
    wall, cpu = time.perf_counter(), time.process_time()
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        found = ledger.verify(strict=strict)
    told = {
        "verdict": found.verdict.value,
        "entries": found.entries,
        "heads": found.checkpoints,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory_mb": peak_mb(),
    }
    print(json.dumps(told))


def peak_mb() -> int:
    """The most memory that this program had. (Where there is no /proc, that of the one that started it counts too.)"""
    status = Path("/proc/self/status")
    if status.exists():
        found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(found.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main(sys.argv[1], strict="--strict" in sys.argv[2:])
