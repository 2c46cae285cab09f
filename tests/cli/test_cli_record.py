"""generate, train, inspect, verify, replay, export, ledger, demo: the road of a picture from order to proof."""

import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from qimg_core import Session, png
from qimg_core.hooks import GeneratorSpec, hookimpl
from qimg_core.images import read_images
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing.toy import ToyGenerator
from qimg_core.weights import load_weights


def kinds(run):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        return [e.kind for e in ledger.entries(run=run)]


class Interrupting(ToyGenerator):
    """Presses Ctrl-C: as often as ``presses`` says, while the step or the sampling is under way."""

    name = "interrupting"
    presses = 1

    def fit(self, images, *, steps, start=None):
        for step in super().fit(images, steps=steps, start=start):
            if step.step == 7:
                for _ in range(self.presses):
                    os.kill(os.getpid(), signal.SIGINT)
            yield step

    def sample(self, n, **more):
        if self.session.activity == "generate":
            self._pixels(np.zeros((3, 4)), range(3))
            os.kill(os.getpid(), signal.SIGINT)
        return super().sample(n, **more)


class InterruptingPlugin:
    @hookimpl
    def qimg_generators(self):
        return [GeneratorSpec(name="interrupting", target=f"{__name__}:Interrupting")]


@pytest.fixture
def interrupting(registry):
    registry.register(InterruptingPlugin(), "interrupting")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield "interrupting"
    signal.signal(signal.SIGINT, before)


def test_generate_gives_the_images_that_the_session_gives(qimg, made, trained, registry):
    with Session(None, seed=5, backend="reference", registry=registry) as session:
        wanted = session.generator("toy", weights=trained).sample(6)
    images, text = read_images("six.png")
    assert images.digest == wanted.digest == made["pixels"]
    assert text["qimg:run"] == made["run"]
    assert text["qimg:entry"] == str(made["entry"])
    assert made["condition"] == [0, 1, 2, 0, 1, 2]
    assert made["quantum"] is True
    assert made["simulated"] is True
    assert made["words"] == "simulated quantum circuit"
    assert made["circuits"][0]["wires"] == 4
    assert made["circuits"][0]["two_qubit_gates"] == 3
    assert kinds(made["run"])[-2:] == ["images.made", "run.finished"]


