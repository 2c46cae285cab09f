"""``qimg manifest`` and ``qimg train`` as a user calls them: what is learned, what is refused, what is recorded."""

import json
import shutil
import sqlite3
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

given = run_path(str(Path(__file__).with_name("manifest_helpers.py")))
ABOUT, TRAIN, made, train, entries = (given[k] for k in ("ABOUT", "TRAIN", "made", "train", "entries"))


def test_signed_manifest_is_checked_and_its_digest_is_in_the_training_record(qimg, pictures):
    new = made(qimg, "--subjects", "subjects.csv")
    qimg("policy", "key", "officer")
    qimg("manifest", "sign", "pictures", "--key", "officer.key.pem")
    (pictures.parent / "rules.toml").write_text("manifest_required = true\nsignature_required = true\n")
    qimg("manifest", "use", "rules.toml", "--trust", "officer.pub")
    assert qimg("manifest", "check", "pictures", "--stated", "purpose=research", "--json")["state"] == "verified"
    train(qimg)
    (checked,) = entries("data.checked")
    (started,) = entries("training.started")
    assert started["data"]["manifest"] == checked["manifest"] == new["digest"]
    assert started["data"]["licence"] == "CC-BY-4.0"
    assert checked["state"] == "verified" and checked["subjects"] == 2
    (saved,) = entries("weights.saved")
    assert saved["data"]["manifest"] == new["digest"]
    shown = qimg("manifest", "show", "pictures")
    assert "CC-BY-4.0" in shown and "ann" not in shown


def test_nothing_personal_reaches_the_ledger(qimg, pictures):
    made(qimg, "--subjects", "subjects.csv")
    train(qimg)
    (pictures / "0" / "00.png").unlink()
    train(qimg, "x.safetensors", 4)
    stored = b"".join(p.read_bytes() for p in pictures.parent.joinpath("runs").rglob("*") if p.is_file())
    with sqlite3.connect(pictures.parent / "runs" / "ledger.db") as db:
        dumped = "\n".join(db.iterdump())
    for secret in ("ann@example", "bob@example", "00.png"):
        assert secret.encode() not in stored and secret not in dumped


CHANGES = {
    "D_CHANGED": lambda p: (p / "1" / "01.png").write_bytes((p / "1" / "04.png").read_bytes()),
    "D_MISSING": lambda p: (p / "1" / "01.png").unlink(),
    "D_EXTRA": lambda p: shutil.copy(p / "1" / "01.png", p / "1" / "zz.png"),
}


@pytest.mark.parametrize("code", CHANGES)
def test_a_changed_missing_or_extra_file_is_refused_before_anything_is_computed(code, qimg, pictures):
    made(qimg)
    CHANGES[code](pictures)
    said = train(qimg, code=4)["error"]
    assert code in said["message"] and code in said["hint"]
    assert ".png" not in said["message"]  # it is recorded
    assert not (pictures.parent / "w.safetensors").exists() and not entries("training.started")
    (refused,) = entries("data.refused")
    assert code in [f["code"] for f in refused["decisions"][0]["findings"]]
    assert code in qimg("manifest", "check", "pictures", "--stated", "purpose=research", code=1)


REPLACED = {
    "D_TAINTED": ('source = "a camera"', 'source = "a camera"\nsource_state = "tainted"'),
    "D_LICENCE": ("CC-BY-4.0", "LicenseRef-unknown"),
    "D_RETENTION": ("2999-12-31", "2026-01-31"),
    "D_CONSENT": ('consent = "given"', 'consent = "withdrawn"'),
    "D_PURPOSE": ('["research"]', '["education"]'),
}


@pytest.mark.parametrize("code", REPLACED)
def test_a_source_licence_purpose_retention_or_consent_that_is_not_right_is_refused(code, qimg, pictures):
    old, new = REPLACED[code]
    assert old in ABOUT
    (pictures.parent / "about.toml").write_text(ABOUT.replace(old, new))
    made(qimg)
    said = train(qimg, code=4)["error"]["message"]
    assert code in said and said.count("D_") == 1
    assert not entries("training.started")


def test_data_without_a_manifest_are_learned_unless_the_rules_demand_one(qimg, pictures):
    train(qimg)
    assert "manifest" not in entries("training.started")[0]["data"]
    (pictures.parent / "rules.toml").write_text("manifest_required = true\n")
    qimg("manifest", "use", "rules.toml")
    assert "D_MANIFEST" in train(qimg, "x.safetensors", 4)["error"]["message"]


def test_an_unsigned_forged_or_foreign_signature_is_refused_where_one_is_required(qimg, pictures):
    made(qimg)
    for name in ("officer", "stranger"):
        qimg("policy", "key", name)
    (pictures.parent / "rules.toml").write_text("signature_required = true\n")
    qimg("manifest", "use", "rules.toml", "--trust", "officer.pub")
    assert "D_SIGNATURE" in train(qimg, code=4)["error"]["message"]
    qimg("manifest", "sign", "pictures", "--key", "stranger.key.pem")
    assert "D_SIGNATURE" in train(qimg, code=4)["error"]["message"]
    qimg("manifest", "sign", "pictures", "--key", "officer.key.pem")
    envelope = pictures / "qimg.manifest.dsse.json"
    good = envelope.read_text()
    document = json.loads(good)
    first = document["signatures"][0]
    first["sig"] = ("A" if first["sig"][0] != "A" else "B") + first["sig"][1:]
    envelope.write_text(json.dumps(document))
    assert "D_SIGNATURE" in train(qimg, code=4)["error"]["message"]
    envelope.write_text(good)
    manifest = pictures / "qimg.manifest.json"
    manifest.write_text(manifest.read_text().replace('["research"]', '["research","education"]'))
    assert "D_SIGNATURE" in train(qimg, code=4)["error"]["message"]


