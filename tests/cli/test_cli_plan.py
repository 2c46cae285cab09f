"""`qimg plan`: lines, document, exit codes, and that it leaves nothing behind."""

from pathlib import Path


def test_a_plan_is_printed_and_nothing_written(qimg):
    done = qimg("plan", "--generator", "toy", "--untrained", "--backend", "reference", "--n", 6, "--shots", 50)
    assert done.code == 0, done.err
    assert "nothing was sent" in done.out
    assert "300 (50 a row and basis; 50 an image)" in done.out
    assert list(Path().iterdir()) == []


def test_its_document(qimg):
    words = ("--generator", "toy", "--untrained", "--backend", "reference", "--n", 6, "--shots", 50, "--json")
    plan = qimg("plan", *words).json
    assert (plan["total_shots"], plan["jobs"], plan["rows"]) == (300, 1, 6)
    assert plan["circuit"]["wires"] == 4
    assert plan["cost"]["high"] == "0"
    assert plan["device_kind"] == "simulator"


def test_a_classical_arm(qimg):
    done = qimg("plan", "--generator", "toy", "--untrained", "--backend", "reference", "--arm", "twin")
    assert done.code == 0
    assert "nothing runs on a device" in done.out


def test_what_the_budget_would_refuse_is_refused_now(qimg):
    words = ("--generator", "toy", "--untrained", "--backend", "reference", "--n", 6, "--shots", 50)
    done = qimg("plan", *words, "--max-shots", 299)
    assert done.code == 4
    assert "the budget allows 299" in done.err
    assert qimg("plan", *words, "--max-shots", 300).code == 0
