"""`qimg mark`, `qimg inspect`, `qimg takedown`, `qimg marks` through the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qimg_core.ledger.opening import open_ledger
from qimg_marks.picture import open_picture

BY = ("--provider", "Example Org")


def _jpeg(path: str, out: str, quality: int = 50) -> None:
    Image.open(path).save(out, quality=quality)


def _layer(document: dict[str, Any], layer: str) -> dict[str, Any]:
    found = [e for e in document["evidence"] if e["layer"] == layer]
    assert found, [e["layer"] for e in document["evidence"]]
    first: dict[str, Any] = found[0]
    return first


def test_mark_and_inspect_what_the_ledger_made(qimg: Any, made: Any) -> None:
    done = qimg("mark", "four.png", *BY, "--out", "out", "--json")
    assert done.code == 0, done.err
    (marked,) = done.json["marked"]
    assert marked["record"]["place"]["run"] == made["run"]
    assert marked["record"]["system"] == "shapes"
    assert marked["record"]["quantum"] == "none"
    assert marked["before"]["pixels"] == marked["after"]["pixels"] == made["pixels"]
    with open_ledger("runs", create=False, read_only=True) as ledger:
        entry = ledger.entry(marked["entry"])
        assert entry.kind == "images.marked"
        assert entry.facts["record"]["unique_id"] == ledger.entry(made["entry"]).leaf.hex()
        assert ledger.verify().ok
        manifest = ledger.get(entry.artefacts["manifest"])
    beside = Path("out/four.c2pa")
    assert manifest in (beside if beside.exists() else Path("out/four.png")).read_bytes()
    seen = qimg("inspect", "out/four.png", "--json")
    assert seen.code == 0, seen.out
    assert _layer(seen.json, "content credentials")["verdict"] == "pass"
    assert _layer(seen.json, "marking in the ledger")["entry"] == marked["entry"]
    assert _layer(seen.json, "fingerprint")["verdict"] == "pass"


def test_a_label_changes_pixels_and_the_ledger_knows(qimg: Any, made: Any) -> None:
    assert qimg("mark", "each/00002.png", *BY, "--layers", "label,c2pa,fingerprint", "--out", "l.png").code == 0
    before, after = open_picture("each/00002.png"), open_picture("l.png")
    assert before.digest != after.digest
    assert after.text["qimg:pixels"] == after.digest
    seen = qimg("inspect", "l.png", "--json")
    assert seen.code == 0, seen.out
    assert seen.json["run"] == made["run"]
    assert seen.json["match"]["verdict"] == "pass"
    assert "a mark changed the pixels" in seen.json["match"]["reason"]
    # the same picture with one pixel changed is nobody's
    pixels = after.whole.copy()
    pixels[0, 0] ^= 255
    from qimg_core import png

    png.write("x.png", pixels, dict(after.text))
    Path("x.c2pa").write_bytes(Path("l.c2pa").read_bytes() if Path("l.c2pa").exists() else b"")
    changed = qimg("inspect", "x.png", "--json")
    assert changed.code == 1
    assert changed.json["match"]["verdict"] == "fail"


def test_a_labelled_grid_is_still_a_grid(qimg: Any, made: Any) -> None:
    assert qimg("mark", "four.png", *BY, "--layers", "label,fingerprint", "--out", "g.png").code == 0
    before, after = open_picture("four.png"), open_picture("g.png")
    assert before.pixels.shape == after.pixels.shape == (4, 32, 32, 1)
    assert all((a != b).any() for a, b in zip(before.pixels, after.pixels, strict=True))
    assert qimg("inspect", "g.png").code == 0


def test_stripped_and_recompressed_it_is_a_candidate_and_never_a_match(qimg: Any, made: Any) -> None:
    assert qimg("marks", "register", made["run"]).code == 0
    _jpeg("each/00001.png", "copy.jpg")
    seen = qimg("inspect", "copy.jpg", "--json")
    found = _layer(seen.json, "fingerprint")
    assert found["verdict"] == "inconclusive"
    assert found["facts"]["candidates"][0]["index"] == 1
    assert found["facts"]["candidates"][0]["of"]["run"] == made["run"]
    assert "candidate is not a match" in found["proves"]
    assert seen.code == 3
    looked = qimg("marks", "find", "copy.jpg", "--json")
    assert looked.code == 3
    assert looked.json["candidates"][0]["index"] == 1
    assert looked.json["compared"] == 4
    assert qimg("marks", "find", "each/00001.png").code == 0  # equal pixels


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_of_any_origin_without_a_ledger(qimg: Any, picture: Any, kind: str) -> None:
    name = f"photo.{kind.lower()}"
    Path(name).write_bytes(picture(kind, 96))
    done = qimg("mark", name, *BY, "--system", "some-model", "--manipulated", "--out", "out", "--json")
    assert done.code == 0, done.err
    assert "not recorded" in done.err
    assert done.json["marked"][0]["entry"] is None
    assert done.json["marked"][0]["unique_id"] == open_picture(name).digest
    seen = qimg("inspect", f"out/{name}", "--json")
    assert seen.code == 0, seen.out
    facts = _layer(seen.json, "content credentials")["facts"]
    assert facts["source_types"] == ["compositeWithTrainedAlgorithmicMedia"]
    assert qimg("inspect", name).code == 3  # unmarked: nothing can be told


def test_credentials_of_strangers_hold_but_nobody_knows_them(qimg: Any, picture: Any, tmp_path: Path) -> None:
    Path("p.jpg").write_bytes(picture("JPEG", 96))
    assert qimg("marks", "ca", "init", "--provider", "Stranger", "--marks", "theirs").code == 0
    assert qimg("mark", "p.jpg", "--system", "s", "--marks", "theirs", "--out", "m.jpg").code == 0
    seen = qimg("inspect", "m.jpg", "--json")
    assert seen.code == 3
    assert _layer(seen.json, "content credentials")["facts"]["state"] == "valid"
    assert qimg("marks", "trust", "theirs/ca/root.pem").code == 0
    assert qimg("inspect", "m.jpg").code == 0
    data = bytearray(Path("m.jpg").read_bytes())
    data[-40] ^= 4
    Path("m.jpg").write_bytes(bytes(data))
    broken = qimg("inspect", "m.jpg", "--json")
    assert broken.code == 1
    assert _layer(broken.json, "content credentials")["verdict"] == "fail"


def test_all_or_none(qimg: Any, picture: Any, made: Any) -> None:
    Path("ok.png").write_bytes(picture("PNG", 64))
    Path("bad.png").write_bytes(b"no picture")
    with open_ledger("runs", create=False, read_only=True) as ledger:
        before = len(ledger)
    done = qimg("mark", "ok.png", "bad.png", *BY, "--system", "s", "--out", "out")
    assert done.code == 2
    assert not Path("out").exists()
    with open_ledger("runs", create=False, read_only=True) as ledger:
        assert len(ledger) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["p.png", "--system", "s", "--layers", "fingerprint"], "--provider"),
        (["p.png", "--provider", "someone@example.org", "--system", "s"], "mail address"),
        (["p.png", *BY], "--system"),
        (["p.png", *BY, "--system", "s", "--layers", "c2pa,magic"], "magic"),
        (["p.png", *BY, "--system", "s", "--layers", ""], "none"),
        (["p.png", *BY, "--system", "s", "--time", "yesterday"], "RFC 3339"),
        (["p.png", *BY, "--system", "s", "--time", "2026-02-30T00:00:00Z"], "does not exist"),
        (["p.png", *BY, "--system", "s", "--label-share", "0.01", "--layers", "label"], "0.05"),
        (["p.png", *BY, "--system", "s", "--layers", "label", "--label", "made by a machine, all of it"], "too few"),
        (["p.png", *BY, "--system", "s", "--out", "p.png"], "exists"),
        (["p.png", "p.png", *BY, "--system", "s", "--out", "o"], "one file"),
        (["p.png", *BY, "--system", "s", "--in-place", "--out", "o"], "contradict"),
        (["p.png", *BY, "--system", "s", "--tsa", "ftp://x"], "--tsa"),
        (["p.png", *BY, "--system", "s", "--aigc-produce-id", "7"], "--aigc-producer"),
        (["p.png", *BY, "--system", "s", "--marks", "nowhere"], "ca init"),
        (["p.png", *BY, "--system", "s", "--ledger", "nowhere"], "nowhere"),
        (["p.png", *BY, "--system", "s", "--layers", "watermark"], "watermark key"),
        (["p.png", *BY, "--system", "s", "--attribution", "--template", "$nothing"], "nothing"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    qimg: Any, picture: Any, arguments: list[str], words: str
) -> None:
    Path("p.png").write_bytes(picture("PNG", 64))
    before = sorted(Path().rglob("*"))
    done = qimg("mark", *arguments)
    assert done.code == 2, done.err
    assert words in done.err
    assert sorted(Path().rglob("*")) == before


def test_credentials_are_not_taken_out_by_a_label(qimg: Any, picture: Any) -> None:
    Path("p.png").write_bytes(picture("PNG", 128))
    assert qimg("mark", "p.png", *BY, "--system", "s", "--out", "m.png").code == 0
    refused = qimg("mark", "m.png", *BY, "--system", "s", "--layers", "label", "--out", "n.png")
    assert refused.code == 2
    assert "add c2pa" in refused.err
    assert qimg("mark", "m.png", *BY, "--system", "s", "--layers", "label,c2pa", "--out", "n.png").code == 0
    assert Path("n.png").read_bytes().count(b"c2pa.claim.v2") >= 2
    assert qimg("inspect", "n.png").code == 0


def test_takedown_is_said_from_then_on(qimg: Any, made: Any) -> None:
    assert qimg("mark", "each/00000.png", *BY, "--layers", "label,fingerprint", "--out", "l.png").code == 0
    with open_ledger("runs", create=False, read_only=True) as ledger:
        leaf = ledger.entry(made["entry"]).leaf.hex()
    down = qimg("takedown", f"{leaf}#0", "--reason", "rights", "--reference", "case-7", "--out", "block.json", "--json")
    assert down.code == 0, down.err
    first = open_picture("each/00000.png")
    assert first.digest in down.json["pixels"]
    assert open_picture("l.png").digest in down.json["pixels"]  # its marked form, too
    assert open_picture("l.png").file_digest in down.json["files"]
    assert json.loads(Path("block.json").read_text())["pixels"] == down.json["pixels"]
    for name in ("each/00000.png", "l.png"):
        seen = qimg("inspect", name, "--json")
        assert seen.code == 1
        assert "rights" in _layer(seen.json, "takedown")["found"]
    assert qimg("inspect", "four.png").code == 1  # the grid holds it
    assert qimg("inspect", "each/00001.png").code == 0
    _jpeg("l.png", "l.jpg", 75)
    near = qimg("inspect", "l.jpg", "--json")
    assert near.code == 3
    assert "candidate" in _layer(near.json, "takedown")["found"]
    assert qimg("marks", "blocklist", "--json").json["blocked"][0]["entry"] == down.json["entry"]
    assert qimg("takedown", f"{leaf}#0", "--lift").code == 0
    assert qimg("inspect", "each/00000.png").code == 0
    with open_ledger("runs", create=False, read_only=True) as ledger:
        assert [e.kind for e in ledger.entries(start=down.json["entry"])] == ["images.taken_down", "images.restored"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing", "--reason", "rights"], "no images of the name"),
        (["four.png"], "--reason"),
        (["four.png", "--reason", "rights", "--lift"], "--lift"),
        (["four.png", "--reason", "rights", "--reference", "Jane Doe"], "no names"),
        (["four.png", "--lift"], "not taken down"),
    ],
)
def test_takedowns_that_are_refused(qimg: Any, made: Any, arguments: list[str], words: str) -> None:
    with open_ledger("runs", create=False, read_only=True) as ledger:
        before = len(ledger)
    done = qimg("takedown", *arguments)
    assert done.code == 2
    assert words in done.err
    with open_ledger("runs", create=False, read_only=True) as ledger:
        assert len(ledger) == before


@pytest.mark.parametrize("named", ["each/00000.png", "l.png", "ll.png"])
def test_marked_forms_go_down_with_their_image_also_without_fingerprints(qimg: Any, made: Any, named: str) -> None:
    assert qimg("mark", "each/00000.png", *BY, "--layers", "label", "--out", "l.png").code == 0
    assert qimg("mark", "l.png", *BY, "--layers", "label", "--label", "AI!", "--out", "ll.png").code == 0
    assert qimg("takedown", "each/00001.png", "--reason", "privacy").code == 0
    assert qimg("inspect", "ll.png").code == 0
    down = qimg("takedown", named, "--reason", "privacy", "--json")
    for name in ("each/00000.png", "l.png", "ll.png"):
        assert open_picture(name).digest in down.json["pixels"]
        assert qimg("inspect", name).code == 1


def test_a_run_is_taken_down_whole(qimg: Any, made: Any) -> None:
    assert qimg("takedown", made["run"], "--reason", "mistake").code == 0
    for name in ("four.png", "each/00003.png"):
        assert qimg("inspect", name).code == 1


def test_the_watermark_layer(qimg: Any, picture: Any) -> None:
    from qimg_marks.watermark.key import WatermarkKey

    WatermarkKey.new("marks/watermark.key")
    Path("p.png").write_bytes(picture("PNG", 256))
    assert qimg("mark", "p.png", *BY, "--system", "s", "--layers", "watermark,c2pa", "--out", "w.png").code == 0
    seen = qimg("inspect", "w.png", "--json")
    assert _layer(seen.json, "watermark in the pixels")["verdict"] == "pass"
    assert _layer(seen.json, "content credentials")["verdict"] == "pass"
    _jpeg("w.png", "w.jpg", 75)  # the credentials are gone, the watermark is not
    stripped = qimg("inspect", "w.jpg", "--json")
    assert stripped.code == 0, stripped.out
    assert _layer(stripped.json, "content credentials")["verdict"] == "not_applicable"
    assert _layer(stripped.json, "watermark in the pixels")["verdict"] == "pass"
    before = qimg("inspect", "p.png", "--json")
    assert _layer(before.json, "watermark in the pixels")["verdict"] == "not_applicable"


def test_the_label_at_generation(qimg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIMG_MARK_LABEL", "AI")
    made = ("--generator", "shapes", "--untrained", "--backend", "reference", "--seed", 5, "--n", 1)
    assert qimg("generate", *made, "--out", "one.png").code == 0
    monkeypatch.delenv("QIMG_MARK_LABEL")
    assert qimg("generate", *made, "--out", "bare.png", "--ledger", "other").code == 0
    one, bare = open_picture("one.png"), open_picture("bare.png")
    changed = np.argwhere((one.whole != bare.whole).any(-1))
    assert len(changed)
    assert changed.min(axis=0).min() >= 8  # the lower right corner alone
    assert qimg("inspect", "one.png").code == 0


def test_credentials_at_generation(qimg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ("--generator", "shapes", "--untrained", "--backend", "reference", "--seed", 5, "--n", 2)
    assert qimg("generate", *made, "--out", "bare.png", "--ledger", "other").code == 0
    monkeypatch.setenv("QIMG_MARK_CREDENTIALS", "marks")
    done = qimg("generate", *made, "--out", "one.png", "--each", "each", "--json")
    assert done.code == 0, done.err
    assert len(done.json["files"]) >= 3
    assert all(Path(name).exists() for name in done.json["files"])
    assert np.array_equal(open_picture("one.png").pixels, open_picture("bare.png").pixels)
    found = qimg("inspect", "one.png", "--json")
    assert found.code == 0, found.out
    layer = _layer(found.json, "content credentials")
    assert layer["verdict"] == "pass"
    assert done.json["run"] in json.dumps(found.json)
    assert qimg("verify", "runs").code == 0
    assert qimg("ledger", "log", "--kind", "images.marked", "--json").json["entries"]


def test_credentials_at_generation_without_an_authority(qimg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIMG_MARK_CREDENTIALS", "nowhere")
    done = qimg(
        "generate", "--generator", "shapes", "--untrained", "--backend", "reference", "--n", 1, "--out", "n.png"
    )
    assert done.code != 0
    assert "qimg marks ca init" in done.err
    assert qimg("inspect", "n.png").code == 0  # the picture and its record are there


def test_a_time_stamp_by_the_command_line(qimg: Any, picture: Any, tsa: tuple[str, bytes]) -> None:
    Path("p.png").write_bytes(picture("PNG", 96))
    Path("tsa.pem").write_bytes(tsa[1])
    done = qimg("mark", "p.png", "--system", "s", "--tsa", tsa[0], "--sidecar", "never", "--out", "m.png", "--json")
    assert done.code == 0, done.err
    assert done.json["marked"][0]["record"]["provider"] == "Example Org"  # that of the certificate
    before = _layer(qimg("inspect", "m.png", "--json").json, "content credentials")
    assert (before["facts"]["time_trusted"], bool(before["facts"]["time"])) == (False, True)
    assert "before" not in before["proves"]
    assert qimg("marks", "trust", "tsa.pem").code == 0
    after = _layer(qimg("inspect", "m.png", "--json").json, "content credentials")
    assert after["facts"]["time_trusted"]
    assert after["facts"]["time"] in after["proves"]
    assert qimg("mark", "p.png", "--system", "s", "--tsa", "http://127.0.0.1:9", "--out", "n.png").code == 1
    assert not Path("n.png").exists()
    assert qimg("marks", "trust", "p.png").code == 2  # no certificate


def test_the_block_that_china_asks_for(qimg: Any, picture: Any) -> None:
    for kind in ("png", "jpeg"):
        Path(f"p.{kind}").write_bytes(picture(kind.upper(), 96))
        done = qimg("mark", f"p.{kind}", "--system", "s", "--aigc-producer", "EX-1", "--out", f"m.{kind}", "--json")
        assert done.code == 0, done.err
        seen = qimg("inspect", f"m.{kind}", "--json")
        assert seen.code == 0
        block = _layer(seen.json, "AIGC metadata")["facts"]
        assert block["ContentProducer"] == "EX-1"
        assert block["ProduceID"] == done.json["marked"][0]["unique_id"]
        signed = _layer(seen.json, "content credentials")["facts"]["record"]["aigc"]
        assert signed["ProduceID"] == block["ProduceID"]
    Path("p.webp").write_bytes(picture("WEBP", 96))
    assert qimg("mark", "p.webp", "--system", "s", "--aigc-producer", "EX-1").code == 2


def test_what_the_ledger_knows_cannot_be_contradicted(qimg: Any, made: Any) -> None:
    for more in (("--quantum", "hardware"), ("--system", "another")):
        refused = qimg("mark", "four.png", *more, "--out", "x.png")
        assert refused.code == 2
        assert "the ledger records" in refused.err


def test_attribution(qimg: Any, made: Any) -> None:
    done = qimg("mark", "four.png", *BY, "--attribution", "--licence", "CC-BY-4.0", "--layers", "fingerprint", "--json")
    line = done.json["marked"][0]["attribution"]
    for word in ("AI-generated", "shapes", "Example Org", "without a quantum circuit", "CC-BY-4.0", made["run"]):
        assert word in line


def test_a_detector_that_breaks_is_one_line(qimg: Any, picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import qimg_marks.detect

    def broken(*_: object) -> None:
        raise RuntimeError("broken detector")

    monkeypatch.setattr(qimg_marks.detect, "_credentials", broken)
    Path("p.jpg").write_bytes(picture("JPEG", 64))
    seen = qimg("inspect", "p.jpg", "--json")
    assert seen.code == 3
    assert "broken detector" in seen.json["evidence"][0]["found"]


def test_the_sidecar_of_a_picture_is_not_overwritten(qimg: Any, picture: Any) -> None:
    out = io.BytesIO()
    Image.new("L", (24, 24), 7).save(out, "PNG")
    Path("s.png").write_bytes(out.getvalue())
    assert qimg("mark", "s.png", *BY, "--system", "s", "--in-place").code == 0
    kept = Path("s.c2pa").read_bytes()
    assert qimg("inspect", "s.png").code == 0
    again = qimg("mark", "s.png", *BY, "--system", "s", "--in-place")
    assert again.code == 2
    assert "s.c2pa" in again.err
    assert Path("s.c2pa").read_bytes() == kept


def test_ca_with_a_password(qimg: Any, monkeypatch: pytest.MonkeyPatch, picture: Any) -> None:
    refused = qimg("marks", "ca", "init", "--provider", "Example Org", "--encrypt", "--marks", "m2")
    assert refused.code != 0
    assert "QIMG_MARKS_PASSWORD" in refused.err
    monkeypatch.setenv("QIMG_MARKS_PASSWORD", "correct horse")
    assert qimg("marks", "ca", "init", "--provider", "Example Org", "--encrypt", "--marks", "m2").code == 0
    Path("p.png").write_bytes(picture("PNG", 64))
    mark = ("mark", "p.png", *BY, "--system", "s", "--marks", "m2", "--json")
    done = qimg(*mark)
    assert done.code == 0
    assert "correct horse" not in done.out + done.err
    monkeypatch.delenv("QIMG_MARKS_PASSWORD")
    assert qimg(*mark, "--out", "q.png").code != 0
    assert not Path("q.png").exists()


def test_credentials_are_not_recorded_before_a_file_carries_them(qimg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`images.made` is written before the file is: it may name marks in the pixels only."""
    monkeypatch.setenv("QIMG_MARK_LABEL", "AI")
    monkeypatch.setenv("QIMG_MARK_CREDENTIALS", "marks")
    made = ("--generator", "shapes", "--untrained", "--backend", "reference", "--n", 1, "--out", "one.png")
    assert qimg("generate", *made).code == 0
    with open_ledger("runs", create=False, read_only=True) as ledger:
        (images,) = ledger.entries(kind="images.made")
        (marked,) = ledger.entries(kind="images.marked")
    assert images.facts["marks"] == ["label"]
    assert "c2pa" in [layer["layer"] for layer in marked.facts["layers"]]
