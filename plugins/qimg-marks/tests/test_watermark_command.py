"""`qimg watermark` and the marks of `qimg generate`, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qimg_core.cli import main
from qimg_core.ledger.opening import open_ledger
from qimg_marks.watermark import WatermarkKey, mark_pixels

SHAPES = ("generate", "--generator", "shapes", "--untrained", "--backend", "reference", "--seed", 5, "--n", 4)


@pytest.fixture
def key(qimg: Any, monkeypatch: pytest.MonkeyPatch) -> WatermarkKey:
    for name in ("QIMG_PIXEL_MARK", "QIMG_WATERMARK_PAYLOAD"):
        monkeypatch.delenv(name, raising=False)
    done = qimg("watermark", "key", "new", "w.key", "--json")
    assert done.code == 0, done.err
    monkeypatch.setenv("QIMG_WATERMARK_KEY", "w.key")
    found = WatermarkKey.load("w.key")
    assert done.json == {"file": "w.key", "key": found.id}
    return found


def test_keys_are_made_once_and_never_shown(qimg: Any, key: WatermarkKey) -> None:
    secret = Path("w.key").read_bytes()
    shown = qimg("watermark", "key", "show", "w.key")
    assert key.id in shown.out
    again = qimg("watermark", "key", "new", "w.key")
    assert again.code == 2
    assert "exists already" in again.err
    assert Path("w.key").read_bytes() == secret
    assert secret.hex() not in shown.out + again.err


def test_pixels_are_marked_at_generation_and_found_in_files(
    qimg: Any, key: WatermarkKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert qimg(*SHAPES, "--out", "plain.png").code == 0
    monkeypatch.setenv("QIMG_PIXEL_MARK", "watermark")
    assert qimg(*SHAPES, "--out", "marked.png", "--each", "each").code == 0
    done = qimg("watermark", "detect", "marked.png", "--json")
    assert done.code == 0, done.out
    (finding,) = done.json["findings"]
    assert (finding["verdict"], finding["method"], finding["n_images"]) == ("pass", "pixels", 4)
    assert float(finding["statistic"]) > float(finding["threshold"])
    plain = qimg("watermark", "detect", "plain.png", "--json")
    assert plain.code in (1, 3)
    assert plain.json["verdict"] in ("fail", "inconclusive")
    both = qimg("watermark", "detect", "each/00000.png", "each/00001.png", "--together", "--json")
    assert both.json["findings"][0]["n_images"] == 2
    with open_ledger("runs", create=False, read_only=True) as ledger:
        assert [e.facts["marks"] for e in ledger.entries(kind="images.made")] == [[], ["watermark"]]


def test_noise_too_small_and_a_missing_key_are_refused_before_anything_is_made(
    qimg: Any, key: WatermarkKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QIMG_NOISE_SOURCE", "watermark")
    done = qimg(*SHAPES, "--out", "no.png")
    assert done.code == 2
    assert "cannot carry a watermark" in done.err
    assert not Path("no.png").exists()
    monkeypatch.setenv("QIMG_WATERMARK_KEY", "lost.key")
    monkeypatch.delenv("QIMG_NOISE_SOURCE")
    monkeypatch.setenv("QIMG_PIXEL_MARK", "watermark")
    done = qimg(*SHAPES, "--out", "no.png")
    assert done.code == 2
    assert "qimg watermark key new lost.key" in done.err
    assert not Path("no.png").exists()


def test_foreign_files_resynchronise_and_bad_orders_are_refused(qimg: Any, key: WatermarkKey) -> None:
    rng = np.random.default_rng(0)
    grey = np.kron(rng.integers(40, 200, (16, 16)), np.ones((8, 8))).astype(np.uint8)[None, ..., None]
    marked = mark_pixels(grey, key)[0, ..., 0]
    Image.fromarray(marked).save("a.jpg", quality=90)
    Image.fromarray(marked[5:, :-4]).resize((128, 128)).save("cut.png")
    Image.fromarray(marked).convert("RGBA").save("clear.png")
    assert qimg("watermark", "detect", "a.jpg").code == 0
    assert qimg("watermark", "detect", "cut.png").code in (1, 3)
    found = qimg("watermark", "detect", "cut.png", "--resync", "--json")
    assert found.code == 0, found.out
    assert found.json["findings"][0]["tries"] > 1000
    for argv, words in (
        (("clear.png", "--method", "pixels"), "transparency"),
        (("a.jpg", "--rate", "2"), "false-positive rate"),
        (("a.jpg", "--method", "noise"), "no ledger"),
        (("a.jpg", "--search", "--run", "x"), "contradict"),
        (("a.jpg", "--key", "none.key"), "no watermark key"),
        (("missing.png",), "cannot read"),
    ):
        done = qimg("watermark", "detect", *argv)
        assert done.code == 2, (argv, done.err)
        assert words in done.err, done.err


def test_the_noise_of_the_shipped_model_with_and_without_metadata(
    qimg: Any, key: WatermarkKey, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("qimg_diffusion", reason="the shipped hybrid U-Net is in qimg-diffusion")
    monkeypatch.delenv("QIMG_MARK_LABEL", raising=False)

    def run(*argv: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = main([*argv, "--json"])  # every installed plugin
        out = capsys.readouterr()
        return int(code), json.loads(out.out) if out.out else out.err

    monkeypatch.setenv("QIMG_NOISE_SOURCE", "watermark")
    make = ("generate", "--generator", "hybrid-unet", "--n", "4", "--condition", "0,8", "--out", "four.png")
    code, made = run(*make, "--each", "each")
    assert code == 0, made
    monkeypatch.delenv("QIMG_NOISE_SOURCE")
    code, found = run("watermark", "detect", "four.png")
    assert code == 0, found
    assert (found["findings"][0]["method"], found["findings"][0]["n_images"]) == ("noise", 4)
    code, found = run("watermark", "detect", "each/00002.png")
    assert code == 0, found
    Image.open("each/00002.png").save("stripped.png")
    code, found = run("watermark", "detect", "stripped.png")
    assert code in (1, 3)
    assert "--search" in found["notes"][0]
    code, found = run("watermark", "detect", "stripped.png", "--search")
    assert code == 0, found
    assert found["findings"][0]["tries"] == 4
    assert "image 2 of run" in found["findings"][0]["where"]
    for i in range(4):
        Image.open(f"each/{i:05d}.png").save(f"j{i}.jpg", quality=75)
    files = [f"j{i}.jpg" for i in range(4)]
    code, found = run("watermark", "detect", *files, "--together", "--run", made["run"])
    assert code == 0, found
    other = WatermarkKey.new("other.key")
    code, found = run("watermark", "detect", "four.png", "--key", "other.key", "--method", "noise")
    assert code == 2
    assert other.id in found["error"]["message"]
    with open_ledger("runs", create=False, read_only=True) as ledger:
        (noise,) = ledger.entries(kind="noise.supplied")
        (images,) = ledger.entries(kind="images.made")
        assert noise.facts["more"]["key"] == key.id
        assert images.facts["noise_source"]["source"] == "watermark"
        text = "".join(json.dumps(dict(e.facts)) for e in ledger.entries())
        assert Path("w.key").read_bytes().hex() not in text
        assert "w.key" not in text
