"""Every row of the requirements: what it names is there, and what shows it can be missing."""

import re
import shlex
from pathlib import Path

import click
import pytest

from qimg_core import Registry
from qimg_core.cli.app import App, cli
from qimg_core.hooks import hookimpl
from qimg_core.ledger.memory import MemoryLedger
from qimg_ops.assessing import assess as assess_checklist
from qimg_ops.assessing import checklists
from qimg_ops.installed import Installation
from qimg_ops.matching import newest, parse
from qimg_ops.requirement import Requirement, Section, requirement, sections
from qimg_ops.shown import CHECKS
from qimg_ops.standing import State, check_names, counted, standings

pytestmark = pytest.mark.filterwarnings("ignore:'protected_args':DeprecationWarning")
ROOT = Path(__file__).parents[3]
ROWS = [row for section in sections() for row in section.rows]
RECORDED = [row for row in ROWS if row.recorded]
INSTALLED = [row for row in ROWS if row.parts or row.modules or row.commands]
NOTHING = Registry(discover=False)


def number(row):
    return str(row.number)


def fitting(word, ledger):
    """Kind and facts of an entry that fits the first alternative of a word."""
    first = parse(word)[0]
    facts = {"verdict": "pass"} if first.kind.endswith(("checked", "compared", "judged")) else {}
    if first.path:
        value = first.value if first.how else ledger.put(b"something")
        facts |= {first.path[0]: {first.path[1]: value} if len(first.path) > 1 else value}
    return first.kind, facts


def bare(row):
    """The row without what the installation has to have, and without a check: only its entries."""
    return Requirement(number=row.number, title=row.title, section="Z", entries=row.entries, passing=row.passing,
                       when=row.when, lacks=row.lacks, do=row.do)  # fmt: skip


def standing(ledger, row, registry=NOTHING):
    (found,) = standings(ledger, registry, [Section(letter="Z", title="", rows=(row,))])
    return found


# -- the data ----------------------------------------------------------------------------------


