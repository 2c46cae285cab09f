"""The conformance kit on each kind of Braket device: no case may fail (slow; `make test-all`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from qimg_braket.cloud import CloudBackend
from qimg_braket.devices import open_device
from qimg_braket.testing import FakeBraket, emulator_document
from qimg_core.testing.conformance import Options, Provider, backend
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def _failed(report: Any) -> list[str]:
    assert sum(r.outcome.verdict is Verdict.PASS for r in report.results) > 25
    return [f"{r.case}: {r.outcome.reason}" for r in report.results if r.outcome.verdict is Verdict.FAIL]


@pytest.mark.parametrize("device", ["local", "dm"])
def test_local_simulators(device: str) -> None:
    assert _failed(backend(lambda: open_device(device), Options(quick=True))) == []


def test_emulator(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps(emulator_document()))
    options = Options(quick=True, noisy=True, band=0.35)
    assert _failed(backend(lambda: open_device(f"emulator:{path}"), options)) == []


@pytest.mark.parametrize("device", ["garnet", "forte-1"])
def test_cloud(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crash points, faults and canaries against the fake Braket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")

    def connect(server: FakeBraket) -> CloudBackend:
        for name, value in server.environment().items():
            if not name.endswith("_KEY") and not name.endswith("_KEY_ID"):  # the kit plants its own
                monkeypatch.setenv(name, value)
        return CloudBackend(device, read_timeout=1.0).open()

    def jobs(server: FakeBraket) -> int:
        return len({task["tags"]["qimg-key"] for task in server.tasks.values()})

    provider = Provider(
        start=FakeBraket,
        connect=connect,
        jobs=jobs,
        fail=lambda server: setattr(server, "failure", "the qubits were cold"),
        busy=lambda server, polls: setattr(server, "polls", polls),
        failure="cold",
        hangs=True,
    )
    options = Options(quick=True, server=provider, secrets=("AWS_SECRET_ACCESS_KEY",))
    assert _failed(backend(None, options)) == []
