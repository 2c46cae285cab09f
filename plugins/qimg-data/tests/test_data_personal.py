"""Personal fields and tokens: published vectors, a labelled set, and what is left after a person is forgotten."""

import csv
import hashlib
import hmac
import json
import re
from itertools import pairwise
from pathlib import Path
from runpy import run_path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger import SQLiteLedger
from qimg_core.ledger.sealing import forget
from qimg_core.ledger.vault import SubjectKey, Vault
from qimg_data.personal import find, find_in_row, iban_holds
from qimg_data.tokens import TOKEN, keep_maps, reveal, token, tokenise

labelled = run_path(str(Path(__file__).with_name("personal_set.py")))["labelled"]

# Examples of the IBAN registry (SWIFT), as published.
PUBLISHED = [
    "GB29 NWBK 6016 1331 9268 19",
    "DE89 3704 0044 0532 0130 00",
    "FR14 2004 1010 0505 0001 3M02 606",
    "NO93 8601 1117 947",
    "CH93 0076 2011 6238 5295 7",
    "NL91 ABNA 0417 1643 00",
    "ES91 2100 0418 4502 0005 1332",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    "BE68 5390 0754 7034",
    "IT60 X054 2811 1010 0000 0123 456",
]


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_ibans_hold_and_every_single_change_of_a_digit_does_not(text):
    assert iban_holds(text) and iban_holds(text.replace(" ", "").lower())
    plain = text.replace(" ", "")
    for i, c in enumerate(plain):
        for other in "0123456789" if c.isdigit() else ():
            assert iban_holds(plain[:i] + other + plain[i + 1 :]) == (other == c)
    assert not iban_holds(plain[:-1]) and not iban_holds(plain + "0")
    (found,) = find(f"paid to {text} on Monday")
    assert (found.kind, found.text) == ("iban", text)


def scores(n, seed):
    hits = {k: [0, 0, 0] for k in ("email", "phone", "iban")}  # found, right, there
    for text, fields in labelled(n, seed):
        got = {(f.start, f.stop, f.kind) for f in find(text)}
        for kind, count in hits.items():
            mine, there = {f for f in got if f[2] == kind}, {f for f in fields if f[2] == kind}
            count[0] += len(mine)
            count[1] += len(mine & there)
            count[2] += len(there)
    return {k: (right / found, right / there, there) for k, (found, right, there) in hits.items()}


STATED = {"email": (1.0, 1.0), "phone": (0.99, 0.88), "iban": (1.0, 1.0)}


def test_precision_and_recall_on_the_labelled_set_are_as_the_documentation_states():
    found = scores(3000, seed=20)
    for kind, (precision, recall) in STATED.items():
        assert found[kind][0] >= precision and found[kind][1] >= recall and found[kind][2] > 500, (kind, found[kind])


def test_declared_columns_are_personal_as_a_whole():
    row = {"Name": "Ann Smith", "note": "write to ann@example.org", "size": "28x28", "empty": ""}
    found = find_in_row(row, ["name ", "EMPTY"])
    assert {k: [(f.kind, f.text) for f in v] for k, v in found.items()} == {
        "Name": [("declared", "Ann Smith")],
        "note": [("email", "ann@example.org")],
    }


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_taken_and_fields_do_not_overlap(text):
    found = find(text)
    assert all(text[f.start : f.stop] == f.text for f in found)
    assert all(a.stop <= b.start for a, b in pairwise(found))


def test_long_hostile_texts_end():
    for text in (
        "a." * 50_000 + "@",
        "0 " * 50_000,
        "DE00" + "A" * 100_000,
        "+" * 100_000,
        "1-" * 50_000,
        "a@" + "b." * 50_000,
    ):
        find(text)


def test_the_token_is_the_documented_hmac():
    key = SubjectKey(bytes(range(32)))
    inner = hmac.new(bytes(range(32)), b"qimg.token/1 key", hashlib.sha256).digest()
    raw = hmac.new(inner, b"email\0ann@example.org", hashlib.sha256).digest()[:16]
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    bits = "".join(f"{b:08b}" for b in raw) + "00"
    short = "".join(letters[int(bits[i : i + 5], 2)] for i in range(0, 130, 5))
    assert token(key, "email", "ann@example.org") == f"tok1_email_{short}"
    assert token(key, "email", "e\u0301") == token(key, "email", "\u00e9")  # one text in two normal forms
    with pytest.raises(ConfigurationError):
        token(key, "e_mail", "x")


ROWS = [
    {"id": "ann", "name": "Ann Smith", "note": "call +49 30 23125 111, ann@example.org"},
    {"id": "bob", "name": "Bob", "note": "bob@example.org, nothing else"},
    {"id": "ann", "name": "Ann Smith", "note": "ann@example.org again"},
]


def test_tokens_come_back_through_the_sealed_map_until_the_person_is_forgotten(tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        vault = Vault.of(ledger, create=True)
        done = tokenise(ROWS, vault, subject="id", declared=["name"])
        keep_maps(ledger, done, vault)
        assert done.counts == {"declared": 3, "phone": 1, "email": 3}
        text = json.dumps(done.rows)
        assert not re.search(r"Ann|Bob|example|23125", text)
        one, two, three = done.rows
        assert one["name"] == three["name"] != two["name"] and one["id"] == three["id"]
        back = TOKEN.sub(lambda m: reveal(ledger, m.group(), vault), text)
        assert json.loads(back)[0]["note"] == ROWS[0]["note"] and json.loads(back)[1]["name"] == "Bob"
        assert tokenise(ROWS, vault, subject="id", declared=["name"]).rows == done.rows
        forget(ledger, "ann", vault)
        for row, gone in ((one, True), (two, False)):
            if gone:
                with pytest.raises(ConfigurationError, match="can still be read"):
                    reveal(ledger, row["name"], vault)
            else:
                assert reveal(ledger, row["name"], vault) == "Bob"
        assert tokenise(ROWS[:1], vault, subject="id", declared=["name"]).rows[0]["name"] != one["name"]
        assert ledger.verify().ok
    stored = b"".join(p.read_bytes() for p in (tmp_path / "runs").rglob("*") if p.is_file())
    assert b"Bob" not in stored and b"bob@" not in stored


def test_a_record_without_a_subject_or_with_tokens_is_refused(tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        vault = Vault.of(ledger, create=True)
        with pytest.raises(DataError, match="id"):
            tokenise([{"id": " ", "a": "b"}], vault, subject="id")
        done = tokenise(ROWS[:1], vault, subject="id", declared=["name"])
        with pytest.raises(DataError, match="already"):
            tokenise(done.rows, vault, subject="id")


def test_the_commands_tokenise_a_table_and_reveal_a_token(tmp_path, monkeypatch, capsys):
    from qimg_core import Registry
    from qimg_core.cli import main
    from qimg_data import plugin

    monkeypatch.chdir(tmp_path)
    registry = Registry(discover=False)
    registry.register(plugin, "data")
    with (tmp_path / "people.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    argv = ["manifest", "tokenise", "people.csv", "--subject", "id", "--declare", "name", "--out", "out.csv"]
    assert main(argv, registry=registry) == 0
    first = next(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    capsys.readouterr()
    assert main(["manifest", "reveal", first["name"]], registry=registry) == 0
    assert capsys.readouterr().out.strip() == "Ann Smith"
    assert main(argv, registry=registry) == 2  # the output is there already
    assert main(["manifest", "opt-out", "ann"], registry=registry) == 0
    assert main(["manifest", "reveal", first["name"]], registry=registry) == 2
    assert "Ann" not in capsys.readouterr().out
