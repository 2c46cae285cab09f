"""`qimg inspect` and the detectors of plugins: what they find is shown, proved by its entry, and judged."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from qimg_core import png
from qimg_core.hooks import Evidence, hookimpl
from qimg_core.ledger.opening import open_ledger
from qimg_core.verdict import Verdict


class Detector:
    """Answers what it was told to; keeps what it was asked."""

    def __init__(self, *found):
        self.found, self.asked = found, []

    @hookimpl
    def qimg_detect(self, path, ledger, context):
        self.asked.append((Path(path), ledger, context))
        for item in self.found:
            if isinstance(item, Exception):
                raise item
        return self.found


def evidence(verdict, **more):
    return Evidence(layer="a mark", verdict=verdict, found="something", proves="a thing", proves_not="another", **more)


@pytest.fixture
def detector(registry):
    def install(*found):
        made = Detector(*found)
        registry.register(made, f"detector-{len(registry.hooks.get_plugins())}")
        return made

    return install


def test_a_picture_that_the_core_does_not_read_needs_a_plugin(qimg):
    Path("p.jpg").write_bytes(b"\xff\xd8\xff\xe0rest")
    done = qimg("inspect", "p.jpg")
    assert done.code == 2
    assert "qimg-marks" in done.err


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.PASS, 0), (Verdict.FAIL, 1), (Verdict.INCONCLUSIVE, 3), (Verdict.NOT_APPLICABLE, 3)],
)
def test_with_one_its_evidence_decides(qimg, detector, verdict, code):
    Path("p.jpg").write_bytes(b"\xff\xd8\xff\xe0rest")
    asked = detector(evidence(verdict)).asked
    done = qimg("inspect", "p.jpg")
    assert done.code == code
    for words in ("something", "a thing", "another"):
        assert words in done.out
    assert asked == [(Path("p.jpg"), None, {"names": {}})]


def test_what_fails_counts_before_what_holds(qimg, detector):
    Path("p.webp").write_bytes(b"RIFF\0\0\0\0WEBPrest")
    detector(evidence(Verdict.PASS), evidence(Verdict.FAIL))
    assert qimg("inspect", "p.webp").code == 1


def test_an_interlaced_png_is_for_plugins_too(qimg, detector):
    data = bytearray(png.encode(np.zeros((1, 1), np.uint8)))
    data[28] = 1  # the header's interlace method
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    Path("p.png").write_bytes(bytes(data))
    detector(evidence(Verdict.PASS))
    assert qimg("inspect", "p.png").code == 0


def test_broken_detectors_are_lines_and_hide_nobody(qimg, detector, made):
    detector(RuntimeError("no luck"))
    detector(evidence(Verdict.PASS))
    done = qimg("inspect", "six.png", "--json")
    assert done.code == 0, done.out
    found = done.json["evidence"]
    assert sorted(e["verdict"] for e in found) == ["inconclusive", "pass"]
    assert any("no luck" in e["found"] for e in found)


def test_a_failing_mark_fails_a_picture_of_the_ledger(qimg, detector, made):
    assert qimg("inspect", "six.png").code == 0
    detector(evidence(Verdict.FAIL))
    done = qimg("inspect", "six.png", "--json")
    assert done.code == 1
    assert done.json["match"]["verdict"] == "pass"


def changed(path):
    """The picture with one pixel changed, its text as it was."""
    pixels, text = png.read("six.png")
    pixels[0, 0] ^= 255
    png.write(path, pixels, text)


def test_a_recorded_change_of_pixels_is_that_of_its_entry(qimg, detector, made):
    changed("x.png")
    assert qimg("inspect", "x.png").code == 1
    detector(evidence(Verdict.PASS, entry=made["entry"], made_by=made["entry"]))
    done = qimg("inspect", "x.png", "--json")
    assert done.code == 0, done.out
    assert done.json["run"] == made["run"]
    assert "a mark changed the pixels" in done.json["match"]["reason"]


def test_evidence_of_an_entry_under_no_signed_head_does_not_hold(qimg, detector, made):
    with open_ledger("runs", create=False) as ledger:
        late = ledger.append("images.marked", facts={})  # and no checkpoint
    changed("x.png")
    detector(evidence(Verdict.PASS, entry=late.index, made_by=made["entry"]))
    done = qimg("inspect", "x.png", "--json")
    assert done.code == 1
    assert done.json["evidence"][0]["verdict"] == "inconclusive"
    assert "no signed head" in done.json["evidence"][0]["found"]


def test_evidence_of_another_entry_does_not_explain_a_change(qimg, detector, made):
    changed("x.png")
    detector(evidence(Verdict.PASS, made_by=made["entry"] - 1))
    assert qimg("inspect", "x.png").code == 1


def test_without_a_ledger_a_mark_that_holds_is_enough(qimg, detector, made):
    assert qimg("inspect", "six.png", "--ledger", "elsewhere").code == 3
    detector(evidence(Verdict.PASS))
    assert qimg("inspect", "six.png", "--ledger", "elsewhere").code == 0
    changed("x.png")
    assert qimg("inspect", "x.png", "--ledger", "elsewhere").code == 1  # what the file says of itself is wrong
