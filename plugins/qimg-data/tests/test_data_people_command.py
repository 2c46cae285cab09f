"""``qimg manifest opt-out``, ``without`` and ``expired``: what a person's data went into, and what is over."""

from pathlib import Path
from runpy import run_path

from qimg_core.ledger import SQLiteLedger

given = run_path(str(Path(__file__).with_name("manifest_helpers.py")))
ABOUT, TRAIN, made, train, entries = (given[k] for k in ("ABOUT", "TRAIN", "made", "train", "entries"))


def test_opting_out_names_weights_and_images_and_refuses_the_person_from_then_on(qimg, pictures):
    made(qimg, "--subjects", "subjects.csv")
    trained = train(qimg)
    qimg(
        "generate",
        "--generator",
        "toy",
        "--weights",
        "w.safetensors",
        "--n",
        "3",
        "--backend",
        "reference",
        "--out",
        "made.png",
    )
    assert "nobody" in qimg("manifest", "without", "pictures")
    gone = qimg("manifest", "opt-out", "ann@example.org", "--json")
    assert gone["affected"]["weights"] == [trained["digest"]]
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        assert gone["affected"]["images"] == [e.index for e in ledger.entries(kind="images.made")]
        assert ledger.verify().ok
    listed = qimg("manifest", "without", "pictures", "--json", code=1)["files"]
    assert listed == ["0/00.png", "0/03.png", "1/01.png", "2/02.png"]
    said = train(qimg, "x.safetensors", 4)["error"]["message"]
    assert "D_OPTED_OUT" in said and "4 files" in said
    assert "no key of that subject" in qimg("manifest", "opt-out", "ann@example.org", code=2)


def test_retention_that_ended_is_listed_with_what_came_of_the_data(qimg, pictures, monkeypatch):
    (pictures.parent / "about.toml").write_text(ABOUT.replace("2999-12-31", "2999-01-01"))
    made(qimg)
    trained = train(qimg)
    assert qimg("manifest", "expired", "--json")["expired"] == []
    from qimg_data import command_people

    later = command_people.dt.datetime(2999, 1, 2, tzinfo=command_people.dt.UTC)
    monkeypatch.setattr(command_people, "latest", lambda log, now: later)
    (row,) = qimg("manifest", "expired", "--json", code=1)["expired"]
    assert row["until"] == "2999-01-01" and row["affected"]["weights"] == [trained["digest"]]
