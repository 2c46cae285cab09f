"""``qimg trace``, ``replay --requests`` and ``export --format`` as a user calls them."""

from pathlib import Path


def test_a_picture_back_to_its_data(qimg, made, trained):
    done = qimg("trace", "six.png", "--json", "--out", "g.svg")
    assert done.code == 0, done.err
    document = done.json
    kinds = {n["kind"] for n in document["nodes"]}
    assert {"images", "run", "weights", "data", "circuit", "device", "decision", "environment", "gap"} <= kinds
    assert document["starts"] == [f"images:{made['entry']}"]
    assert document["proof"]["verdict"] == "pass"
    assert Path("g.svg").read_text().startswith("<svg")
    text = qimg("trace", "six.png").out
    assert f"run {made['run']}, generate" in text
    assert "lacks: licence: the data set states none" in text
    assert "corners" in text


def test_weights_a_run_an_entry_and_a_digest_are_understood(qimg, made, trained):
    assert qimg("trace", trained, "--forward", "--json").json["nodes"][0]["kind"] == "weights"
    assert qimg("trace", made["run"][:-2], "--json").json["starts"] == [f"run:{made['run']}"]
    assert qimg("trace", made["entry"], "--both", "--json").json["starts"] == [f"images:{made['entry']}"]
    assert qimg("trace", made["pixels"], "--json").json["starts"] == [f"images:{made['entry']}"]
    assert qimg("trace", "sha256:" + "1" * 64).code == 2
    assert qimg("trace", "device:nothing").code == 2
    assert qimg("trace", "six.png", "--ledger", "nowhere").code == 2
    assert qimg("trace", "six.png", "--out", "x.pdf").code == 2


def test_kept_requests_are_replayed_by_their_run(qimg, trained, toy):
    args = ("--weights", trained, "--n", 4, "--shots", 4000, "--proposals", "keep", "--out", "four.png", "--json")
    run = qimg("generate", *toy, *args).json["run"]
    done = qimg("replay", run, "--requests", "--seed", 5, "--json")
    assert done.code == 0, done.err
    assert done.json["method"] == "requests"
    assert float(done.json["measured"]["detectable"]) <= 0.1
    assert "Fisher's exact test" in done.json["measured"]["methods"]
    assert qimg("replay", "four.png", "--requests", "--effect", "0.001").code == 3
    assert qimg("replay", run, "--seed", 5).code == 2
    assert qimg("replay", run, "--requests", "--alpha", "1").code == 2


def test_a_run_without_kept_requests_says_how_to_keep_them(qimg, made):
    done = qimg("replay", made["run"], "--requests")
    assert done.code == 2
    assert "--proposals keep" in done.err


def test_an_unknown_format_names_those_there_are(qimg, made):
    done = qimg("export", "--format", "parchment", "--out", "x")
    assert done.code == 2
    assert "bundle" in done.err
    assert not Path("x").exists()
