"""Opting out that is stopped half-way goes on, long lists are kept, and forgetting is of one person alone."""

import pytest

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger import SQLiteLedger, canonical
from qimg_core.ledger.sealing import FORGOTTEN, forgotten
from qimg_core.ledger.vault import Vault
from qimg_data.subjects import OPTED_OUT, Affected, _facts, data_of, opt_out, read_subjects, tags

DATA = "sha256:" + "1" * 64


@pytest.fixture
def ledger(tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as found:
        yield found


def checked(ledger, people):
    found = tags(Vault.of(ledger, create=True), {name: ["f"] for name in people})
    listed = ledger.put(canonical.dumps(sorted(found)))
    ledger.append("data.checked", facts={"data": DATA, "artefacts": {"subjects": listed}})
    return list(found)


def test_a_stop_between_key_and_entry_is_made_good_by_doing_it_again(ledger, monkeypatch):
    ann, _ = checked(ledger, ["ann", "bob"])
    real = type(ledger).append

    def stop(self, kind, **given):
        if kind == FORGOTTEN:
            raise KeyboardInterrupt
        return real(self, kind, **given)

    monkeypatch.setattr(type(ledger), "append", stop)
    with pytest.raises(KeyboardInterrupt):
        opt_out(ledger, "ann")
    monkeypatch.setattr(type(ledger), "append", real)
    assert not forgotten(ledger)
    entry, found = opt_out(ledger, "ann")
    assert set(forgotten(ledger)) == {ann} and found.data == (DATA,)
    assert [e.index for e in ledger.entries(kind=OPTED_OUT)] == [entry.index]
    with pytest.raises(ConfigurationError, match="no key"):
        opt_out(ledger, "ann")


def test_only_the_data_of_that_person_are_affected_and_only_their_key_goes(ledger):
    ann, bob = checked(ledger, ["ann", "bob"])
    assert data_of(ledger, ann) == data_of(ledger, bob) == (DATA,)
    assert data_of(ledger, "0" * 32) == ()
    opt_out(ledger, "ann")
    assert Vault.of(ledger).key("bob").tag.hex() == bob
    with pytest.raises(ConfigurationError):
        opt_out(ledger, "nobody")


def test_a_list_too_long_for_an_entry_becomes_an_artefact(ledger):
    many = Affected(data=(DATA,), weights=(DATA,) * 3000, images=tuple(range(9000)), runs=("r",))
    entry = ledger.append(OPTED_OUT, facts=_facts(ledger, "0" * 32, many))
    assert entry.facts["counts"] == {"data": 1, "weights": 3000, "images": 9000, "runs": 1}
    assert canonical.loads(ledger.get(entry.artefacts["affected"])) == many.to_json()


@pytest.mark.parametrize("text", ["", "file,subject\n", "file\na.png\n", "file,subject\na.png,\n", "a,b\n1,2\n"])
def test_a_table_of_subjects_that_is_not_right_is_refused(text, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(DataError):
        read_subjects(path)
