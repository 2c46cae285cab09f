"""Keystreams: bits and signs that only a key gives (imports numpy; `cryptography` inside functions).

ChaCha20 with a 96-bit nonce and the block counter 0, the form of RFC 8439.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Bits = npt.NDArray[np.uint8]
    Signs = npt.NDArray[np.float64]

NONCE_RULE = "sha256('qimg.watermark.nonce/1\\n' run '\\n' seed '\\n' index)[:12]"
"""How `image_nonce` makes a nonce, for the record."""


def image_nonce(run: str, seed: int, index: int) -> bytes:
    """The 12 bytes of one image: fresh for every run, every draw of noise within it, and every image.

    Args:
        run: its id.
        seed: of the draw, as the record has it.
        index: number of the image in it.
    """
    text = f"qimg.watermark.nonce/1\n{run}\n{seed}\n{index}"
    return hashlib.sha256(text.encode()).digest()[:12]


def keystream(key: bytes, nonce: bytes, n: int) -> Bits:
    """The first n bits of the stream, most significant first: uint8 (n,) of 0 and 1.

    Args:
        key: 32 bytes.
        nonce: 12 bytes.
        n: how many.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

    cipher = Cipher(ChaCha20(key, bytes(4) + nonce), mode=None).encryptor()
    return np.unpackbits(np.frombuffer(cipher.update(bytes((n + 7) // 8)), np.uint8), count=n)


def signs_of(bits: Bits) -> Signs:
    """0 to -1, 1 to +1, float64."""
    return bits.astype(np.float64) * 2 - 1
