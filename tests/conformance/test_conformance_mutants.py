"""Each faulty device or generator is caught by the case that is there for it; without the fault it passes that case."""

import re
from pathlib import Path

import pytest

from qimg_core.capabilities import Idempotency
from qimg_core.testing import conformance
from qimg_core.testing.conformance import Options
from qimg_core.testing.conformance.loopback_driver import provider
from qimg_core.testing.conformance.part import arms
from qimg_core.testing.mutants import MUTANTS, SOUND, SoundDevice, generators
from qimg_core.testing.mutants.matrix import matrix, table
from qimg_core.verdict import Verdict

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"
WANTED = """bits reversed; inverse permutation; control and target; angles negated; rxx with half; turns; t and tdg;
phase gate dropped; drawn again; invented counts; failure is swallowed; shots capped; default of shots; seed ignored;
rows of a batch reversed; left out; sent twice; another process; sign of Z; order inside windows; noise ignored;
key in an error"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name.replace(" ", "-"))
def test_a_fault_is_caught(mutant):
    report = mutant.examine(cases=(mutant.caught_by,))
    assert report.failed == (mutant.caught_by,), report.lines()


def test_every_fault_that_adapters_have_had_is_among_them():
    names = [m.name for m in MUTANTS]
    for words in re.split(r";\s+", WANTED):
        assert any(re.sub(r"\s+", " ", words) in n for n in names), words
    assert len(MUTANTS) >= 16
    assert len(set(names)) == len(names)


def test_the_same_devices_without_a_fault_pass_those_cases():
    cases = {m.caught_by for m in MUTANTS}
    local = conformance.backend(SoundDevice, Options(quick=True), cases=cases)
    remote = conformance.backend(None, Options(quick=True, server=provider(idempotency=Idempotency.TAG)), cases=cases)
    for report in (local, remote):
        assert report.failed == ()
        assert report.verdict is Verdict.PASS


def rows_of_the_page(part="Faulty devices"):
    section = PAGE.read_text().partition(f"## {part}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (.+?) \| ([CG]\d\S*|none) \| (.+?) \|$", section, re.MULTILINE)


def test_the_page_has_every_mutant_with_the_case_that_catches_it():
    rows = rows_of_the_page()
    shown = {name: (case, fails.split(", ")) for name, case, fails in rows}
    assert list(shown) == [m.name for m in (*SOUND, *MUTANTS)]
    for mutant in MUTANTS:
        case, fails = shown[mutant.name]
        assert case == mutant.caught_by
        assert case in fails
    assert all(shown[m.name] == ("none", ["none"]) for m in SOUND)


@pytest.mark.parametrize("mutant", generators.MUTANTS, ids=lambda m: m.name.replace(" ", "-"))
def test_a_fault_of_a_generator_is_caught(mutant):
    assert mutant.examine(cases=(mutant.caught_by,)).failed == (mutant.caught_by,)


def test_the_generator_without_a_fault_passes():
    assert generators.SOUND.examine().verdict is Verdict.PASS


def test_every_case_of_the_arms_has_a_mutant():
    assert {c.id for c in arms.CASES} | {"G13", "G15"} == {m.caught_by for m in generators.MUTANTS}
    assert len({m.name for m in generators.MUTANTS}) == len(generators.MUTANTS)


def test_the_page_has_every_faulty_generator():
    shown = {name: (case, fails.split(", ")) for name, case, fails in rows_of_the_page("Faulty generators")}
    wanted = {m.name: m.caught_by or "none" for m in (generators.SOUND, *generators.MUTANTS)}
    assert {name: case for name, (case, _) in shown.items()} == wanted
    assert all(case in fails for case, fails in shown.values())


def test_a_row_of_the_page_is_what_the_kit_says_now():
    chosen = next(m for m in MUTANTS if m.name == "sign of Z")
    assert table(matrix([chosen])).splitlines()[-1] in PAGE.read_text()


@pytest.mark.slow
def test_the_whole_page_is_what_the_kit_says_now():
    assert table(matrix()) in PAGE.read_text()
    assert table(matrix((generators.SOUND, *generators.MUTANTS))) in PAGE.read_text()


def test_the_page_has_every_case_with_its_title():
    from qimg_core.testing.conformance.device import CASES
    from qimg_core.testing.conformance.part import ansatzes, encoders, generators, observables

    text = PAGE.read_text()
    for case in (*CASES, *encoders.CASES, *ansatzes.CASES, *observables.CASES, *generators.CASES):
        title = case.title.replace("|", "\\|")
        assert f"| {case.id} | {title} |" in text, case.id
