"""Seeds by name (floor 1; imports nothing).

One root seed; every use derives its own by naming its purpose, so the order of calls does not
matter and two purposes never share a stream.
"""

from __future__ import annotations

import hashlib


def derive_seed(root: int, *names: str | int) -> int:
    """A 63-bit seed for a named purpose: the same on every machine, independent of call order."""
    text = "/".join([str(int(root)), *(f"{type(n).__name__[0]}{n}" for n in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
