"""Configurations as JSON without floats, and back (floor 3; imports errors)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import attrs

from qimg_core.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def config_to_json(config: Any) -> dict[str, Any]:
    """A frozen attrs configuration as a document: floats become their shortest round-trip string."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, (tuple, list)):
            return [plain(v) for v in value]
        return getattr(value, "value", value)

    return {a.name: plain(getattr(config, a.name)) for a in attrs.fields(type(config))}


def config_from_json(cls: type[T], document: Mapping[str, Any]) -> T:
    """Read `config_to_json` back; also takes plain numbers, so that a TOML table works.

    Raises:
        UnknownName: a field that the configuration does not have.
        ConfigurationError: a value that does not fit.
    """
    hints = get_type_hints(cls)
    names = [a.name for a in attrs.fields(cls)]  # type: ignore[arg-type]
    made: dict[str, Any] = {}
    for key, value in document.items():
        if key not in names:
            raise UnknownName("setting", key, names)
        hint = hints.get(key)
        try:
            if hint is float:
                value = float(value)
            elif hint is int and not isinstance(value, bool):
                value = int(value)
            elif hint is bool and isinstance(value, str):
                value = {"true": True, "false": False}[value.lower()]
            elif isinstance(value, list):
                value = tuple(value)
        except (KeyError, TypeError, ValueError) as cause:
            raise ConfigurationError(f"setting {key!r}: {value!r} does not fit ({cause})") from cause
        made[key] = value
    try:
        return cls(**made)
    except (TypeError, ValueError) as cause:
        raise ConfigurationError(f"{cls.__name__}: {cause}") from cause
