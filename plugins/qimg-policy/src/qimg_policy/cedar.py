"""Cedar in this process (imports bundle, engine, schema; cedarpy inside functions).

Cedar skips a policy whose evaluation fails and may then allow, and without a schema it takes any word. Hence policies
that are validated before they are asked, the schema with enumerations at every call, and the errors in the answer.

Most of a question's time goes into reading its context against the schema, in proportion to the number of fields. So a
question holds the fields that its rules read, and no others; the rest was checked as typed input. Forbids and permits
are asked apart, as Cedar names no permits where a forbid holds. Cedar decides both: that no forbid holds (beside a
permit of everything), and that a permit does.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_policy.engine import Answer, Engine, EngineFailed, Words
from qimg_policy.rules import facts_read, read_rules
from qimg_policy.schema import cedar_context, context_types, schema_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.admission_input import AdmissionInput
    from qimg_policy.bundle import Bundle
    from qimg_policy.rules import Rule
    from qimg_policy.settings import Settings

_EVERYTHING = "\npermit (principal, action, resource);"
_POLICY = re.compile(r"\bpolicy(\d+)\b")


class CedarEngine(Engine):
    """The policies of one bundle, parsed once.

    Raises:
        ConfigurationError: the bundle's parts are malformed or do not belong together.
    """

    name = "cedar"

    def __init__(self, bundle: Bundle) -> None:
        bundle.check()
        bundle.check_policies()
        self._version = f"cedarpy {version('cedarpy')}"
        rules, settings = bundle.rules, bundle.settings
        self._words = {r.id: Words(reason=r.reason, satisfy=r.satisfy, approval=r.approval) for r in rules}
        self._forbids = _part([r for r in rules if r.effect == "forbid"], settings, also=_EVERYTHING)
        self._permits = _part([r for r in rules if r.effect == "permit"], settings)

    @property
    def version(self) -> str:
        """Of cedarpy."""
        return self._version

    def ask(self, given: AdmissionInput) -> Answer:
        """Evaluate the forbids, then the permits, always both. An error in either is in the answer, and denies."""
        clear, forbids, errors = self._forbids.evaluate(given)
        permitted, permits, more = self._permits.evaluate(given)
        return Answer(
            allow=clear and permitted,
            errors=(*errors, *more),
            controls=frozenset(r.id for r in permits),
            forbids=tuple(sorted(r.id for r in forbids)),
            obligations=tuple(sorted({str(o) for r in permits for o in r.obligations})),
            words=self._words,
        )


@frozen(kw_only=True, eq=False)
class _Part:
    """Some rules of a bundle, ready to be asked.

    Args:
        rules: by id.
        text: of the rules, as Cedar has them.
        policies, schema, entities: parsed.
        types: of the context.
        environment: of the bundle.
    """

    rules: Mapping[str, Rule]
    text: str
    policies: Any
    schema: Any
    entities: Any
    types: Mapping[str, str]
    environment: str

    def evaluate(self, given: AdmissionInput) -> tuple[bool, tuple[Rule, ...], tuple[str, ...]]:
        """Cedar's decision, the rules that made it, and errors.

        Raises:
            EngineFailed: Cedar gave no decision.
        """
        import cedarpy

        request = {
            "principal": {"type": "Run", "id": "run"},
            "action": {"type": "Action", "id": str(given.activity)},
            "resource": {"type": "Device", "id": "device"},
            "context": cedar_context(given, self.types, self.environment),
        }
        result = cedarpy.is_authorized(request, self.policies, self.entities, self.schema)
        errors = tuple(self._named(str(e)) for e in result.diagnostics.errors)
        if result.decision not in (cedarpy.Decision.Allow, cedarpy.Decision.Deny):
            raise EngineFailed("E_UNDEFINED", f"Cedar gave no decision: {'; '.join(errors)[:300]}")
        names = result.diagnostics.id_annotations_by_reason.values()  # `_EVERYTHING` has no id
        return result.decision is cedarpy.Decision.Allow, tuple(self.rules[name] for name in names), errors

    def _named(self, error: str) -> str:
        """An error with the rule's id in place of the number that Cedar gives it."""
        ids = [rule.id for rule in read_rules(self.text)]
        return _POLICY.sub(lambda found: ids[int(found[1])] if int(found[1]) < len(ids) else found[0], error)


def _part(rules: Sequence[Rule], settings: Settings, also: str = "") -> _Part:
    import cedarpy

    document = {"templates": {}, "staticPolicies": {f"policy{i:04}": r.body for i, r in enumerate(rules)}}
    text = cedarpy.policies_from_json_str(json.dumps({**document, "templateLinks": []}))
    facts = facts_read(rules)
    return _Part(
        rules={r.id: r for r in rules},
        text=text,
        policies=cedarpy.PolicySet.from_str(text + also),
        schema=cedarpy.Schema.from_str(schema_text(settings, facts)),
        entities=cedarpy.Entities.from_json_str("[]"),  # everything is in the context
        types=context_types(settings, facts),
        environment=settings.environment,
    )
