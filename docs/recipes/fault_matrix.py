"""Every fault at every point of a job's way at three providers, and what becomes of the job.

    python docs/recipes/fault_matrix.py [ibm] [braket] [ionq] [--vendors] [--ionq-python PYTHON]

Runs sessions against the fake servers of qimg-ibm, qimg-braket and qimg-ionq on this machine and prints Markdown
tables. ``--vendors`` also runs the vendors' own clients (`fault_matrix_clients`, each in a process of its own) against
the same faults; IonQ's are looked for in ``--ionq-python``. Nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import select
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve
from fault_matrix_cells import LASTING, Provider, cell, not_applicable, provider, request

from qimg_core import Probabilities
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.faults import Fault, Point

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = {
    "ibm": ("qiskit-ibm-runtime",),
    "braket": ("amazon-braket-sdk",),
    "ionq": ("ionq-core", "qiskit-ionq", "cirq-ionq"),
}


class Client:
    """A vendor's own client in a process of its own, which is ended where it waits too long.

    Args:
        name: of the distribution.
        python: an interpreter that has it.
        limit: seconds for one job.
    """

    def __init__(self, name: str, python: str, limit: float = 8.0) -> None:
        self.name, self.python, self.limit = name, python, limit
        self._process: subprocess.Popen[str] | None = None

    @property
    def version(self) -> str:
        """As the interpreter says, or "" where it is not installed."""
        ask = f"import importlib.metadata as m; print(m.version({self.name!r}))"
        done = subprocess.run([self.python, "-c", ask], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def run(self) -> str:
        """One job: ``result ...``, ``error TYPE``, or "" where it still waited."""
        if self._process is None:
            short = {"qiskit-ibm-runtime": "ibm", "amazon-braket-sdk": "braket"}.get(self.name, self.name)
            script = str(Path(__file__).with_name("fault_matrix_clients.py"))
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                [self.python, script, short], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
            if self._line(120) != "ready":
                raise RuntimeError(f"{self.name} does not start")
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        answer = self._line(self.limit)
        if not answer:
            self.close()
        return answer

    def _line(self, limit: float) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], limit)[0]:
            return ""
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def theirs(at: Provider, client: Client, fault: Fault, point: Point) -> str:
    """What a vendor's client makes of one fault, in words, with the jobs counted at the fake."""
    at.reset()
    at.fake.faults.add(fault, point)
    kind, *rest = (client.run() or f"waits after {client.limit:.0f} s").split()
    jobs = {0: "no job", 1: "one job"}.get(at.jobs, f"**{at.jobs} jobs**")
    if not at.fake.faults.struck:
        return "n/a: it does not ask this"
    if kind == "error":
        return f"{jobs}, `{rest[0]}`"
    if kind != "result":
        return f"{jobs}, {kind} {' '.join(rest)}"
    exact = ReferenceBackend().run(evolve(request(), measurement=Probabilities((0, 1)), shots=None, seed=None)).data[0]
    right = np.abs(np.array(rest, float) - exact).max() < 0.15
    return f"{jobs}, {'result' if right else '**a wrong result**'}"


def clients_of(name: str, ionq_python: str) -> list[tuple[Client, dict[str, Any]]]:
    """The vendors' clients that are installed, and how the fake must answer them."""
    found = []
    for distribution in CLIENTS[name]:
        client = Client(distribution, ionq_python if name == "ionq" else sys.executable)
        old = {"style": "old", "strict": False} if distribution in ("qiskit-ionq", "cirq-ionq") else {}
        if client.version:
            found.append((client, old))
    return found


def cells(name: str) -> Iterator[tuple[Point, Fault, str | None]]:
    """Every point and fault, and why one makes no sense."""
    for point in Point:
        for fault in Fault:
            yield point, fault, not_applicable(name, fault, point)


def column(name: str, times: int) -> Iterator[str]:
    """One outcome for each of `cells`."""
    with provider(name) as at:
        for point, fault, why in cells(name):
            yield f"n/a: {why}" if why else str(cell(at, fault, point, times))


def vendors_column(name: str, client: Client, options: dict[str, Any]) -> Iterator[str]:
    """The same for a vendor's client, one fault each."""
    with provider(name, **options) as at:
        try:
            for point, fault, why in cells(name):
                yield f"n/a: {why}" if why else theirs(at, client, fault, point)
        finally:
            client.close()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    warnings.simplefilter("ignore")
    parser.add_argument("providers", nargs="*", default=list(CLIENTS), help="ibm, braket, ionq; all by default")
    parser.add_argument("--vendors", action="store_true", help="also run the vendors' clients")
    parser.add_argument("--ionq-python", default=sys.executable, help="an interpreter that has IonQ's clients")
    options = parser.parse_args()
    print(f"{dt.datetime.now(dt.UTC).date()}, qimg-core {importlib.metadata.version('qimg-core')}")
    for name in options.providers:
        columns = {"qimg, one fault": column(name, 1), "qimg, a lasting fault": column(name, LASTING)}
        for client, how in clients_of(name, options.ionq_python) if options.vendors else ():
            columns[f"{client.name} {client.version}, one fault"] = vendors_column(name, client, how)
        made = [list(c) for c in columns.values()]
        print(f"\n### {name}\n\n| point | fault | {' | '.join(columns)} |\n|{'---|' * (2 + len(columns))}")
        for n, (point, fault, _) in enumerate(cells(name)):
            print(f"| {point.value} | {fault.value} | {' | '.join(c[n] for c in made)} |", flush=True)


if __name__ == "__main__":
    main()
