"""`Settings`: what a bundle's ``policy.toml`` says (imports admission words, errors, keys, toml_table)."""

from __future__ import annotations

import enum
import re
import tomllib
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from qimg_core.admission_words import (
    UNSTATED,
    Approval,
    Consent,
    DeviceClass,
    ExportClass,
    Purpose,
    Region,
    RiskTier,
    Sensitivity,
    TrustZone,
)
from qimg_core.errors import ConfigurationError
from qimg_policy.keys import PublicKey
from qimg_policy.toml_table import NAME, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "qimg.policy/1"
_BACKEND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,99}")
HERE, UNLISTED = "here", "unlisted"

DEFAULTS: dict[str, type[enum.StrEnum]] = {
    "purpose": Purpose,
    "sensitivity": Sensitivity,
    "consent": Consent,
    "data_region": Region,
    "export_class": ExportClass,
    "risk_tier": RiskTier,
}
"""Facts that a bundle may state for all of its runs, where the caller states none."""


class Environment(enum.StrEnum):
    """Where a bundle decides. An approval holds only in the environment that it was signed for."""

    UNNAMED = "unnamed"
    DEVELOPMENT = "development"
    PRODUCTION = "production"


ENVIRONMENTS = (Environment.DEVELOPMENT, Environment.PRODUCTION)
"""Those that a bundle may name."""


@frozen(kw_only=True)
class Device:
    """A row of the device table: what the organisation knows of a device outside of this process.

    Args:
        backend: ``ibm:ibm_fez``, or ``ibm`` for all of that driver's devices that have no row.
        provider: who runs it.
        region, zone: where it computes and how far the data travels.
        approved: the organisation has approved the provider.
        kind: what computes; None leaves it to the driver.
    """

    backend: str
    provider: str
    region: Region = Region.UNSTATED
    zone: TrustZone = TrustZone.UNSTATED
    approved: bool = False
    kind: DeviceClass | None = None


@frozen(kw_only=True)
class Approver:
    """Somebody who may approve.

    Args:
        key: who.
        may: what for.
        waive: may waive controls, too.
        revoke: may revoke what others have signed. What one has signed oneself, one may always revoke.
        environments: where these rights hold; empty: everywhere.
    """

    key: PublicKey
    may: tuple[Approval, ...]
    waive: bool = False
    revoke: bool = False
    environments: tuple[Environment, ...] = ()

    def may_grant(self, kind: str, what: str) -> bool:
        """The right to sign an approval of that word, or a waiver."""
        return self.waive if kind == "waiver" else what in self.may

    def acts_in(self, environment: Environment) -> bool:
        """Do the rights hold there?"""
        return not self.environments or environment in self.environments


@frozen(kw_only=True)
class EngineSettings:
    """Which engine decides.

    Args:
        kind: ``cedar`` (in this process) or ``opa`` (a server).
        url: of the server, without a path.
        path: of the document, e.g. ``qimg/admission``.
        revision: of the server's bundle; another one is refused. Empty: any.
    """

    kind: Literal["cedar", "opa"] = "cedar"
    url: str = ""
    path: str = "qimg/admission"
    revision: str = ""


@frozen(kw_only=True)
class Settings:
    """A bundle's settings.

    Args:
        name, version: of the bundle.
        profile: ``solo``, ``team`` or ``regulated``.
        environment: where it decides.
        mandatory: control ids, each of which must report positive evidence.
        waivable: those of them that a waiver may lift.
        signature_required: an unsigned bundle, or one signed by nobody who is trusted, decides nothing.
        pin_required: the ledger must pin the bundle's digest.
        local_when_down: in-process work that costs nothing goes on while the policy server cannot be asked.
        persons: how many different persons must approve.
        longest_days: of an approval or waiver.
        approvers: who may.
        engine: which engine decides.
        context: facts stated for all runs.
        devices: the device table.
    """

    name: str
    version: str
    profile: Literal["solo", "team", "regulated"]
    mandatory: tuple[str, ...]
    environment: Environment = Environment.UNNAMED
    waivable: tuple[str, ...] = ()
    signature_required: bool = False
    pin_required: bool = False
    local_when_down: bool = False
    persons: int = 1
    longest_days: int = 30
    approvers: tuple[Approver, ...] = ()
    engine: EngineSettings = EngineSettings()
    context: Mapping[str, str] = field(factory=dict)
    devices: tuple[Device, ...] = ()

    @property
    def providers(self) -> tuple[str, ...]:
        """The closed list of providers, sorted."""
        return tuple(sorted({HERE, UNLISTED, *(d.provider for d in self.devices)}))

    def device(self, backend: str) -> Device | None:
        """The row of a device: its own, else its driver's."""
        rows = {d.backend: d for d in self.devices}
        return rows.get(backend) or rows.get(backend.partition(":")[0])