def test_generate_takes_classes_shots_arm_and_single_files(qimg, trained, toy):
    done = qimg(
        "generate", *toy, "--weights", trained, "--n", 5, "--condition", "2,0-1", "--shots", 50, "--noise", "readout=0",
        "--each", "new/each", "--out", "new/five.png", "--json", "--seed", 9, "--stated", "purpose=research",
    )  # fmt: skip
    assert done.code != 0  # the reference device takes no noise
    assert "noise" in done.json["error"]["message"]
    done = qimg(
        "generate", *toy, "--weights", trained, "--n", 5, "--condition", "2,0-1", "--shots", 50,
        "--each", "new/each", "--out", "new/five.png", "--json", "--seed", 9, "--stated", "purpose=research",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["condition"] == [2, 0, 1, 2, 0]
    assert len(list(Path("new/each").iterdir())) == 5
    shown = qimg("inspect", "new/each/00003.png", "--json")
    assert shown.code == 0
    assert shown.json["run"] == done.json["run"]
    assert shown.json["made"]["shots"] == 50
    assert shown.json["made"]["claims"] == {"purpose": "research"}


def test_a_twin_is_not_called_quantum(qimg, corners, toy):
    args = ("--data", corners, "--steps", 3, "--arm", "twin", "--out", "t.safetensors", "--samples", 0)
    assert qimg("train", *toy, *args).code == 0
    done = qimg("generate", *toy, "--weights", "t.safetensors", "--arm", "twin", "--n", 2, "--out", "t.png", "--json")
    assert done.code == 0
    assert done.json["quantum"] is False
    assert done.json["words"] == "no quantum part"
    assert done.json["circuits"] == []
    assert "no quantum part" in qimg("inspect", "t.png").out


def test_inspect_tells_and_proves(qimg, made):
    done = qimg("inspect", "six.png", "--json")
    assert done.code == 0
    document = done.json
    assert document["verdict"] == "pass"
    assert document["pixels_match"] is True
    assert document["run"] == made["run"]
    assert document["proof"]["algorithms"] == ["Ed25519", "ML-DSA-44"]
    assert document["made"]["seed"] == "5"
    assert document["made"]["ran_backends"] == ["reference"]
    assert document["made"]["weights"]["digest"] == made["weights"]
    assert document["made"]["weights"]["data"]["n"] == 30
    text = qimg("inspect", "six.png").out
    for word in (made["run"], "simulated quantum circuit", "4 wires", "Ed25519 and ML-DSA-44", "equal to the record"):
        assert word in text


def test_inspect_finds_changed_pixels(qimg, made):
    pixels, text = png.read("six.png")
    changed = pixels.copy()
    changed[0, 0] ^= 1
    png.write("changed.png", changed, text)
    done = qimg("inspect", "changed.png", "--json")
    assert done.code == 1
    assert done.json["pixels_match"] is False
    assert "NOT those of the record" in qimg("inspect", "changed.png").out
    assert qimg("replay", "changed.png").code == 1
    # the file's own digest changed to fit: without a ledger it looks right, the record still tells
    images, _ = read_images("changed.png")
    png.write("forged.png", changed, {**text, "qimg:pixels": images.digest})
    assert qimg("inspect", "forged.png", "--ledger", "nowhere").code == 3
    assert qimg("inspect", "forged.png").code == 1


def test_inspect_of_what_this_ledger_does_not_know(qimg, made, tmp_path):
    alone = qimg("inspect", "six.png", "--ledger", "nowhere", "--json")
    assert alone.code == 3
    assert alone.json["says"]["qimg:run"] == made["run"]
    with SQLiteLedger.open("other") as ledger:
        ledger.append("note", facts={})
    other = qimg("inspect", "six.png", "--ledger", "other", "--json")
    assert other.code == 3
    assert "names the log" in other.json["match"]["reason"]
    png.write("foreign.png", np.zeros((4, 4, 1), np.uint8), {})
    assert qimg("inspect", "foreign.png").code == 3
    images, _ = read_images("six.png")
    png.write("stripped.png", images.to_uint8()[2], {})
    found = qimg("inspect", "stripped.png", "--json")
    assert found.code == 0  # one of the six, found by its pixels
    assert found.json["run"] == made["run"]
    _, text = png.read("six.png")
    png.write("moved.png", png.read("six.png")[0], {**text, "qimg:entry": "0"})
    assert qimg("inspect", "moved.png").code == 1


def test_inspect_of_weights_and_runs(qimg, made, trained):
    weights = load_weights(trained)
    done = qimg("inspect", trained, "--json")
    assert done.code == 0
    assert done.json["digest"] == weights.digest == made["weights"]
    assert done.json["steps"] == 12
    assert qimg("inspect", trained, "--ledger", "nowhere").code == 3
    run = qimg("inspect", made["run"], "--json")
    assert run.code == 0
    assert run.json["made"][0]["pixels"] == made["pixels"]
    assert qimg("inspect", made["run"][:-1], "--json").json["run"] == made["run"]
    training = qimg("inspect", done.json["run"])
    assert "w.safetensors" in training.out
    wrong = qimg("inspect", made["run"][:-4] + "zzzz")
    assert wrong.code == 2
    assert made["run"] in wrong.err


def test_verify_passes_and_finds_the_first_bad_entry(qimg, made):
    good = qimg("verify", "--json")
    assert good.code == 0
    assert good.json["verdict"] == "pass"
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        entry = ledger.entry(made["entry"])
    digest = entry.artefacts["pixels"].removeprefix("sha256:")
    (file,) = [p for p in Path("runs").rglob("*") if p.is_file() and digest[2:] in p.name]
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    bad = qimg("verify", "runs", "--json")
    assert bad.code == 1
    assert bad.json["first_bad"] == made["entry"]
    assert f"first bad entry: {made['entry']}" in qimg("verify", "runs").out


def test_export_and_its_check(qimg, made):
    done = qimg("export", "--out", "bundle.zip", "--run", made["run"], "--json")
    assert done.code == 0
    assert done.json["runs"] == [made["run"]]
    assert qimg("verify", "bundle.zip").code == 0
    assert qimg("export", "runs", "--out", "whole").code == 0
    script = subprocess.run([sys.executable, "whole/verify.py", "whole"], capture_output=True, text=True, check=False)
    assert script.returncode == 0, script.stdout + script.stderr
    assert qimg("verify", "whole", "--vkeys", "whole/log.vkeys").code == 0
    lines = Path("whole/entries.jsonl").read_bytes()
    Path("whole/entries.jsonl").write_bytes(lines.replace(b"images.made", b"images.mode", 1))
    bad = qimg("verify", "whole", "--json")
    assert bad.code == 1
    assert bad.json["first_bad"] == made["entry"]
    assert qimg("export", "--out", "bundle.zip").code == 2  # exists
    assert qimg("export", "--out", "none.zip", "--run", "20200101-000000-00000000").code == 2
    assert not Path("none.zip").exists()


def test_replay_by_picture_and_by_run(qimg, made):
    done = qimg("replay", "six.png", "--json")
    assert done.code == 0
    assert done.json["verdict"] == "pass"
    assert done.json["run"] == made["run"]
    assert done.json["new_run"] != made["run"]
    assert done.json["measured"]["pixels"] == made["pixels"]
    assert made["run"] in qimg("replay", made["run"]).out


def test_a_replay_that_differs_fails(qimg, made, monkeypatch):
    from qimg_core.testing import reference

    real = reference.expectation
    monkeypatch.setattr(reference, "expectation", lambda state, factors: 0.9 * real(state, factors))
    done = qimg("replay", "six.png", "--json")
    assert done.code == 1
    assert done.json["first_difference"].startswith("image ")


def test_replay_of_a_training(qimg, trained, corners):
    for what in (trained, load_weights(trained).facts["run"]):
        done = qimg("replay", what, "--data", corners, "--json")
        assert done.code == 0, done.err
        assert done.json["measured"]["weights"] == "0.0"


def test_a_training_on_named_and_resized_data_needs_no_more_words_to_be_replayed(qimg, toy):
    args = ("--data", "digits", "--size", 2, "--steps", 3, "--out", "d.safetensors", "--samples", 0)
    assert qimg("train", *toy, *args).code == 0
    done = qimg("replay", "d.safetensors", "--json")
    assert done.code == 0, done.err
    assert done.json["measured"]["weights"] == "0.0"


def test_a_training_with_samples_is_replayed_as_a_training(qimg, corners, toy):
    args = ("--data", corners, "--steps", 4, "--out", "s.safetensors", "--samples", 3, "--json")
    run = qimg("train", *toy, *args).json["run"]
    assert qimg("replay", run, "--data", corners, "--json").json["measured"]["weights"] == "0.0"


def test_train_leaves_weights_curve_and_samples(qimg, corners, toy):
    done = qimg("train", *toy, "--data", corners, "--steps", 8, "--out", "deep/v.safetensors", "--json", "--samples", 4)
    assert done.code == 0, done.err
    assert sorted(p.name for p in Path("deep").iterdir()) == [
        "v.loss.csv",
        "v.loss.svg",
        "v.safetensors",
        "v.samples.png",
    ]
    assert done.json["digest"] == load_weights("deep/v.safetensors").digest
    assert "step 8/8" in done.err
    assert Path("deep/v.loss.csv").read_text().count("\n") == 9


def test_ctrl_c_in_training_saves_a_whole_step_and_resumes_to_the_same_weights(
    qimg, corners, interrupting, monkeypatch
):
    toy = ("--generator", "interrupting", "--backend", "reference", "--data", corners, "--samples", 0)
    cut = qimg("train", *toy, "--steps", 12, "--seed", 3, "--out", "cut.safetensors", "--json")
    assert cut.code == 130
    assert cut.json["stopped"] is True
    assert cut.json["steps"] == 7
    assert not Path("cut.safetensors").exists()
    assert Path(cut.json["state"]).exists()
    assert "--resume" in cut.err
    assert {"training.stopped", "run.finished"} <= set(kinds(cut.json["run"]))
    assert qimg("verify").code == 0
    assert qimg("train", *toy, "--steps", 12, "--seed", 3, "--out", "cut.safetensors").code == 2  # unfinished
    on = qimg("train", *toy, "--out", "cut.safetensors", "--resume", "--json")  # seed and steps from the state
    assert on.code == 0, on.err
    assert on.json["steps"] == 12
    monkeypatch.setattr(Interrupting, "presses", 0)
    whole = qimg("train", *toy, "--steps", 12, "--seed", 3, "--out", "whole.safetensors", "--json")
    assert whole.code == 0
    a, b = load_weights("cut.safetensors").arrays, load_weights("whole.safetensors").arrays
    np.testing.assert_array_equal(a["weights"], b["weights"])


def test_a_training_begins_with_weights_and_their_settings(qimg, corners, interrupting, monkeypatch):
    monkeypatch.setattr(Interrupting, "presses", 0)
    toy = ("--generator", "interrupting", "--backend", "reference", "--data", corners, "--samples", 0)
    first = qimg(
        "train", *toy, "--steps", 3, "--seed", 1, "--set", "spread=0.125", "--out", "first.safetensors", "--json"
    )
    monkeypatch.setattr(Interrupting, "presses", 1)
    on = (
        *toy,
        "--from",
        "first.safetensors",
        "--set",
        "rate=0.25",
        "--steps",
        12,
        "--seed",
        3,
        "--out",
        "on.safetensors",
    )
    assert qimg("train", *on).code == 130
    assert "--from" in qimg("train", *toy, "--from", "on.state.safetensors", "--out", "on.safetensors", "--resume").err
    done = qimg("train", *on, "--resume", "--json")  # as the message says: the same words and --resume
    assert done.code == 0, done.err
    facts = load_weights("on.safetensors").facts
    assert facts["from_weights"] == first.json["digest"]
    assert (facts["config"]["spread"], facts["config"]["rate"]) == ("0.125", "0.25")
    monkeypatch.setattr(Interrupting, "presses", 0)
    assert qimg("replay", "on.safetensors", "--data", corners).code == 0


def test_a_second_ctrl_c_ends_at_once_and_keeps_the_last_saved_state(qimg, corners, interrupting, monkeypatch):
    monkeypatch.setattr(Interrupting, "presses", 2)
    toy = ("--generator", "interrupting", "--backend", "reference", "--data", corners, "--samples", 0)
    with pytest.raises(SystemExit) as end:
        qimg("train", *toy, "--steps", 12, "--seed", 3, "--out", "cut.safetensors", "--every", 5)
    assert end.value.code == 130
    assert int(load_weights("cut.state.safetensors").facts["step"]) == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert qimg("verify").code == 0


def test_ctrl_c_in_sampling_leaves_no_picture_and_an_ended_run(qimg, interrupting):
    done = qimg(
        "generate", "--generator", "interrupting", "--untrained", "--backend", "reference", "--out", "x.png", "--json"
    )
    assert done.code == 130
    assert not Path("x.png").exists()
    (note,) = done.json["error"]["notes"]
    run = note.split()[1].rstrip(":")
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        last = list(ledger.entries(run=run))[-1]
    assert last.kind == "run.finished"
    assert last.facts["status"] == "interrupted"
    assert qimg("verify").code == 0


def test_demo_makes_verifies_and_says_what_is_quantum(qimg, trained):
    args = ("--generator", "toy", "--weights", trained, "--backend", "reference", "--n", 9)
    done = qimg("demo", *args, "--json")
    assert done.code == 0, done.err
    assert done.json["verification"]["verdict"] == "pass"
    assert done.json["files"] == ["out/digits.png"]
    assert done.json["seed"] == 7
    again = qimg("demo", *args)
    for word in ("out/digits.png", "simulated quantum circuit", "classical computer", "4 wires", "pass", "run 2"):
        assert word in again.out
    assert qimg("inspect", "out/digits.png").code == 0


def test_ledger_commands(qimg, made):
    runs = qimg("ledger", "log", "--json").json["runs"]
    assert runs[-1]["run"] == made["run"]
    assert runs[-1]["made"] == "6 images, toy"
    assert runs[-1]["status"] == "ok"
    entries = qimg("ledger", "log", "--entries", "--kind", "images.made", "--json").json["entries"]
    assert [e["index"] for e in entries] == [made["entry"]]
    assert made["run"] in qimg("ledger", "log", "--run", made["run"]).out
    shown = qimg("ledger", "show", made["entry"], "--json").json
    assert shown["entry"]["facts"]["pixels"] == made["pixels"]
    assert shown["proof"]["verdict"] == "pass"
    assert qimg("ledger", "show", 10_000).code == 1
    assert qimg("ledger", "show", made["entry"], "--artefact", "nothing").code == 2
    note = qimg("ledger", "checkpoint", "--json").json
    assert note["note"].splitlines()[1] == str(note["size"])


def test_the_ledger_may_come_from_the_environment(qimg, made, monkeypatch):
    shutil.move("runs", "elsewhere")
    assert qimg("inspect", "six.png").code == 3
    monkeypatch.setenv("QIMG_LEDGER", "elsewhere")
    assert qimg("inspect", "six.png").code == 0


def test_a_killed_run_is_inconclusive_until_it_is_signed(qimg, registry):
    session = Session("runs", seed=1, backend="reference", registry=registry)
    session.generator("toy").sample(2).save("killed.png")
    session.ledger.close()  # no run.finished, no signed head: as after a kill
    done = qimg("inspect", "killed.png")
    assert done.code == 3
    assert "no signed head covers" in done.out
    assert qimg("ledger", "checkpoint").code == 0
    assert qimg("inspect", "killed.png").code == 0


def test_the_picture_is_a_png_that_others_read(qimg, made):
    data = Path("six.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, seen = 8, b""
    while at < len(data):  # chunk by chunk: lengths and CRCs hold
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        seen += kind
        at += 12 + size
    assert seen.endswith(b"IEND")
    assert made["run"].encode() in data


def test_a_proof_is_made_of_a_picture_and_of_weights(qimg, made, trained):
    done = qimg("ledger", "prove", "six.png", "--out", "six.tlog-proof", "--entry", "six.json", "--json")
    assert done.code == 0, done.err
    assert (done.json["index"], done.json["kind"]) == (made["entry"], "images.made")
    keys = ("--vkeys", "runs/keys/log.vkeys")
    assert qimg("verify", "six.tlog-proof", *keys, "--entry", "six.json").code == 0
    Path("other.json").write_bytes(Path("six.json").read_bytes().replace(b"images.made", b"images.mode"))
    assert qimg("verify", "six.tlog-proof", *keys, "--entry", "other.json").code == 1
    assert qimg("ledger", "prove", trained, "--out", "w.tlog-proof", "--json").json["kind"] == "weights.saved"
    foreign = ("--generator", "toy", "--untrained", "--backend", "reference", "--n", 1, "--ledger", "other")
    assert qimg("generate", *foreign, "--out", "e.png").code == 0
    assert qimg("ledger", "prove", "e.png", "--out", "e.tlog-proof").code in (1, 2)
    assert not Path("e.tlog-proof").exists()