def test_there_are_213_rows_each_once_in_the_order_of_their_numbers():
    assert [row.number for row in ROWS] == list(range(1, 214))
    assert [s.letter for s in sections()] == list("ABCDEFGHIJKLMNOPQRSTU")
    assert len({row.title for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=number)
def test_a_row_says_what_shows_it(row):
    ways = [row.recorded or bool(row.parts or row.modules or row.commands or row.silent), row.people, row.not_built]
    assert sum(map(bool, ways)) == 1
    assert row.check in {"", *check_names()}
    assert not row.passing or row.passing in row.entries
    assert bool(row.do) == row.recorded
    assert row.page or row.not_built or "page of documentation" in row.lacks
    for word in row.words:
        assert parse(word)


@pytest.mark.parametrize("row", [r for r in ROWS if r.page], ids=number)
def test_its_page_is_there(row):
    assert (ROOT / "docs" / f"{row.page}.md").is_file()


@pytest.fixture(scope="module")
def real():
    for name in ("anchors", "audit", "budget", "compare", "data", "marks", "metrics", "policy", "rollout", "stores"):
        pytest.importorskip(f"qimg_{name}")
    return Installation(Registry())


@pytest.mark.parametrize("row", INSTALLED, ids=number)
def test_what_it_needs_is_what_the_program_has(row, real):
    assert real.missing(row) == ""


def commands_of(text):
    for part in text.split(";"):
        yield [w for w in shlex.split(part) if not re.fullmatch(r"[A-Z_]+=\S+", w)]


@pytest.mark.parametrize("row", [r for r in ROWS if r.do], ids=number)
def test_the_command_that_helps_is_one_that_the_program_takes(row, real):
    for words in commands_of(row.do):
        assert words[0] == "qimg"
        command, context, rest = cli, cli.make_context("qimg", words[1:], obj=App(given=real.registry)), words[1:]
        while isinstance(command, click.Group):
            name, command, rest = command.resolve_command(context, [*context.protected_args, *context.args])
            context = command.make_context(name, rest, parent=context)


def test_a_row_that_names_what_is_not_there_would_be_noticed(real):
    for wrong in ({"commands": ["manifest sing"]}, {"commands": ["verify --nonsense"]}, {"parts": ["encoder:base"]},
                  {"modules": ["qimg_core.nothing"]}, {"commands": ["nothing"]}):  # fmt: skip
        assert real.missing(Requirement(number=0, title="", section="Z", **wrong)) != ""


def test_every_kind_that_a_row_names_is_written_by_the_program():
    """A kind that nobody writes is a row that nobody can meet."""
    files = [*(ROOT / "qimg_core").rglob("*.py"), *(ROOT / "plugins").glob("qimg-*/src/**/*.py")]
    written = set()
    for text in (p.read_text() for p in files if "qimg_ops/data" not in str(p)):
        writes = re.search(r"\.(append|record|record_many|write)\(|Draft\(|\bbegin\(", text)
        lines = (
            text.splitlines() if writes else [line for line in text.splitlines() if re.match(r"[A-Z_]+\b.* = ", line)]
        )
        written |= set(re.findall(r'"([a-z]+\.[a-z_]+)"', "\n".join(lines)))
        written |= set(re.findall(r'\.record\("([a-z]+)"', text))
    kinds = {(w.kind, row.number) for row in ROWS for word in row.words for w in parse(word)}
    assert sorted(k for k in kinds if k[0] not in written) == []
    assert "weights.saved" in written
    assert "nothing.written" not in written


# -- over records ------------------------------------------------------------------------------


def test_an_empty_record_meets_nothing_that_a_record_has_to_show():
    with MemoryLedger() as ledger:
        found = standings(ledger, Registry(), sections())
    assert {s.state for s in found if s.row.recorded} == {State.NOT_USED}
    assert {s.by for s in found if s.state is State.MET} == {"installation"}
    assert {s.state for s in found if s.row.people} == {State.PEOPLE}
    assert {s.state for s in found if s.row.not_built} == {State.NOT_BUILT}


def test_without_plugins_nothing_of_a_plugin_is_met():
    with MemoryLedger() as ledger:
        found = {s.row.number: s for s in standings(ledger, NOTHING, sections())}
    for row in ROWS:
        plugged = row.parts or any(c.split()[0] in ("compare", "policy", "manifest", "gate") for c in row.commands)
        if plugged:
            assert found[row.number].state is State.NOT_MET, row.number
    assert "did you mean" not in found[15].why or found[15].state is State.NOT_MET


def test_a_plugin_that_is_told_of_entries_may_send_them():
    class Watcher:
        @hookimpl
        def qimg_entry_appended(self, entry):
            pass

    watched = Registry(discover=False)
    watched.register(Watcher(), "watcher")
    with MemoryLedger() as ledger:
        assert standing(ledger, requirement("95")).state is State.MET
        found = standing(ledger, requirement("95"), watched)
    assert found.state is State.NOT_MET
    assert "watcher" in found.why


@pytest.mark.parametrize("row", [r for r in RECORDED if r.entries], ids=number)
def test_its_entries_show_it_and_without_one_of_them_they_do_not(row):
    row, good = bare(row), State.PARTLY if row.lacks else State.MET
    with MemoryLedger() as ledger:
        for word in row.entries:
            kind, facts = fitting(word, ledger)
            ledger.append(kind, facts=facts)
        found = standing(ledger, row)
        assert found.state is good
        assert found.entries
    for left_out in row.entries:
        with MemoryLedger() as ledger:
            ledger.append("other.kind", facts={})
            for kind, facts in (fitting(word, ledger) for word in row.entries if word != left_out):
                if not any(w.kind == kind for w in parse(left_out)):
                    ledger.append(kind, facts=facts)
            assert standing(ledger, row).state not in (State.MET, State.PARTLY)


@pytest.mark.parametrize("row", [r for r in RECORDED if r.entries and r.when], ids=number)
def test_a_row_that_is_needed_and_missing_is_not_met(row):
    row = bare(row)
    with MemoryLedger() as ledger:
        kind, facts = fitting(row.when[0], ledger)
        if any(w.kind == kind for e in row.entries[:1] for w in parse(e)):
            facts = {}
        ledger.append(kind, facts=facts)
        found = standing(ledger, row)
        assert found.state is State.NOT_MET
        assert "asks for one" in found.why


def test_evidence_that_says_fail_is_none():
    row = bare(requirement("131"))
    with MemoryLedger() as ledger:
        ledger.append("drift.checked", facts={"verdict": "pass"})
        assert standing(ledger, row).state is State.PARTLY
        ledger.append("drift.checked", facts={"verdict": "fail"})
        assert standing(ledger, row).state is State.NOT_MET


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_no_check_holds_over_nothing(name):
    with MemoryLedger() as ledger:
        assert CHECKS[name](ledger).holds is None


def sent(ledger, run, *, verdict="", cost=None):
    bounds = {"max_cost": cost, "max_jobs": None, "max_shots": None}
    ledger.append("run.started", run=run, facts={"activity": "generate", "budget": bounds})
    if verdict:
        ledger.append("policy.decided", run=run, facts={"verdict": verdict})
    ledger.append("jobs.intended", run=run, facts={"jobs": [0]})


def test_a_run_that_sent_jobs_undecided_or_unbounded_is_found():
    with MemoryLedger() as ledger:
        sent(ledger, "20261121-000000-00000001", verdict="allow", cost="1")
        assert CHECKS["decided"](ledger).holds is True
        assert CHECKS["bounded"](ledger).holds is True
        sent(ledger, "20261121-000000-00000002", verdict="deny", cost="1")
        assert CHECKS["decided"](ledger).holds is False
        sent(ledger, "20261121-000000-00000003", verdict="allow")
        unbounded = CHECKS["bounded"](ledger)
        assert (unbounded.holds, unbounded.entries) == (False, (8,))
        ledger.append("budget.reserved", run="20261121-000000-00000003", facts={})
        assert CHECKS["bounded"](ledger).holds is True
        ledger.append("run.started", run="20261121-000000-00000004", facts={"activity": "generate"})
        ledger.append("jobs.intended", run="20261121-000000-00000004", facts={"jobs": [0]})
        assert CHECKS["bounded"](ledger).holds is False


def test_a_decision_after_the_jobs_were_sent_allowed_nothing():
    with MemoryLedger() as ledger:
        sent(ledger, "20261121-000000-00000001", cost="1")
        ledger.append("policy.decided", run="20261121-000000-00000001", facts={"verdict": "allow"})
        found = CHECKS["decided"](ledger)
        assert (found.holds, found.entries) == (False, (1,))


def test_what_comes_out_again_below_the_level_is_not_met():
    def compared(verdicts):
        with MemoryLedger() as ledger:
            for i, verdict in enumerate(verdicts):
                facts = {"verdict": verdict, "product": "images", "of": f"run-{i}", "entry": i}
                ledger.append("replay.compared", facts=facts)
            return CHECKS["reproducible"](ledger).holds

    assert compared(["pass"] * 19 + ["fail"]) is True
    assert compared(["pass"] * 18 + ["fail"]) is False
    assert compared(["inconclusive"]) is None


def test_words_fit_what_they_say():
    with MemoryLedger() as ledger:
        ledger.append(
            "a.b", facts={"x": {"y": "ibm:fez"}, "marks": ["label"], "layers": [{"layer": "c2pa"}], "none": []}
        )
        fits = [
            "a.b",
            "a.b[x.y]",
            "a.b[x.y^ibm]",
            "a.b[x.y=ibm:fez]",
            "c.d|a.b",
            "a.b[marks=label]",
            "a.b[layers.layer=c2pa]",
        ]
        fails = ["a.c", "a.b[x.z]", "a.b[x.y^ibn]", "a.b[x.y=ibm]", "a.b[none]", "a.b[marks=lab]", "a.b[x.y.z]"]
        found = newest(ledger, [*fits, *fails])
    assert set(found) == set(fits)
    for wrong in ("A.b", "a.b[", "a.b[x=]", "a.b||c.d", ""):
        with pytest.raises(ValueError):
            parse(wrong)


def test_checklists_are_rows_too():
    rows = {row.check.partition(":")[2] for row in ROWS if row.check.startswith("checklist:")}
    assert rows == set(checklists())


def test_counts_name_every_state():
    assert list(counted([])) == [s.value for s in State]


def test_checklists_over_an_empty_record_meet_nothing():
    with MemoryLedger() as ledger:
        for name in checklists():
            assert "pass" not in {m.verdict for m in assess_checklist(ledger, name)}
