"""`Bundle`: a folder of policies as one value with one digest (imports settings, schema, rules, dsse).

::

    policy.toml              settings
    *.cedar                  policies, read in the order of their names
    *.rego                   what a policy server is to run, where one decides
    schema.cedarschema       made from the settings, for Cedar
    tests/*.json             cases
    bundle.dsse.json         signature; not part of the digest

The digest is the SHA-256 of the canonical JSON of every file's text, which is also how a bundle is kept in a ledger.
"""

from __future__ import annotations

from functools import cached_property
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt, UnknownName
from qimg_core.ledger import canonical
from qimg_core.storage import ensure_folder, sha256_digest, storage_error, write_atomic
from qimg_policy.dsse import Opened, seal, unseal
from qimg_policy.rules import Rule, facts_read, read_rules
from qimg_policy.schema import context_types, schema_text
from qimg_policy.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_policy.keys import PublicKey, SigningKey

SETTINGS, SCHEMA, SIGNATURE = "policy.toml", "schema.cedarschema", "bundle.dsse.json"
PREDICATE = "urn:qimg:policy-bundle:1"
_FORMAT = "qimg.policy-bundle/1"
_LARGEST = 1_000_000


@frozen(slots=False)
class Bundle:
    """A policy bundle.

    Args:
        files: name to text, without the signature.
        signature: the envelope, where there is one.
    """

    files: Mapping[str, str] = field(repr=False)
    signature: bytes | None = field(default=None, repr=False, eq=False)

    @cached_property
    def canonical(self) -> bytes:
        """What the digest is of."""
        return canonical.dumps({"format": _FORMAT, "files": dict(self.files)})

    @cached_property
    def digest(self) -> str:
        """``sha256:``."""
        return sha256_digest(self.canonical)

    @cached_property
    def settings(self) -> Settings:
        """Of ``policy.toml``. Raises ConfigurationError."""
        if SETTINGS not in self.files:
            raise ConfigurationError(f"a bundle without {SETTINGS}", hint="qimg policy init FOLDER")
        return read_settings(self.files[SETTINGS])

    @cached_property
    def policies(self) -> str:
        """The Cedar text of all files, in order of their names."""
        return "\n".join(self.files[name] for name in sorted(self.files) if name.endswith(".cedar"))

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Of `policies`. Raises ConfigurationError."""
        return read_rules(self.policies)

    @property
    def name(self) -> str:
        """``regulated/1``."""
        return f"{self.settings.name}/{self.settings.version}"

    def check(self) -> None:
        """Refuse a bundle whose parts do not belong together.

        Raises:
            ConfigurationError: a malformed part, a stale schema, or a mandatory control that no permit reports.
        """
        settings = self.settings
        if settings.engine.kind == "opa":
            return  # its rules live at the server
        if self.files.get(SCHEMA) != schema_text(settings):
            raise ConfigurationError(
                f"{SCHEMA} is not what policy.toml and this version of qimg make",
                hint="qimg policy lint --write-schema FOLDER, then look at the difference",
            )
        permits = {r.id for r in self.rules if r.effect == "permit"}
        if missing := [c for c in settings.mandatory if c not in permits]:
            raise ConfigurationError(
                f"the mandatory control {missing[0]!r} has no permit of that id: it could never be satisfied"
            )

    def problems(self) -> tuple[tuple[str, str], ...]:
        """What is wrong with Cedar's policies under their schema: the rule's id, and what.

        Cedar asks no schema when it decides: a word that no input has would make a forbid that never holds. Its
        validator takes ``context has`` of an unknown field for a condition that is false; here it is wrong.
        """
        import cedarpy

        names = {f"policy{i}": r.id for i, r in enumerate(self.rules)}
        wrong = cedarpy.validate_policies(self.policies, schema_text(self.settings)).errors
        found = [(names.get(str(p.policy_id), str(p.policy_id)), str(p.error)[:300]) for p in wrong]
        known = context_types(self.settings)
        for rule in self.rules:
            foreign = sorted((facts_read([rule]) or frozenset()) - set(known))
            if foreign and rule.id not in dict(found):
                found.append((rule.id, f"the input has no field {foreign[0]}; known: {', '.join(known)}"))
        return tuple(found)

    def check_policies(self) -> None:
        """Refuse policies that have `problems`.

        Raises:
            ConfigurationError
        """
        if found := self.problems():
            rule, what = found[0]
            raise ConfigurationError(
                f"policy {rule}: {what}", hint="qimg policy lint FOLDER names all; qimg policy words"
            )

    def signed_by(self, trusted: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Which trusted keys signed exactly this bundle; empty for none.

        Raises:
            ConfigurationError: a forged signature, or one over another bundle.
        """
        if self.signature is None:
            return ()
        opened: Opened = unseal(self.signature, PREDICATE, trusted)
        digests = [s["digest"]["sha256"] for s in opened.statement["subject"]]
        if digests != [self.digest.removeprefix("sha256:")]:
            raise ConfigurationError(
                "the signature is over another bundle: a file was changed after it was signed",
                hint="qimg policy diff, then qimg policy sign",
            )
        return opened.signers

    def signed(self, keys: Iterable[SigningKey]) -> bytes:
        """The envelope that signs this bundle."""
        listed = {name: sha256_digest(text.encode()) for name, text in self.files.items()}
        return seal(
            PREDICATE, {self.settings.name: self.digest}, {"version": self.settings.version, "files": listed}, keys
        )


