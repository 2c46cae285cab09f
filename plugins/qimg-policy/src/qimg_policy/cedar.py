"""Cedar in this process (imports bundle, engine, schema; cedarpy inside functions).

Cedar skips a policy whose evaluation fails and may then allow, and without a schema it takes any word. Hence the
schema with enumerations at every call, and the errors in the answer.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qimg_policy.engine import Answer, Engine, EngineFailed, Words
from qimg_policy.rules import read_rules
from qimg_policy.schema import cedar_context, schema_text

if TYPE_CHECKING:
    from qimg_core.admission_input import AdmissionInput
    from qimg_policy.bundle import Bundle
    from qimg_policy.rules import Rule


class CedarEngine(Engine):
    """The policies of one bundle, parsed once.

    Raises:
        ConfigurationError: the bundle's parts are malformed or do not belong together.
    """

    name = "cedar"

    def __init__(self, bundle: Bundle) -> None:
        import cedarpy

        bundle.check()
        self._cedar, self._version = cedarpy, f"cedarpy {version('cedarpy')}"
        self._rules = {f"policy{i}": rule for i, rule in enumerate(bundle.rules)}
        self._words = {
            r.id: Words(reason=r.reason, satisfy=r.satisfy, approval=r.approval) for r in self._rules.values()
        }
        self._schema = cedarpy.Schema.from_str(schema_text(bundle.settings))
        self._entities = cedarpy.Entities.from_json_str("[]")  # everything is in the context
        self._all = cedarpy.PolicySet.from_str(bundle.policies)
        self._bundle = bundle
        self._permits: Any = None
        self._permit_rules: dict[str, Rule] = {}

    @property
    def version(self) -> str:
        """Of cedarpy."""
        return self._version

    def ask(self, given: AdmissionInput) -> Answer:
        """Evaluate; after a refusal once more without the forbids, to name the controls that are not satisfied."""
        allow, reasons, errors = self._evaluate(given, self._all)
        rules = [self._rules[r] for r in reasons]
        forbids = tuple(sorted(r.id for r in rules if r.effect == "forbid"))
        permits = [r for r in rules if r.effect == "permit"]
        if forbids and not errors:
            _, reasons, errors = self._evaluate(given, self._permit_only())
            permits = [self._permit_rules[r] for r in reasons]
        return Answer(
            allow=allow,
            errors=errors,
            controls=frozenset(r.id for r in permits),
            forbids=forbids,
            obligations=tuple(sorted({str(o) for r in permits for o in r.obligations})),
            words=self._words,
        )

    def _evaluate(self, given: AdmissionInput, policies: Any) -> tuple[bool, list[str], tuple[str, ...]]:
        request = {
            "principal": {"type": "Run", "id": "run"},
            "action": {"type": "Action", "id": str(given.activity)},
            "resource": {"type": "Device", "id": "device"},
            "context": cedar_context(given),
        }
        result = self._cedar.is_authorized(request, policies, self._entities, self._schema)
        errors = tuple(str(e) for e in result.diagnostics.errors)
        if result.decision not in (self._cedar.Decision.Allow, self._cedar.Decision.Deny):
            raise EngineFailed("E_UNDEFINED", f"Cedar gave no decision: {'; '.join(errors)[:300]}")
        return result.decision is self._cedar.Decision.Allow, list(result.diagnostics.reasons), errors

    def _permit_only(self) -> Any:
        if self._permits is None:
            permits = [r.body for r in self._rules.values() if r.effect == "permit"]
            document = {
                "templates": {},
                "staticPolicies": {f"policy{i}": body for i, body in enumerate(permits)},
                "templateLinks": [],
            }
            text = self._cedar.policies_from_json_str(json.dumps(document))
            self._permit_rules = {f"policy{i}": rule for i, rule in enumerate(read_rules(text))}
            self._permits = self._cedar.PolicySet.from_str(text)
        return self._permits
