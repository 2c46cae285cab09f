"""Environments of the peers: which are there, how one is made (imports the standard library, attrs)."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = Path(__file__).with_name("peers.toml")
ENVIRONMENTS = Path("out/bench/envs")
OWN = "own"
"""The environment that this program runs in."""


@frozen
class Environment:
    """A Python with fixed packages.

    Args:
        name: folder under `ENVIRONMENTS`.
        packages: requirements with exact versions.
        imports: modules that must import for the environment to count as made.
        folder: where all environments lie.
    """

    name: str
    packages: tuple[str, ...]
    imports: tuple[str, ...]
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / self.name

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    @property
    def identity(self) -> str:
        """Digest of what it should hold; the file ``made`` holds that of what it does."""
        return hashlib.sha256("\n".join(self.packages).encode()).hexdigest()

    @property
    def missing(self) -> str | None:
        """Why it cannot be used, or None."""
        made, failed = self.home / "made", self.home / "failed"
        if made.exists() and made.read_text().strip() == self.identity:
            return None
        if failed.exists():
            return f"not installed: {failed.read_text().strip()}"
        return "not installed: run `python -m benchmarks --setup`"

    def make(self, run: Callable[[list[str]], None]) -> str | None:
        """Create and fill it; the reason where that fails.

        Args:
            run: runs a command, raises `CommandFailed`.
        """
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.parent.mkdir(parents=True, exist_ok=True)
        try:
            run([sys.executable, "-m", "venv", str(self.home)])
            pip = [str(self.python), "-m", "pip", "install", "-q", "--no-cache-dir", "--disable-pip-version-check"]
            if torch := [p for p in self.packages if p.startswith("torch==")]:
                run([*pip, *torch])  # settled before anything may ask for another build of it
            run([*pip, *self.packages])
            for module in self.imports:
                run([str(self.python), "-c", f"import {module}"])
        except CommandFailed as failure:
            self.home.mkdir(exist_ok=True)
            (self.home / "failed").write_text(str(failure))
            return self.missing
        (self.home / "made").write_text(self.identity)
        return None


class CommandFailed(RuntimeError):
    """A command ended with an error; the message is the last line it wrote."""


def run_command(command: list[str]) -> None:
    """Run to the end, quietly.

    Raises:
        CommandFailed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()]
        raise CommandFailed((errors or said or [f"exit status {done.returncode}"])[-1].strip()[:300])


def environments(peers: Path = PEERS, folder: Path = ENVIRONMENTS) -> dict[str, Environment]:
    """Every environment of ``peers.toml`` by name."""
    document = tomllib.loads(peers.read_text(encoding="utf-8"))
    common = document.pop("common")
    return {
        name: Environment(name, (*common, *entry["packages"]), tuple(entry["imports"]), folder.absolute())
        for name, entry in document.items()
    }


def setup(
    names: list[str] | None = None,
    *,
    say: Callable[[str], None] = print,
    run: Callable[[list[str]], None] = run_command,
    known: dict[str, Environment] | None = None,
) -> dict[str, str | None]:
    """Make the environments that are missing; the reason of each that could not be made."""
    out: dict[str, str | None] = {}
    for name, environment in (environments() if known is None else known).items():
        if names is not None and name not in names:
            continue
        if environment.missing is not None:
            say(f"{name}: installing {', '.join(environment.packages)}")
            environment.make(run)
        out[name] = environment.missing
        say(f"{name}: {out[name] or 'ready'}")
    return out