def read_bundle(folder: Path) -> Bundle:
    """A bundle from its folder.

    Raises:
        ConfigurationError: no folder, a file that is no text, a link, or more than 1 MB.
        StorageError: a file cannot be read.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"there is no policy bundle in {folder}: wanted a folder, or the name of a shipped one",
            hint=f"qimg policy init {folder} makes one; qimg policy list names the shipped ones",
        )
    found: dict[str, str] = {}
    for path in sorted(
        [
            *folder.glob("*.cedar"),
            *folder.glob("*.rego"),
            folder / SETTINGS,
            folder / SCHEMA,
            *folder.glob("tests/*.json"),
        ]
    ):
        if not path.exists() and not path.is_symlink():
            continue
        if path.is_symlink():
            raise ConfigurationError(f"{path} is a link: what it points to could change under the digest")
        found[path.relative_to(folder).as_posix()] = _text(path)
    if sum(map(len, found.values())) > _LARGEST:
        raise ConfigurationError(f"the bundle in {folder} is over {_LARGEST:,} characters")
    signature = folder / SIGNATURE
    return Bundle(found, signature.read_bytes() if signature.is_file() else None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no UTF-8 text") from error


def from_canonical(data: bytes, signature: bytes | None = None) -> Bundle:
    """A bundle as a ledger keeps it.

    Raises:
        LedgerCorrupt: the bytes are no bundle.
    """
    try:
        document = canonical.loads(data)
        files = document["files"]
        good = document["format"] == _FORMAT and all(isinstance(v, str) for v in files.values())
    except (ConfigurationError, KeyError, TypeError, AttributeError) as error:
        raise LedgerCorrupt("the artefact is no policy bundle") from error
    if not good:
        raise LedgerCorrupt("the artefact is no policy bundle")
    return Bundle(files, signature)


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Write a bundle's files.

    Raises:
        StorageError
    """
    for name, text in bundle.files.items():
        path = folder / name
        ensure_folder(path.parent)
        write_atomic(path, text.encode())
    if bundle.signature is not None:
        write_atomic(folder / SIGNATURE, bundle.signature)


def shipped() -> tuple[str, ...]:
    """Names of the bundles that come with this distribution: three profiles and the cookbook."""
    return tuple(sorted(p.name for p in _shipped().iterdir() if p.is_dir()))


def shipped_bundle(name: str) -> Bundle:
    """One of `shipped`.

    Raises:
        ConfigurationError: none of that name.
    """
    if name not in shipped():
        raise UnknownName("shipped policy bundle", name, shipped(), hint="qimg policy list")
    bundle = read_bundle(_shipped() / name)
    if bundle.settings.engine.kind != "cedar":
        return bundle
    return Bundle({**bundle.files, SCHEMA: schema_text(bundle.settings)})


def _shipped() -> Path:
    return Path(str(resources("qimg_policy") / "bundles"))


def find_bundle(where: str) -> Bundle:
    """A folder, or the name of a shipped bundle (a name has no slash).

    Raises:
        ConfigurationError, StorageError.
    """
    return shipped_bundle(where) if "/" not in where and where in shipped() else read_bundle(Path(where))
