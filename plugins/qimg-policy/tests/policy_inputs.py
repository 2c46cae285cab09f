"""Generated inputs: valid ones, and those with fields missing, foreign, of another type, too large, or look-alike."""

import random
from pathlib import Path
from runpy import run_path

check = run_path(str(Path(__file__).parent / "policy_checklist.py"))

LOCAL = {
    **{name: words[0] for name, words in check["WORDS"].items()},
    "activity": "generate",
    "device": "simulator",
    "zone": "process",
    "region": "local",
    "recorded": "full",
    "shots": 0,
    "jobs": 1,
    "rows": 64,
    "dataset": "unstated",
    "weights": "unstated",
    "backend": "simulator",
    "provider": "here",
    "provider_approved": True,
    "cost_micro": 0,
    "approvals": [],
    "waived": [],
}
REMOTE = {
    **LOCAL,
    "backend": "ibm:ibm_fez",
    "provider": "unstated",
    "provider_approved": False,
    "device": "qpu",
    "shots": 1000,
    "zone": "unstated",
    "region": "unstated",
    "cost_micro": 1_000_000,
    "currency": "USD",
}
LOOKALIKES = {"a": "\u0430", "e": "\u0435", "o": "\u043e", "p": "\u0440", "c": "\u0441", "i": "\u0456", "s": "\u0455"}
ODD = [
    None,
    True,
    False,
    0,
    -1,
    1.0,
    0.5,
    float("nan"),
    float("inf"),
    2**53,
    2**63 - 1,
    2**63,
    10**15 + 1,
    10**40,
    "",
    " ",
]
ODD += [
    "\u0000",
    "unstated ",
    "UNSTATED",
    "null",
    "0",
    "true",
    [],
    {},
    [None],
    [["data"]],
    {"__entity": {"type": "Zone"}},
]
ODD += [
    b"public",
    (),
    ("data",),
    {"a": 1},
    object,
    "public\n",
    "public'; permit",
    '"',
    "\ud800",
    ["data", "data"],
    ["Data"],
]


def lookalike(rng, word):
    """Another text that a person reads as the same word."""
    how = rng.randrange(6)
    if how == 0:
        return word.upper() if word != word.upper() else word.lower()
    if how == 1:
        return word + rng.choice([" ", "\u200b", "\n", "\u00a0", "\ufeff"])
    if how == 2:
        return rng.choice([" ", "\u200b", "\t"]) + word
    if how == 3:
        return "".join(LOOKALIKES.get(c, c) for c in word) if set(word) & set(LOOKALIKES) else word + "\u0301"
    if how == 4:
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word)
    return word.capitalize() if word != word.capitalize() else word[:-1]


def inputs(n, seed):
    """``n`` documents; about a quarter are valid."""
    rng = random.Random(seed)
    for _ in range(n):
        document = dict(rng.choice([LOCAL, REMOTE]))
        for name in rng.sample(sorted(check["WORDS"]), rng.randrange(6)):
            document[name] = rng.choice(check["WORDS"][name])
        if rng.random() < 0.5:
            document["cost_micro"] = rng.choice([None, 0, 1, 9_999_999, 10_000_000, 10_000_001, 50_000_001, 10**15])
        if rng.random() < 0.5:
            document["approvals"] = sorted(rng.sample(check["APPROVALS"], rng.randrange(4)))
        if rng.random() < 0.2:
            document["backend"] = rng.choice(["ionq:forte", "braket:local", "elsewhere:x", "ibm", "braket:sv1"])
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            document = corrupted(rng, document)
        yield document
    yield from ({}, None, [], "allow", 1, True, {"allow": True}, LOCAL | {"allow": True}, [LOCAL])


def corrupted(rng, document):
    document, name = dict(document), rng.choice(sorted(check["FIELDS"]))
    how = rng.randrange(5)
    if how == 0:
        document.pop(name, None)
    elif how == 1:
        document[rng.choice(["allow", "decision", "Sensitivity", "sensitivity ", "", "\u200bzone", "approved"])] = (
            "public"
        )
    elif how == 2:
        document[name] = rng.choice(ODD)
    elif how == 3:
        word = rng.choice(check["WORDS"].get(name, ["here", "ibm", "sha256:" + "0" * 64]))
        document[name] = lookalike(rng, word)
    else:
        document[rng.choice(["shots", "jobs", "rows", "cost_micro"])] = rng.choice(
            [2**63, 10**15 + 1, -1, 1e3, "1", 2**53]
        )
    return document