def read_settings(text: str) -> Settings:
    """Read ``policy.toml``.

    Raises:
        ConfigurationError: no TOML, or a table, key or value that is not known; the message names it.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"policy.toml is no TOML: {error}") from error
    top = Table("policy.toml", document)
    top.word("format", (FORMAT,))
    controls, signature, approvals = top.table("controls"), top.table("signature"), top.table("approvals")
    unreachable, engine, context = top.table("unreachable"), top.table("engine"), top.table("context")
    pin = top.table("pin")
    settings = Settings(
        name=top.match("name", NAME),
        version=top.match("version", re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")),
        profile=top.word("profile", ("solo", "team", "regulated")),
        environment=Environment(top.word("environment", ENVIRONMENTS) if "environment" in top.left else "unnamed"),
        mandatory=controls.names("mandatory"),
        waivable=controls.names("waivable"),
        signature_required=signature.flag("required"),
        pin_required=pin.flag("required"),
        local_when_down=unreachable.flag("local"),
        persons=approvals.number("persons", 1, 1, 5),
        longest_days=approvals.number("longest_days", 30, 1, 366),
        approvers=tuple(_approver(t) for t in approvals.tables("approver")),
        engine=EngineSettings(
            kind=engine.word("kind", ("cedar", "opa"), "cedar"),
            url=engine.match("url", re.compile(r"https?://[^\s?#@]+"), ""),
            path=engine.match(
                "path", re.compile(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*"), "qimg/admission"
            ),
            revision=engine.match("revision", re.compile(r"\S{1,100}"), ""),
        ),
        context={k: context.word(k, tuple(DEFAULTS[k])) for k in DEFAULTS if k in context.left},
        devices=tuple(_device(t) for t in top.tables("device")),
    )
    for table in (top, controls, signature, approvals, unreachable, engine, context, pin):
        table.end()
    _consistent(settings)
    return settings


def _consistent(s: Settings) -> None:
    if not s.mandatory:
        raise ConfigurationError(
            "policy.toml: [controls] mandatory is empty: without a mandatory control nothing would need evidence",
            hint='name at least one permit, e.g. mandatory = ["reach"]',
        )
    if foreign := sorted(set(s.waivable) - set(s.mandatory)):
        raise ConfigurationError(f"policy.toml: waivable names {', '.join(foreign)}, which is not mandatory")
    twice = [d.backend for i, d in enumerate(s.devices) if d.backend in {e.backend for e in s.devices[:i]}]
    if twice:
        raise ConfigurationError(f"policy.toml: two [[device]] rows for {twice[0]}")
    ids = [a.key.id for a in s.approvers]
    names = [a.key.name for a in s.approvers]
    if len(set(ids)) < len(ids) or len(set(names)) < len(names):
        raise ConfigurationError("policy.toml: two approvers have the same key or name: that would be one person twice")
    if s.engine.kind == "opa" and not s.engine.url:
        raise ConfigurationError('policy.toml: [engine] kind = "opa" wants url = "http://127.0.0.1:8181"')


def _device(t: Table) -> Device:
    provider = t.match("provider", NAME)
    if provider in (HERE, UNLISTED):
        raise ConfigurationError(f"policy.toml: a [[device]] cannot have the provider {provider!r}")
    zone = TrustZone(t.word("zone", tuple(TrustZone), UNSTATED))
    if zone is TrustZone.PROCESS:
        raise ConfigurationError("policy.toml: a [[device]] has zone process: only what runs in this process has that")
    found = Device(
        backend=t.match("backend", _BACKEND),
        provider=provider,
        region=Region(t.word("region", tuple(Region), UNSTATED)),
        zone=zone,
        approved=t.flag("approved"),
        kind=DeviceClass(t.word("kind", tuple(DeviceClass))) if "kind" in t.left else None,
    )
    t.end()
    return found


def _approver(t: Table) -> Approver:
    found = Approver(
        key=PublicKey.parse(t.match("key", re.compile(r".{1,200}"))),
        may=tuple(Approval(w) for w in t.list("may", tuple(Approval))),
        waive=t.flag("waive"),
        revoke=t.flag("revoke"),
        environments=tuple(Environment(w) for w in t.list("environments", ENVIRONMENTS)),
    )
    t.end()
    return found
