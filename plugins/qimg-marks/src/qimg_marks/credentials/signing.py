"""Signing a picture's content credentials, in the file or beside it (imports manifest, authority; c2pa in functions).

Nothing is sent anywhere but to the time-stamp authority that was named: thumbnails, remote manifests
and OCSP are off. What is signed is read back before it is given out.
"""

from __future__ import annotations

import io
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_core.errors import BackendUnavailable, ConfigurationError, DataError, PluginIncompatible
from qimg_marks.credentials.manifest import PARENT, manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_marks.credentials.authority import Authority
    from qimg_marks.credentials.manifest import SoftBinding, Training
    from qimg_marks.picture import Picture
    from qimg_marks.record import MarkingRecord

Sidecar = Literal["auto", "always", "never"]
GROWTH = 5
"""``auto``: credentials go beside the picture where they would make its file more than this many times as large."""


@frozen(kw_only=True)
class Signed:
    """A picture with credentials.

    Args:
        data: the file; unchanged where the credentials lie beside it.
        manifest: the manifest store (JUMBF).
        sidecar: whether ``manifest`` must be written to a file of its own.
    """

    data: bytes = field(repr=False)
    manifest: bytes = field(repr=False)
    sidecar: bool


def sdk() -> Any:
    """The module c2pa.

    Raises:
        PluginIncompatible: not installed.
    """
    from importlib import import_module

    try:
        return import_module("c2pa")
    except ImportError as error:
        raise PluginIncompatible(
            "content credentials need c2pa-python", hint="pip install 'qimg-marks[c2pa]'"
        ) from error


@lru_cache(maxsize=8)
def context(anchors: str = "") -> Any:
    """Settings of the SDK: no thumbnails, nothing fetched; the given roots (PEM) are trusted. Made once for each.

    The extended key usages that count are named, because the SDK's own list lacks C2PA claim signing.
    """
    from qimg_marks.credentials.authority import CLAIM_SIGNING, EMAIL_PROTECTION, TIME_STAMPING

    trust: dict[str, Any] = {"trust_config": f"{EMAIL_PROTECTION}\n{CLAIM_SIGNING}\n{TIME_STAMPING}\n"}
    if anchors:
        trust["user_anchors"] = anchors
    settings = {
        "version": 1,
        "trust": trust,
        "verify": {
            "verify_trust": True,
            "verify_after_sign": False,
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
        "builder": {"thumbnail": {"enabled": False}},
    }
    return sdk().Context.from_dict(settings)


def sign(
    picture: Picture,
    record: MarkingRecord,
    authority: Authority,
    *,
    bindings: Sequence[SoftBinding] = (),
    label: str = "",
    parent: Picture | None = None,
    sidecar: Sidecar = "auto",
    tsa: str = "",
    training: Training = "notAllowed",
) -> Signed:
    """Sign a picture as it is.

    Args:
        picture: with every mark in its pixels and text already.
        record: what is said about it.
        authority: certificate and key.
        bindings: soft bindings for the manifest.
        label: words of the visible label that it carries.
        parent: the picture that it was made from; its own credentials stay inside as an ingredient.
        sidecar: ``auto``: see `GROWTH`.
        tsa: address of an RFC 3161 time-stamp authority; empty: no time stamp.
        training: whether others may train on it.

    Raises:
        BackendUnavailable: the time-stamp authority gives no time stamp.
        DataError: the picture cannot be signed, or what was signed does not hold when it is read back.
        PluginIncompatible: c2pa-python is not installed.
    """
    definition = manifest(record, bindings=bindings, label=label, parent=parent is not None, training=training)
    outside = sidecar == "always"
    data, store = _signed(picture, definition, authority, parent, tsa, outside)
    if sidecar == "auto" and len(data) > GROWTH * len(picture.data):
        outside = True
        data, store = _signed(picture, definition, authority, parent, tsa, outside)
    if outside and data != picture.data:
        raise DataError("the picture changed although its credentials go beside it: nothing was written")
    _check(data, store, authority, outside=outside, stamped=bool(tsa))
    return Signed(data=data, manifest=store, sidecar=outside)


def _check(data: bytes, store: bytes, authority: Authority, *, outside: bool, stamped: bool) -> None:
    """Read back what was signed."""
    from qimg_marks.credentials.reading import read
    from qimg_marks.picture import read_picture

    found = read(read_picture(data, beside=store if outside else b""), anchors=authority.root)
    if found.state != "trusted":
        problems = ", ".join(found.problems) or found.state
        raise DataError(f"what was signed does not hold ({problems}): nothing was written")
    if stamped and not found.time:
        raise BackendUnavailable("the time stamp is not one: nothing was written", hint="name another --tsa")


def _signed(
    picture: Picture,
    definition: dict[str, Any],
    authority: Authority,
    parent: Picture | None,
    tsa: str,
    outside: bool,
) -> tuple[bytes, bytes]:
    c2pa, out = sdk(), io.BytesIO()
    try:
        with (
            c2pa.Signer.from_info(_info(authority, tsa)) as signer,
            c2pa.Builder(definition, context=context()) as builder,
        ):
            if parent is not None:
                about = json.dumps({"title": "input", "relationship": "parentOf", "label": PARENT})
                builder.add_ingredient(about, parent.mime, io.BytesIO(parent.data))
            if outside:
                builder.set_no_embed()
            store = builder.sign(signer, picture.mime, io.BytesIO(picture.data), out)
    except c2pa.C2paError as error:
        if tsa:
            raise BackendUnavailable(
                f"no content credentials with a time stamp of {tsa}: {error}",
                hint="name another authority with --tsa, or sign without a time stamp",
            ) from error
        raise DataError(f"the picture cannot be signed: {error}") from error
    return out.getvalue(), bytes(store)


def _info(authority: Authority, tsa: str) -> Any:
    """Handed over whole, so that the SDK reserves what a signature of this key needs, and not 10,000 bytes."""
    from cryptography.hazmat.primitives import serialization as s

    if tsa and not tsa.startswith(("http://", "https://")):
        raise ConfigurationError(f"--tsa is an http or https address, got {tsa!r}")
    c2pa = sdk()
    key = authority.key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256,
        sign_cert=authority.chain.encode(),
        private_key=key,
        ta_url=tsa.encode() if tsa else None,  # an empty text is an error in the SDK
    )
