"""What the tests of ``qimg manifest`` and ``qimg train`` share: a description, and short names for commands."""

from qimg_core.ledger import SQLiteLedger

ABOUT = """
name = "corners"
source = "a camera"
source_url = "https://example.org/corners"
licence = "CC-BY-4.0"
consent = "given"
consent_obtained = "2026-01-02"
consent_evidence = "form 7"
purposes = ["research"]
retention_until = "2999-12-31"
sensitivity = "personal"
inputs = "raw_personal"
[texts]
biases = "few people"
"""
TRAIN = ("train", "--generator", "toy", "--steps", "2", "--data", "pictures", "--backend", "reference", "--seed", "3")


def made(qimg, *more):
    return qimg("manifest", "new", "pictures", "--about", "about.toml", *more, "--json")


def train(qimg, out="w.safetensors", code=0, purpose="research", *more):
    return qimg(*TRAIN, "--out", out, "--stated", f"purpose={purpose}", "--json", *more, code=code)


def entries(kind):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        return [e.facts for e in ledger.entries(kind=kind)]
