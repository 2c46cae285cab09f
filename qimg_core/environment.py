"""The environment of a run: packages, hardware, threads, git state (floor 3; imports seeds, nothing heavy).

Facts only, no floats, nothing personal: no user name, host name, path or environment variable.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from typing import Any


@cache
def packages() -> dict[str, str]:
    """Installed distributions and their versions, sorted."""
    from importlib.metadata import distributions

    found = {(d.metadata["Name"] or "?").lower(): d.version for d in distributions()}
    return dict(sorted(found.items()))


@cache
def cpu() -> str:
    """The processor's own name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: platform's word below is what there is
    return platform.processor() or platform.machine()


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout that qimg_core is imported from, and whether files differ; None without one."""
    here = os.path.dirname(os.path.abspath(__file__))

    def git(*args: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", here, *args], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "modified": bool(git("status", "--porcelain", "--untracked-files=no"))}


def threads() -> int | None:
    """Torch's thread count where torch is loaded: it can change the last bit of a sum."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def environment() -> dict[str, Any]:
    """Everything at once, JSON without floats."""
    torch = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_available()
    return {
        "schema": "qimg.environment/1",
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if cuda and torch is not None else None,
        "packages": packages(),
        "git": git_state(),
    }
