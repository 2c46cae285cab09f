"""Bad input: a clear error, the exit code, nothing half-written, no traceback, one JSON document."""

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from qimg_core import png, storage
from qimg_core.generator import Workload
from qimg_core.hooks import GeneratorSpec, hookimpl
from qimg_core.ledger import SQLiteLedger
from qimg_core.ledger.lock import WriterLock
from qimg_core.testing.toy import ToyGenerator
from qimg_core.weights import load_weights, save_weights


def everything(folder="."):
    """Every file under a folder and its bytes; the lock file's process number does not count."""
    return {
        str(p): p.read_bytes() if p.is_file() else b""
        for p in sorted(Path(folder).rglob("*"))
        if p.name not in ("ledger.lock", "ledger.db-shm", "ledger.db-wal")
    }


@pytest.fixture
def refused(qimg):
    """Calls a command that must fail with a code and a word, and leave every file as it was."""

    def call(code, word, *argv):
        before = everything()
        done = qimg(*argv, "--json")
        assert done.code == code, (done.code, done.err)
        error = done.json["error"]
        assert word in f"{error['message']} {error['hint']}", error
        assert "Traceback" not in done.err
        assert everything() == before
        plain = qimg(*argv)
        assert plain.code == code
        assert plain.out == ""
        assert word in plain.err
        return error

    return call


def test_unknown_names_offer_the_nearest(refused, toy, corners):
    generate = ("generate", "--backend", "reference")
    refused(2, "did you mean 'toy'", *generate, "--generator", "tyo")
    refused(2, "did you mean 'reference'", "generate", "--generator", "toy", "--backend", "referense")
    refused(2, "did you mean 'reference'", "generate", *toy, "--fallback", "referenc")
    refused(2, "did you mean 'spread'", *generate, "--generator", "toy", "--untrained", "--set", "spred=1")
    refused(2, "no weights of toy named 'mnits'", *generate, "--generator", "toy", "--weights", "mnits")
    refused(2, "did you mean 'mnist'", "train", *toy, "--data", "mnits", "--steps", "3", "--out", "w.safetensors")
    refused(2, "did you mean 'mnist'", "data", "show", "mnits")
    refused(2, "did you mean 'toy'", "circuit", "show", "tooy")
    refused(2, "did you mean 'purpose'", "generate", *toy, "--untrained", "--stated", "purpos=x")
    refused(2, "no noise named", "generate", *toy, "--untrained", "--noise", "deporalizing=0.1")


def test_a_generator_without_shipped_weights_says_what_to_do(refused, toy):
    refused(2, "--untrained", "generate", *toy)
    refused(2, "contradict", "generate", *toy, "--untrained", "--weights", "w.safetensors")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (lambda whole: whole[: len(whole) // 2], "not a whole safetensors file"),
        (lambda whole: b"", "not a whole safetensors file"),
        (lambda whole: b"PK\x03\x04 a zip", "not a whole safetensors file"),
        (lambda whole: (2**40).to_bytes(8, "little") + whole[8:], "not a whole safetensors file"),
        (lambda whole: whole.replace(b"qimg.weights/1", b"other.thing/99"), "was not written by qimg"),
        (lambda whole: whole.replace(b"toy/1", b"not/1"), "wanted 'toy/1'"),
    ],
)
def test_a_truncated_or_foreign_weights_file(refused, toy, trained, content, word):
    Path("bad.safetensors").write_bytes(content(Path(trained).read_bytes()))
    refused(2, word, "generate", *toy, "--weights", "bad.safetensors")
    if "wanted" not in word:
        refused(2, word, "inspect", "bad.safetensors")


def test_weights_of_another_shape_or_with_nan_or_of_another_arm(refused, toy, trained):
    facts = load_weights(trained).facts
    save_weights("shape.safetensors", {"weights": np.zeros((3, 5))}, format="toy/1", facts=facts)
    refused(2, "shape", "generate", *toy, "--weights", "shape.safetensors")
    save_weights("nan.safetensors", {"weights": np.full((3, 4), np.nan)}, format="toy/1", facts=facts)
    refused(2, "NaN", "generate", *toy, "--weights", "nan.safetensors")
    refused(2, "another configuration", "generate", *toy, "--weights", trained, "--arm", "twin")


