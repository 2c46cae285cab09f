"""The Croissant export: what it says by itself, and what mlcroissant says of it."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from attrs import evolve

from qimg_core.errors import ConfigurationError
from qimg_data.croissant import to_croissant
from qimg_data.manifest import from_fields, from_json

FIELDS = {
    "name": "corners",
    "version": "1.0.0",
    "description": "pictures of corners",
    "created": "2026-02-03",
    "files": {"0/a b.png": {"bytes": 70, "sha256": "0" * 64}, "data.npz": {"bytes": 7, "sha256": "a" * 64}},
    "splits": {"train": {"digest": "sha256:" + "1" * 64, "n": 2, "shape": [2, 2, 1]}},
    "source": "a camera",
    "source_url": "https://example.org/corners",
    "licence": "CC-BY-4.0",
    "consent": "given",
    "consent_obtained": "2026-01-02",
    "consent_evidence": "form 7",
    "purposes": ["research"],
    "annotation": "two people, then a third",
    "annotators": 3,
    "agreement": "krippendorff 0.81",
    "sensitivity": "personal",
    "inputs": "raw_personal",
    "subjects": {"ab" * 16: ["0/a b.png"]},
    "texts": {"biases": "few people", "limitations": "small", "collection": "by hand", "use_cases": "tests"},
}


def run(code, path):
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_document_says_what_the_manifest_says_and_no_more():
    made = from_fields(FIELDS)
    found = to_croissant(made)
    assert found["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert [f["sha256"] for f in found["distribution"]] == ["0" * 64, "a" * 64]
    assert found["rai:dataBiases"] == "few people" and found["rai:dataCollection"] == "by hand"
    assert "rai:dataSocialImpact" not in found
    (personal,) = found["rai:personalSensitiveInformation"]
    assert "1 data subjects" in personal and "consent: given" in personal
    text = json.dumps(to_croissant(made, names=False))
    assert "ab" * 16 not in json.dumps(found) and "a b.png" not in text


def test_mlcroissant_accepts_it_and_reads_the_responsible_ai_fields(tmp_path):
    if find_spec("mlcroissant") is None:
        pytest.skip("mlcroissant is not installed")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(to_croissant(from_fields(FIELDS))))
    code = (  # in a process of its own: its imports warn, and take their time
        "import json, sys, mlcroissant as m; d = m.Dataset(jsonld=sys.argv[1]); i = d.metadata.issues; "
        "print(json.dumps([sorted(i.errors), sorted(i.warnings), d.metadata.to_json()], default=str))"
    )
    done = run(code, path)
    assert done.returncode == 0, done.stderr[-2000:]
    errors, warnings, again = json.loads(done.stdout.splitlines()[-1])
    assert errors == [] and warnings == []
    assert again["rai:dataBiases"] in ("few people", ["few people"]) and again["name"] == "corners"


def test_mlcroissant_refuses_the_same_document_with_a_file_that_has_no_address(tmp_path):
    if find_spec("mlcroissant") is None:
        pytest.skip("mlcroissant is not installed")
    document = to_croissant(from_fields(FIELDS))
    del document["distribution"][0]["contentUrl"]
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(document))
    code = "import sys, mlcroissant as m; m.Dataset(jsonld=sys.argv[1])"
    done = run(code, path)
    assert done.returncode != 0 and "contentUrl" in done.stderr


def test_a_manifest_reads_back_byte_by_byte_and_any_change_has_another_digest():
    made = from_fields(FIELDS)
    assert from_json(made.canonical + b"\n") == from_json(made.canonical)
    assert from_json(made.canonical).canonical == made.canonical
    assert evolve(made, licence="MIT").digest != made.digest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("licence", "CC BY"),
        ("consent", "Given"),
        ("purposes", ["researсh"]),
        ("created", "2026-2-3"),
        ("annotators", True),
        ("files", {"../x": {"bytes": 1, "sha256": "0" * 64}}),
        ("files", {"/x": {"bytes": 1, "sha256": "0" * 64}}),
        ("files", {"x": {"bytes": 1, "sha256": "0" * 63}}),
        ("files", {"x": {"bytes": 1.0, "sha256": "0" * 64}}),
        ("splits", {"valid": {"digest": "sha256:" + "1" * 64, "n": 2, "shape": [2, 2, 1]}}),
        ("texts", {"bias": "x"}),
        ("subjects", {"ann": ["data.npz"]}),
        ("subjects", {"ab" * 16: ["no.png"]}),
        ("name", " "),
        ("derived_from", ["x"]),
        ("source_state", "Clean"),
        ("inputs", "raw"),
        ("sensitivity", ""),
        ("purposes", "research"),
        ("files", []),
        ("unknown", "x"),
        ("retention_until", "never"),
        ("description", None),
        ("purposes", [1]),
    ],
)
def test_a_field_that_is_not_right_is_refused_by_its_name(name, value):
    with pytest.raises(ConfigurationError, match=name.rstrip("s").replace("source_", "").replace("text", "text")):
        from_fields({**FIELDS, name: value})


@pytest.mark.parametrize(
    "name", ["name", "source", "licence", "consent", "purposes", "sensitivity", "inputs", "created"]
)
def test_a_field_that_is_missing_is_named(name):
    with pytest.raises(ConfigurationError, match=name):
        from_fields({k: v for k, v in FIELDS.items() if k != name})
