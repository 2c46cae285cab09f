"""An independent decision for the shipped profiles, in plain Python over plain words; imports nothing of qimg.

Written from the checklist in docs/explanation/policy-threats.md, not from the Cedar text: rights-impacting use gets
full controls, internal and reversible use light ones, a third party with sensitive data strict ones, local simulation
none but those that protect people.
"""

HARMLESS = ("public", "synthetic")
STATED = ("purpose", "sensitivity", "consent", "export_class", "risk_tier", "data_region")


def refused(profile, d):
    """Ids of what refuses a valid, placed input; empty: allowed. ``d`` is a plain dict."""
    local = d["zone"] in ("process", "machine")
    ok = set(d["approvals"])
    cost, data = d["cost_micro"], d["sensitivity"]
    no = set()
    if d["consent"] == "withdrawn":
        no.add("withdrawn")
    if profile == "solo":
        if not local and not (d["provider_approved"] and data in (*HARMLESS, "internal")):
            no.add("reach")
        if cost is None:
            no.add("price")
        return no
    strict = profile == "regulated"
    if not local:
        travels = data in HARMLESS
        if data == "internal":
            travels = not strict or "data" in ok
        if data == "confidential":
            travels = not strict and "data" in ok
        if not (travels and d["provider_approved"]):
            no.add("reach")
        if not (d["export_class"] == "not_controlled" or (d["export_class"] == "dual_use" and "export" in ok)):
            no.add("export")
    stays = d["region"] == "local" or (d["region"] == d["data_region"] and d["region"] != "unstated")
    if not stays and data not in HARMLESS and "residency" not in d["waived"]:
        no.add("residency")
    if data in ("personal", "special") and d["consent"] != "given":
        no.add("consent")
    most = 10_000_000 if strict else 50_000_000
    if cost is None or (cost > most and "cost" not in ok):
        no.add("price")
    if d["manifest"] == "failed":
        no.add("tainted")
    if d["risk_tier"] in (("high", "medium") if strict else ("high",)) and "ethics" not in ok:
        no.add("high-risk")
    if strict:
        train = d["activity"] == "train"
        if d["purpose"] == "unstated" and (train or d["zone"] != "process"):
            no.add("purpose")
        if train and data not in HARMLESS and (data == "unstated" or d["manifest"] != "verified"):
            no.add("data-known")
        if d["recorded"] != "full" and d["zone"] != "process":
            no.add("recorded")
    return no


WORDS = {
    "activity": "execute train generate replay",
    "purpose": "unstated research education prototype evaluation publication personalisation production",
    "sensitivity": "unstated public synthetic internal confidential personal special",
    "consent": "unstated not_needed given withdrawn",
    "export_class": "unstated not_controlled dual_use controlled",
    "risk_tier": "unstated low medium high",
    "data_region": "unstated local eu uk ch us ca jp au in cn other",
    "device": "unstated simulator local_fake remote_simulator qpu surrogate",
    "zone": "unstated process machine organisation outside",
    "region": "unstated local eu uk ch us ca jp au in cn other",
    "currency": "unstated USD EUR GBP credits qpu_seconds",
    "recorded": "full light",
    "manifest": "unstated not_needed unsigned verified failed",
}
WORDS = {name: words.split() for name, words in WORDS.items()}
APPROVALS = ["cost", "data", "ethics", "export", "production", "security"]
PROVIDERS = {"here", "unlisted", "ibm", "ionq", "aws", "local-fake"}
NUMBERS = ("shots", "jobs", "rows")
DIGESTS = ("dataset", "weights")
FIELDS = {*WORDS, *NUMBERS, *DIGESTS, "backend", "provider", "provider_approved", "cost_micro", "approvals", "waived"}
HEX = set("0123456789abcdef")


def number(v):
    return type(v) is int and 0 <= v <= 10**15


def digest(v):
    return type(v) is str and (v == "unstated" or (v[:7] == "sha256:" and len(v) == 71 and set(v[7:]) <= HEX))


def listed(v, words):
    return type(v) is list and all(type(w) is str and w in words for w in v) and v == sorted(set(v))


def valid(d, waivable=()):
    """Is this a document that a policy may decide at all?"""
    if type(d) is not dict or set(d) != FIELDS:
        return False
    if any(type(d[k]) is not str or d[k] not in words for k, words in WORDS.items()):
        return False
    good = all(number(d[k]) for k in NUMBERS) and all(digest(d[k]) for k in DIGESTS)
    good = good and (d["cost_micro"] is None or number(d["cost_micro"])) and type(d["provider_approved"]) is bool
    good = good and type(d["provider"]) is str and d["provider"] in PROVIDERS
    good = good and type(d["backend"]) is str and 0 < len(d["backend"]) <= 100 and d["backend"].isascii()
    good = good and d["backend"][:1].isalnum() and all(c.isalnum() or c in "_.:/@+-" for c in d["backend"])
    if not good or not listed(d["approvals"], APPROVALS) or not listed(d["waived"], waivable):
        return False
    here = d["zone"] == "process"
    if here != (d["provider"] == "here") or (d["provider"] == "unlisted" and d["provider_approved"]):
        return False
    return not here or (d["region"] == "local" and d["device"] in ("simulator", "surrogate"))


def placed(d):
    """What the shipped device table adds to a device whose provider nobody has stated."""
    if type(d) is not dict or d.get("provider") != "unstated" or type(d.get("backend")) is not str:
        return d
    head = d["backend"].split(":")[0]
    name = {"ibm": "ibm", "ionq": "ionq", "braket": "aws"}.get(head)
    if d["backend"] == "braket:local":
        row = {"provider": "local-fake", "provider_approved": True, "device": "local_fake"}
        zone, region = "machine", "local"
    elif name:
        row, zone, region = {"provider": name, "provider_approved": True}, "outside", "unstated"
    else:
        return {**d, "provider": "unlisted"}
    if d.get("zone") == "unstated":
        row["zone"] = zone
    if d.get("region") == "unstated":
        row["region"] = region
    return {**d, **row}
