"""A certificate authority for content credentials: root, signing certificate, keys (imports errors, storage).

::

    <folder>/ca/root.pem        the root's certificate; give it to whoever shall trust these credentials
    <folder>/ca/root.key.pem    the root's key: needed only to make a new signing certificate; keep it offline
    <folder>/ca/chain.pem       signing certificate and root
    <folder>/ca/signer.key.pem  the signing key

ECDSA on P-256 with SHA-256 (C2PA "ES256"). The signing certificate follows the profile of the C2PA
Technical Specification 2.x, "X.509 certificates": version 3, not a CA, digitalSignature, an extended key
usage; it carries both C2PA claim signing (1.3.6.1.4.1.62558.2.1), which newer trust lists ask for, and
e-mail protection, which readers accept without configuration.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import AuthenticationError, ConfigurationError, DataError
from qimg_core.storage import ensure_folder, storage_error, write_atomic
from qimg_marks.folder import trust

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from qimg_core.secret import Secret

CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
ROOT_DAYS, LEAF_DAYS = 3650, 365
PASSWORD = "QIMG_MARKS_PASSWORD"
"""Environment variable with the password of the keys."""


@frozen(kw_only=True, eq=False)
class Authority:
    """What signing needs. ``chain`` is PEM: signing certificate, then root."""

    chain: str
    root: str
    key: EllipticCurvePrivateKey = field(repr=False)

    @property
    def subject(self) -> str:
        """The organisation of the signing certificate."""
        from cryptography import x509

        name = x509.load_pem_x509_certificates(self.chain.encode())[0].subject
        return str(name.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value)

    def sign(self, data: bytes) -> bytes:
        """ECDSA P-256, SHA-256, as r and s of 32 bytes each, big-endian (RFC 9053, section 2.1)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def create(folder: Path, organisation: str, *, password: Secret | None = None, now: dt.datetime | None = None) -> None:
    """A new root and signing certificate; the root becomes trusted in the same folder.

    Args:
        folder: of the marks.
        organisation: whose name the certificates carry; never a person's.
        password: encrypts both keys; None leaves them readable to the owner of the files (mode 0600).
        now: the time, for tests.

    Raises:
        ConfigurationError: there is one already, or no name.
        StorageError
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    place = ensure_folder(folder / "ca")
    if (place / "root.pem").exists():
        raise ConfigurationError(f"there is an authority in {place}", hint="a new signing key: qimg marks ca renew")
    if not organisation.strip() or len(organisation) > 64 or "@" in organisation:
        raise ConfigurationError(f"--provider is the name of an organisation (64 characters), got {organisation!r}")
    now = now or dt.datetime.now(dt.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate(organisation, "content credentials root", key, None, None, now, ROOT_DAYS)
    _write_key(place / "root.key.pem", key, password)
    _write_leaf(place, organisation, root, key, password, now)
    write_atomic(place / "root.pem", _pem(root))  # last: it marks the authority complete
    trust(folder, _pem(root))


def renew(folder: Path, *, password: Secret | None = None, now: dt.datetime | None = None) -> None:
    """A new signing key and certificate under the same root.

    Raises:
        ConfigurationError: no authority there, or its root's key is elsewhere.
        AuthenticationError: the password does not open the key.
    """
    from cryptography import x509

    place = folder / "ca"
    root = x509.load_pem_x509_certificate(_read(place / "root.pem"))
    key = _load_key(place / "root.key.pem", password)
    organisation = str(root.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value)
    _write_leaf(place, organisation, root, key, password, now or dt.datetime.now(dt.UTC))


def load(folder: Path, *, password: Secret | None = None) -> Authority:
    """The signing certificate and its key.

    Raises:
        ConfigurationError: no authority there, or its certificate has run out.
        AuthenticationError: the password does not open the key.
    """
    from cryptography import x509

    place = folder / "ca"
    root, chain = _read(place / "root.pem"), _read(place / "chain.pem")
    leaf = x509.load_pem_x509_certificates(chain)[0]
    if leaf.not_valid_after_utc < dt.datetime.now(dt.UTC):
        raise ConfigurationError(
            f"the signing certificate ran out on {leaf.not_valid_after_utc:%Y-%m-%d}", hint="qimg marks ca renew"
        )
    key = _load_key(place / "signer.key.pem", password)
    if key.public_key() != leaf.public_key():
        raise ConfigurationError(f"{place}: the signing key is not that of the certificate", hint="qimg marks ca renew")
    return Authority(chain=chain.decode(), root=root.decode(), key=key)


def _write_leaf(
    place: Path,
    organisation: str,
    root: x509.Certificate,
    root_key: EllipticCurvePrivateKey,
    password: Secret | None,
    now: dt.datetime,
) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _certificate(organisation, "content credentials signer", key, root, root_key, now, LEAF_DAYS)
    _write_key(place / "signer.key.pem", key, password)
    write_atomic(place / "chain.pem", _pem(leaf) + _pem(root))


def _certificate(
    organisation: str,
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: EllipticCurvePrivateKey | None,
    now: dt.datetime,
    days: int,
) -> x509.Certificate:
    """A root where ``issuer`` is None, else a signing certificate under it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    attributes = [(x509.NameOID.ORGANIZATION_NAME, organisation), (x509.NameOID.COMMON_NAME, f"{organisation} {name}")]
    subject = x509.Name([x509.NameAttribute(oid, value[:64]) for oid, value in attributes])
    is_root = issuer is None
    signing_key = issuer_key or key
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_root,
                key_cert_sign=is_root,
                crl_sign=is_root,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if not is_root:
        uses = [x509.ObjectIdentifier(oid) for oid in (EMAIL_PROTECTION, CLAIM_SIGNING)]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _write_key(path: Path, key: EllipticCurvePrivateKey, password: Secret | None) -> None:
    from cryptography.hazmat.primitives import serialization as s

    hidden: Any = s.NoEncryption() if password is None else s.BestAvailableEncryption(password.reveal().encode())
    write_atomic(path, key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, hidden), mode=0o600)


def _load_key(path: Path, password: Secret | None) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path)
    encrypted = b"ENCRYPTED" in data
    if encrypted and password is None:
        raise AuthenticationError(f"{path} is encrypted", hint=f"its password: export {PASSWORD}=...")
    try:
        key = load_pem_private_key(data, password.reveal().encode() if encrypted and password else None)
    except ValueError as error:
        if encrypted:
            raise AuthenticationError(f"the password does not open {path}", hint=f"see {PASSWORD}") from error
        raise DataError(f"{path} holds no private key") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise DataError(f"{path} holds no key on a curve; ES256 needs one on P-256")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is not there", hint="qimg marks ca init --provider NAME") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