def test_data_of_the_wrong_shape_with_nan_or_none_at_all(refused, toy):
    np.savez("big.npz", x=np.zeros((3, 5, 5), np.float32), y=np.arange(3))
    np.savez("nan.npz", x=np.full((3, 2, 2), np.nan, np.float32), y=np.arange(3))
    Path("empty").mkdir()
    train = ("train", *toy, "--steps", "3", "--out", "new/w.safetensors", "--data")
    refused(2, "2x2", *train, "big.npz")
    refused(2, "NaN", *train, "nan.npz")
    refused(2, "empty", *train, "empty")
    refused(2, "nothing-here.npz", *train, "nothing-here.npz")
    refused(2, "empty", "data", "show", "empty")
    Path("text.npz").write_text("no numbers")
    refused(2, "text.npz", *train, "text.npz")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--n", "0"], "1 or more"),
        (["--n", "-3"], "1 or more"),
        (["--condition", "7"], "class 7"),
        (["--condition", "9-0"], "backwards"),
        (["--condition", "threes"], "class numbers"),
        (["--condition", ""], "class numbers"),
        (["--shots", "0"], "1 or more"),
        (["--set", "spread"], "KEY=VALUE"),
        (["--set", "spread=wide"], "spread"),
        (["--set", "spread=1", "--set", "spread=2"], "twice"),
        (["--out", "picture.jpg"], ".png"),
        (["--out", "."], ".png"),
        (["--max-cost", "cheap"], "amount"),
        (["--noise", "depolarizing=2"], "probabil"),
        (["--columns", "0"], "columns"),
        (["--arm", "classical"], "arm"),
        (["--seed", "lucky"], "lucky"),
        (["--stated", "purpose"], "KEY=VALUE"),
    ],
)
def test_settings_that_do_not_fit(refused, toy, more, word):
    refused(2, word, "generate", *toy, "--untrained", *more)


def test_a_device_that_cannot(qimg, toy):
    done = qimg("generate", *toy, "--untrained", "--noise", "depolarizing=0.01", "--json")
    assert done.code == 2
    assert "noise" in done.json["error"]["message"]
    assert not Path("images.png").exists()


def test_a_budget_refuses_before_anything_runs(refused, toy):
    refused(4, "budget", "generate", *toy, "--untrained", "--shots", "100", "--n", "8", "--max-shots", "500")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--steps", "0"], "1 or more"),
        ([], "--steps"),
        (["--steps", "3", "--resume"], "nothing to resume"),
        (["--steps", "3", "--from", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--steps", "3", "--out", "w.bin"], ".safetensors"),
        (["--steps", "3", "--size", "big"], "--size"),
        (["--steps", "3", "--digest", "sha256:0"], "digest"),
        (["--steps", "3", "--set", "rate=fast"], "rate"),
    ],
)
def test_trainings_that_cannot_begin(refused, toy, corners, argv, word):
    base = ["train", *toy, "--data", str(corners)]
    refused(2, word, *base, *([] if "--out" in argv else ["--out", "w.safetensors"]), *argv)


def test_a_training_never_overwrites_weights(refused, toy, corners, trained):
    refused(2, "exists already", "train", *toy, "--data", str(corners), "--steps", "3", "--out", trained)


def test_files_that_are_something_else(refused, made, trained):
    Path("note.txt").write_text("hello")
    Path("folder").mkdir()
    refused(2, "neither a PNG nor", "inspect", "note.txt")
    refused(2, "folder", "inspect", "folder")
    refused(2, "no file", "inspect", "gone.png")
    refused(2, "no run", "inspect", "20200101-000000-deadbeef")
    refused(2, "no ledger", "verify", "folder")
    refused(2, "neither a ledger nor a bundle", "verify", "six.png")
    refused(2, "gone.zip", "verify", "gone.zip")
    refused(2, "no ledger", "ledger", "log", "--ledger", "folder")
    refused(2, "no ledger", "replay", "six.png", "--ledger", "folder")
    refused(2, "no plugin opens", "ledger", "log", "--ledger", "s3://nowhere")
    refused(2, "bundles", "verify", "runs", "--vkeys", "note.txt")
    data = Path("six.png").read_bytes()
    Path("cut.png").write_bytes(data[: len(data) // 2])
    refused(2, "cut.png", "inspect", "cut.png")
    refused(2, "cut.png", "replay", "cut.png")


@pytest.mark.parametrize("name", ["c.json", "c.qasm"])
@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b'{"ir": 99}', b"\xff\xfe", b"OPENQASM 2.0;\nqreg q[2];"])
def test_circuit_files_that_cannot_be_read(refused, name, content):
    Path(name).write_bytes(content)
    refused(2, "", "circuit", "show", name)


def _hold(folder, ready, done):
    lock = WriterLock.take(Path(folder))
    ready.set()
    done.wait(60)
    lock.release()


def test_a_ledger_that_another_process_writes(refused, qimg, made, toy, corners, trained):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=("runs", ready, done))
    other.start()
    try:
        assert ready.wait(60)
        refused(1, f"process {other.pid}", "generate", *toy, "--weights", trained, "--out", "new/x.png")
        train = ("train", *toy, "--data", str(corners), "--steps", "3", "--out", "new/y.safetensors")
        refused(1, f"process {other.pid}", *train)
        refused(1, f"process {other.pid}", "replay", "six.png")
        refused(1, f"process {other.pid}", "ledger", "checkpoint")
        assert qimg("inspect", "six.png").code == 0  # reading is allowed
        assert qimg("verify").code == 0
    finally:
        done.set()
        other.join()


