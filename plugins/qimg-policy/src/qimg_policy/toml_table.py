"""`Table`: one table of a TOML file, read strictly (imports errors).

An unknown key is an error, as a misspelt control would otherwise control nothing.
"""

from __future__ import annotations

import re
from typing import Any

from qimg_core.errors import ConfigurationError

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""Ids of controls, rules, bundles and providers."""


class Table:
    """One table, read strictly: `end` refuses what was not asked for."""

    def __init__(self, name: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigurationError(f"{name}: wanted a table, got {values!r}")
        self.name, self.left = name, dict(values)

    def _wrong(self, key: str, wanted: str, value: object) -> ConfigurationError:
        shown = repr(value)
        if "PRIVATE" in shown or "@" in shown:  # a key, or a password in a URL, put there by mistake
            shown = "something that may be secret"
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return ConfigurationError(f"{self.name}: {key}: wanted {wanted}, got {shown}")

    def table(self, key: str) -> Table:
        return Table(f"{self.name} [{key}]", self.left.pop(key, {}))

    def tables(self, key: str) -> list[Table]:
        found = self.left.pop(key, [])
        if not isinstance(found, list):
            raise self._wrong(key, f"[[{key}]] tables", found)
        return [Table(f"{self.name} [[{key}]]", t) for t in found]

    def word(self, key: str, words: tuple[str, ...], default: str | None = None) -> Any:
        value = self.left.pop(key, default)
        if not isinstance(value, str) or value not in words:
            raise self._wrong(key, f"one of {', '.join(words)}", value)
        return value

    def match(self, key: str, pattern: re.Pattern[str], default: str | None = None) -> str:
        value = self.left.pop(key, default)
        if value is not None and value == default:
            return str(value)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._wrong(key, f"a text like {pattern.pattern}", value)
        return value

    def flag(self, key: str) -> bool:
        value = self.left.pop(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = self.left.pop(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(key, f"an integer from {low} to {high}", value)
        return value

    def list(self, key: str, words: tuple[str, ...]) -> list[str]:
        value = self.left.pop(key, [])
        if not isinstance(value, list) or any(v not in words for v in value):
            raise self._wrong(key, f"a list of {', '.join(words)}", value)
        return value

    def names(self, key: str) -> tuple[str, ...]:
        value = self.left.pop(key, [])
        if not isinstance(value, list) or any(not isinstance(v, str) or not NAME.fullmatch(v) for v in value):
            raise self._wrong(key, "a list of control ids such as reach", value)
        if len(set(value)) < len(value):
            raise self._wrong(key, "each control once", value)
        return tuple(value)

    def end(self) -> None:
        if self.left:
            raise ConfigurationError(f"{self.name}: unknown {', '.join(sorted(map(str, self.left)))}")
