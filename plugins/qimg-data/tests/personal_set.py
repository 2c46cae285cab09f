"""A labelled synthetic set of metadata: texts with personal fields, and texts that only look like it.

Made by rules that know nothing of `qimg_data.personal`: IBANs are computed here by the published procedure (check
digits 98 - (number mod 97)), telephone numbers follow national formats, and the texts around them are drawn from lists.
The numbers are of nobody: telephone numbers from ranges reserved for fiction where there are any, domains of RFC 2606.
"""

import random

BBAN = {
    "DE": "n18",
    "FR": "n10a11n2",
    "NL": "a4n10",
    "GB": "a4n14",
    "ES": "n20",
    "CH": "n5a12",
    "NO": "n11",
    "IT": "a1n10a12",
}
FIRST = ["ann", "bob", "chloé", "dmitri", "eve", "femi", "gül", "hana", "ivo", "jürgen"]
LAST = ["smith", "o'neil", "van-dijk", "rossi", "müller", "ito", "garcia"]
HOSTS = ["example.org", "mail.example.com", "example.co.uk", "sub.dept.example.net"]
WORDS = ("camera", "saw", "bright", "street", "noon", "near", "old", "market", "three", "trees", "one", "red", "car")


def iban(rng):
    country = rng.choice(sorted(BBAN))
    text, kind = "", ""
    for part in BBAN[country].replace("n", " n").replace("a", " a").split():
        kind, count = part[0], int(part[1:])
        text += "".join(rng.choice("0123456789" if kind == "n" else "ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(count))
    number = "".join(str(ord(c) - 55) if c.isalpha() else c for c in text + country + "00")
    whole = f"{country}{98 - int(number) % 97:02}{text}"
    style = rng.randrange(3)
    return [whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4)), whole.lower()][style]


def phone(rng):
    a, b = rng.randrange(100, 1000), rng.randrange(1000, 10000)
    return rng.choice(
        [
            f"+1 202-555-01{rng.randrange(100):02}",
            f"+44 20 7946 0{rng.randrange(1000):03}",
            f"+49 (0)30 23125 {a}",
            f"0049 30 23125 {a}",
            f"030/23125{a}",
            f"(020) 7946 0{rng.randrange(1000):03}",
            f"+33 1 99 00 {a % 90 + 10} {b % 90 + 10}",
            f"+491771{rng.randrange(10**6, 10**7)}",
            f"07700 900{rng.randrange(1000):03}",
            f"555-01{rng.randrange(100):02}",
        ]
    )


def email(rng):
    first, last = rng.choice(FIRST), rng.choice(LAST)
    local = rng.choice([f"{first}.{last}", f"{first}{rng.randrange(99)}", f"{first}+camera", f"{first}_{last}"])
    return f"{local}@{rng.choice(HOSTS)}"


def harmless(rng):
    a, b = rng.randrange(10**4), rng.randrange(10**6)
    wrong = iban(rng).replace(" ", "").upper()
    wrong = wrong[:2] + f"{(int(wrong[2:4]) + 1) % 100:02}" + wrong[4:]  # a wrong check digit
    return rng.choice(
        [
            f"IMG_{b:08}.png",
            f"2026-{a % 12 + 1:02}-{a % 28 + 1:02}",
            f"{a % 28 + 1:02}.{a % 12 + 1:02}.2026",
            f"1/{a} s at f/2.8",
            f"{a}x{b % 4000}",
            f"52.{b:06}, 13.{a:04}",
            f"ISO {a}",
            f"sha256:{rng.getrandbits(128):032x}",
            f"v{a}.{b % 100}.{a % 10}",
            f"@{rng.choice(FIRST)}",
            f"{a} kB @ {a} dpi",
            wrong,
            f"{b / 1000:.3f} ms",
            f"DE{b:06}",
            f"order {b}",
            f"0.{b:07}",
            f"2026-01-02T10:{a % 60:02}:30",
            f"{rng.randrange(10**12, 10**13)}",
            f"ISBN 978-3-16-{b:06}-0",
            f"batch 0{b:06}",
        ]
    )


def labelled(n, seed):
    """``(text, [(start, stop, kind), ...])``, n of them; half have personal fields."""
    rng = random.Random(seed)
    makers = {"email": email, "phone": phone, "iban": iban}
    for _ in range(n):
        text, fields = "", []
        for _ in range(rng.randrange(1, 4)):
            text += " ".join(rng.sample(WORDS, rng.randrange(1, 4))) + rng.choice([" ", ": ", ", "])
            if rng.random() < 0.4:
                kind = rng.choice(sorted(makers))
                value = makers[kind](rng)
                fields.append((len(text), len(text) + len(value), kind))
            else:
                value = harmless(rng)
            text += value + rng.choice(["; ", ", ", " "])
        yield text, fields
