"""A credential that must be seen nowhere: logs, errors, handles, every byte of the ledger, bundles, the commands."""

from __future__ import annotations

import gc
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.errors import AuthenticationError, JobFailed, QimgError
from qimg_core.testing.faults import Fault, Faults, Point
from qimg_core.testing.toy import ToyPlugin

pytest.importorskip("qimg_ibm")
pytest.importorskip("qimg_braket")
pytest.importorskip("qimg_ionq")

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the SDKs' own clients, at exit

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
CANARY = "canary-7c1f-this-credential-must-be-seen-nowhere"
WRONG = "canary-7c1f-and-neither-must-this-one"
LEAK = "canary-7c1f"
PROVIDERS = ("ionq", "braket", "ibm")
DEVICES = {"ionq": "ionq:simulator", "braket": "braket:forte-1", "ibm": "ibm:ibm_manila"}


@pytest.fixture(params=PROVIDERS)
def at(request, monkeypatch):
    """A fake provider whose only valid credential is the canary."""
    monkeypatch.syspath_prepend(RECIPES)
    import fault_matrix_cells as cells

    options = {} if request.param == "braket" else {"key": CANARY}
    with cells.provider(request.param, **options) as provider:
        if request.param == "braket":
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
            monkeypatch.setenv("AWS_SESSION_TOKEN", CANARY)
        yield provider
    gc.collect()


def runs(at: Any, ledger: Path) -> list[str]:
    """A run that succeeds, one into a fault, one refused with 401: everything that can be printed of them."""
    import fault_matrix_cells as cells

    texts = []
    for name in ("good", "fault", "failed", "refused"):
        at.reset()
        error: QimgError | None = None
        with pytest.MonkeyPatch.context() as patch:
            if name == "fault":
                at.fake.faults = Faults().add(Fault.ERROR, Point.AFTER_ACKNOWLEDGEMENT, times=1000)
            if name == "failed":
                fail(at, patch)
            if name == "refused":
                refuse(at, patch)
            try:
                with cells.session_at(at.name, ledger) as session:
                    driver = session.backend()
                    result = session.execute(cells.request())
                    handles = [h.to_json() for h in result.record.jobs]
                    texts += [str(result.record), repr(result), repr(handles), repr(session)]
            except QimgError as caught:
                error = caught
            texts += [repr(driver), repr(vars(driver))]
        assert (error is None) == (name == "good")
        if error is not None:
            texts += ["".join(traceback.format_exception(error)), repr(error), repr(error.facts)]
        if name == "refused":
            assert isinstance(error, AuthenticationError)
        if name == "failed":
            assert isinstance(error, JobFailed)
    return texts


def fail(at: Any, patch: pytest.MonkeyPatch) -> None:
    """The provider ends the job, and its reason repeats the credential."""
    reason = f"the job of {CANARY} was ended"
    if at.name == "ionq":
        at.fake.fail_next(reason)
    else:
        patch.setattr(at.fake, "fails" if at.name == "ibm" else "failure", reason if at.name == "ibm" else "ended")


def refuse(at: Any, patch: pytest.MonkeyPatch) -> None:
    """From now on the credential is refused."""
    at.fake.faults = Faults()
    if at.name == "braket":
        patch.setattr(at.fake, "refuse", "ExpiredTokenException")
    else:
        patch.setenv("QIMG_IONQ_API_KEY" if at.name == "ionq" else "QIMG_IBM_TOKEN", WRONG)


def stored(folder: Path) -> bytes:
    """Every byte and every name below a folder."""
    return b"".join(str(f).encode() + f.read_bytes() for f in folder.rglob("*") if f.is_file())


def test_the_canary_is_seen_nowhere(at, tmp_path, caplog, capsys, monkeypatch):
    caplog.set_level(logging.DEBUG)
    for name in ("qimg", "qimg.http", "httpx", "httpcore", "botocore", "boto3", "qiskit_ibm_runtime", "urllib3"):
        caplog.set_level(logging.DEBUG, name)
    shown = "\n".join(runs(at, tmp_path / "runs"))
    assert LEAK not in shown
    registry = Registry()
    registry.register(ToyPlugin(), "toy")
    monkeypatch.chdir(tmp_path)
    for command in (
        ["jobs", "list", "--ledger", "runs", "--json"],
        ["verify", "runs"],
        ["export", "runs", "--out", "bundle"],
    ):
        assert main(command, registry=registry) == 0
    refuse(at, monkeypatch)
    command = ["generate", "--generator", "toy", "--untrained", "--n", "1", "--backend", DEVICES[at.name]]
    assert main(["--debug", *command, "--shots", "200", "--out", "x.png"], registry=registry) != 0
    captured = capsys.readouterr()
    assert LEAK not in captured.out + captured.err
    assert "Traceback" in captured.err
    if at.name != "braket":
        assert "AuthenticationError" in captured.err
    kept = stored(tmp_path)
    assert b"job.finished" in kept or len(kept) > 10_000
    assert LEAK.encode() not in kept
    ours = [r.getMessage() + str(r.exc_text) for r in caplog.records if r.name.startswith("qimg")]
    assert not [line for line in ours if LEAK in line]
    assert ours or at.name != "ionq"
    vendors = {r.name for r in caplog.records if LEAK in r.getMessage()}
    print(f"{at.name}: loggers of vendors that print the credential at DEBUG: {sorted(vendors) or 'none'}")