def test_a_read_only_disk(refused, toy, trained, corners, tiny_disk):
    disk, read_only = tiny_disk
    read_only()
    generate = ("generate", *toy, "--weights", trained)
    refused(1, "read-only", *generate, "--out", f"{disk}/x.png")
    refused(1, "read-only", *generate, "--each", f"{disk}/each")
    refused(1, "read-only", *generate, "--ledger", f"{disk}/runs")
    train = ("train", *toy, "--data", str(corners), "--steps", "3", "--out")
    refused(1, "read-only", *train, f"{disk}/w.safetensors")
    refused(1, "read-only", "export", "--out", f"{disk}/b.zip")
    assert list(disk.iterdir()) == []


def test_a_full_disk(refused, toy, trained, tiny_disk):
    disk, _ = tiny_disk
    with pytest.raises(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"\0" * 4096)
    refused(1, "full", "generate", *toy, "--weights", trained, "--out", f"{disk}/x.png")
    refused(1, "full", "generate", *toy, "--weights", trained, "--ledger", f"{disk}/runs")
    assert [p.name for p in disk.iterdir()] == ["filler"]


def test_a_path_through_a_file(refused, toy, trained):
    Path("file").write_text("in the way")
    generate = ("generate", *toy, "--weights", trained)
    refused(1, "not a folder", *generate, "--out", "file/x.png")
    refused(1, "not a folder", *generate, "--ledger", "file")
    Path("x.png").mkdir()
    refused(2, "is a folder", *generate, "--out", "x.png")


def test_a_disk_that_fills_up_on_the_way_keeps_the_record_and_no_half_picture(qimg, toy, trained, monkeypatch):
    """The picture cannot be written after the images were made: they are in the record, and the error says where."""
    real = os.write

    def write(handle, data):
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".tmp") and b"PNG" in bytes(data[:8]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data)

    with monkeypatch.context() as patched:
        patched.setattr(storage.os, "write", write)
        done = qimg("generate", *toy, "--weights", trained, "--out", "new/x.png", "--n", 3, "--json")
    assert done.code == 1
    assert "full" in done.json["error"]["hint"]
    assert list(Path("new").iterdir()) == []
    run = done.json["error"]["notes"][0].split()[1].rstrip(":")
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        (entry,) = ledger.entries(run=run, kind="images.made")
        assert entry.facts["n"] == 3
        assert ledger.verify().ok


def test_a_damaged_ledger_is_named(qimg, made, refused, toy, trained):
    database = Path("runs/ledger.db")
    database.write_bytes(b"not a database at all" * 300)
    for extra in ("ledger.db-wal", "ledger.db-shm"):
        Path("runs", extra).unlink(missing_ok=True)
    assert qimg("verify").code == 1
    done = qimg("generate", *toy, "--weights", trained, "--out", "x.png")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert not Path("x.png").exists()


def test_pictures_with_odd_text(qimg, made):
    pixels, text = png.read("six.png")
    for changes in ({"qimg:grid": "n=1 columns=1 pad=0 height=1 width=1"}, {"qimg:grid": "nonsense"}):
        png.write("odd.png", pixels, {**text, **changes})
        done = qimg("inspect", "odd.png")
        assert done.code == 2
        assert "grid" in done.err
    png.write("odd.png", pixels, {**text, "qimg:entry": "999999"})
    done = qimg("inspect", "odd.png")
    assert done.code == 1
    assert "999999" in done.out


class Thrice(ToyGenerator):
    """Asks its device three times, one after the other, as the sampler of an ODE does."""

    name = "thrice"

    def workload(self, n):
        return Workload(requests=3, rows=3 * n, shots=self.session.shots)

    def sample(self, n, **more):
        for _ in range(2):
            self._pixels(np.zeros((n, 4)), [0] * n)
        return super().sample(n, **more)


class ThricePlugin:
    @hookimpl
    def qimg_generators(self):
        return [GeneratorSpec(name="thrice", target=f"{__name__}:Thrice")]


def test_a_budget_is_compared_with_all_that_sampling_will_ask(refused, registry, qimg):
    """The first of three requests would fit: it is not sent either."""
    registry.register(ThricePlugin(), "thrice")
    make = ("generate", "--generator", "thrice", "--backend", "reference", "--untrained", "--shots", "100", "--n", "2")
    refused(4, "600 shots", *make, "--max-shots", "500")
    assert qimg(*make, "--max-shots", "600").code == 0