def test_a_malformed_manifest_is_refused_and_other_images_under_its_name_are_too(qimg, pictures):
    made(qimg)
    path = pictures / "qimg.manifest.json"
    good = path.read_text()
    for bad in ("", "{}", good[:-20], good.replace('"name"', '"nam"'), good.replace('"CC-BY-4.0"', "1.5")):
        path.write_text(bad)
        assert "D_MANIFEST" in train(qimg, code=4)["error"]["message"]
    path.write_text(good)
    path.rename(pictures.parent / "elsewhere.json")
    rng = np.random.default_rng(2)
    np.savez("other.npz", x=rng.integers(0, 256, (12, 2, 2), dtype=np.uint8), y=np.arange(12) % 3)
    argv = [*TRAIN[:6], "other.npz", *TRAIN[7:], "--out", "w.safetensors", "--manifest", "elsewhere.json", "--json"]
    said = qimg(*argv, "--stated", "purpose=research", code=4)["error"]["message"]
    assert "D_IMAGES" in said and "D_MISSING" in said and "D_EXTRA" in said


def test_bad_input_of_the_commands_is_refused_and_nothing_is_written(qimg, pictures):
    about = pictures.parent / "about.toml"
    for text in (
        "name = ",
        ABOUT.replace("CC-BY-4.0", "CC BY"),
        ABOUT + "\n[extra]\na = 1\n",
        ABOUT.replace("2026-01-02", "2026-02-30"),
        ABOUT.replace('"given"', '"Given"'),
        ABOUT.replace('name = "corners"', ""),
    ):
        about.write_text(text)
        made_code = qimg("manifest", "new", "pictures", "--about", "about.toml", "--subjects", "subjects.csv", code=2)
        assert "error:" in made_code
    assert not (pictures / "qimg.manifest.json").exists() and not (pictures.parent / "runs").exists()
    about.write_text(ABOUT)
    (pictures.parent / "subjects.csv").write_text("file,subject\n0/99.png,ann\n")
    assert "0/99.png" in qimg(
        "manifest", "new", "pictures", "--about", "about.toml", "--subjects", "subjects.csv", code=2
    )
    (pictures / "0" / "link.png").symlink_to(pictures / "0" / "00.png")
    assert "symbolic link" in qimg("manifest", "new", "pictures", "--about", "about.toml", code=2)


def test_the_synthetic_baseline_trains_a_prototype_under_its_manifest(qimg, tmp_path):
    written = qimg("manifest", "synthetic", "baseline", "--json")
    assert written["train"] == qimg("data", "show", "synthetic", "--json")["digest"]
    argv = [*TRAIN[:6], written["data"], *TRAIN[7:], "--size", "2", "--out", "w.safetensors"]
    qimg(*argv, "--stated", "purpose=prototype")
    (checked,) = entries("data.checked")
    assert checked["inputs"] == "synthetic" and checked["state"] == "unsigned"
    assert entries("training.started")[0]["data"]["licence"] == "CC0-1.0"


def test_a_prototype_does_not_start_on_raw_personal_data(qimg, pictures):
    (pictures.parent / "about.toml").write_text(ABOUT.replace('["research"]', '["research", "prototype"]'))
    made(qimg)
    said = train(qimg, code=4, purpose="prototype")["error"]
    assert "D_PROTOTYPE" in said["message"] and "synthetic" in said["hint"]


def test_a_training_on_raw_personal_data_sends_nothing_outside(qimg, pictures):
    made(qimg)
    argv = [w if w != "reference" else "cloud" for w in TRAIN]
    said = qimg(*argv, "--out", "w.safetensors", "--shots", "10", "--stated", "purpose=research", "--json", code=4)[
        "error"
    ]
    assert "raw_personal" in said["message"] and "by its manifest" in said["message"]
    assert not entries("jobs.intended") and entries("plan.refused")
    (pictures.parent / "about.toml").write_text(ABOUT.replace("raw_personal", "encoded"))
    (pictures / "qimg.manifest.json").unlink()
    made(qimg)
    argv = [w if w != "2" else "1" for w in argv]
    qimg(*argv, "--out", "w.safetensors", "--shots", "10", "--samples", "0", "--stated", "purpose=research")
    assert entries("jobs.intended")


def test_a_policy_sees_whether_the_manifest_is_verified(qimg, pictures):
    made(qimg)
    qimg("policy", "use", "consented-training")
    assert "manifest" in train(qimg, code=4)["error"]["message"]  # unsigned
    qimg("policy", "key", "officer")
    qimg("manifest", "sign", "pictures", "--key", "officer.key.pem")
    (pictures.parent / "rules.toml").write_text("")
    qimg("manifest", "use", "rules.toml", "--trust", "officer.pub")
    train(qimg)
    decided = entries("policy.decided")[-1]
    assert decided["verdict"] == "allow"
    said = train(qimg, "x.safetensors", 4, "research", "--stated", "sensitivity=public")["error"]["message"]
    assert "D_STATED" in said


def test_a_manifest_is_checked_by_itself_too(qimg, pictures):
    made(qimg)
    assert "unsigned" in qimg("manifest", "check", "pictures/qimg.manifest.json", "--stated", "purpose=research")
    (pictures / "2" / "02.png").write_bytes(b"")
    assert "D_CHANGED" in qimg(
        "manifest", "check", "pictures/qimg.manifest.json", "--stated", "purpose=research", code=1
    )
