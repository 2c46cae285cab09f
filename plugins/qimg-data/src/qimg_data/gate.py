"""The hook ``qimg_admit``: raw inputs do not leave the process (imports zones, checking's entry, admission).

What is known about the inputs of a plan is the class of the array itself (`qimg_data.zones.Inputs`), the manifest that
the run's training was checked against, and what the caller stated; the most sensitive counts. Where
none says anything this hook abstains, unless ``QIMG_ZONES=strict``: then what is not known stays here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qimg_core.admission import Decision
from qimg_core.admission_words import Activity, Sensitivity
from qimg_data.zones import InputClass, class_of, most_sensitive

if TYPE_CHECKING:
    from qimg_core.admission import Context
    from qimg_core.execution import Plan

VARIABLE = "QIMG_ZONES"
_HARMLESS = {Sensitivity.PUBLIC: InputClass.PUBLIC, Sensitivity.SYNTHETIC: InputClass.SYNTHETIC}
_RAW = (Sensitivity.PERSONAL, Sensitivity.SPECIAL, Sensitivity.CONFIDENTIAL, Sensitivity.INTERNAL)


def admit(plan: Plan, context: Context) -> Decision | None:
    """Decide one plan by where its inputs would go; None for what stays in this process or is not known.

    Args:
        plan: its request holds the inputs.
        context: with ``asked``, the facts of the plan.
    """
    asked = context.asked
    if asked is not None and asked.facts.get("provider") == "here":
        return None
    own = class_of(plan.request.inputs, plan.lowered.inputs, *(p.request.inputs for p in plan.parts))
    kind, why = _known(own, context)
    strict = os.environ.get(VARIABLE, "").strip() == "strict"
    if kind is None:
        if not strict:
            return None
        return _refuse(plan, "unstated", "nothing says what the inputs are, and QIMG_ZONES is strict")
    if not kind.may_leave:
        return _refuse(plan, kind.value, why)
    facts = {"schema": "qimg.data-zone/1", "inputs": kind.value, "because": why, "verdict": "allow"}
    return Decision(verdict="allow", policy="trust zones", record={**facts, "backend": plan.backend})


def _known(own: InputClass | None, context: Context) -> tuple[InputClass | None, str]:
    """The class of the inputs, and what says so.

    An encoding is an encoding of whatever the run touches, so it stands by itself. All other arrays are no less
    sensitive than the run's data; what is generated takes in noise and class numbers.
    """
    if own is InputClass.ENCODED:
        return own, "the inputs are encoded"
    run, why = _of_run(context)
    if own is not None and most_sensitive(own, run) is own:
        return own, f"the inputs are {own.value}"
    if own is None and context.activity == Activity.GENERATE and run is not None and not run.may_leave:
        return InputClass.SYNTHETIC, "what is generated begins with noise and class numbers"
    return run, why


def _of_run(context: Context) -> tuple[InputClass | None, str]:
    if context.asked is not None:
        for entry in context.asked.ledger().entries(run=context.run, kind="data.checked"):
            word = str(entry.facts.get("inputs", ""))
            if word in tuple(InputClass):
                return InputClass(word), f"the run learns {word} data, by its manifest (entry {entry.index})"
    if context.sensitivity in _HARMLESS:
        return _HARMLESS[Sensitivity(context.sensitivity)], f"the data are stated to be {context.sensitivity}"
    if context.sensitivity in tuple(str(s) for s in _RAW):
        return InputClass.RAW_PERSONAL, f"the data are stated to be {context.sensitivity}"
    return None, ""


def _refuse(plan: Plan, word: str, why: str) -> Decision:
    reason = f"inputs of the class {word} do not leave this process for {plan.backend}: {why}"
    hint = "use the simulator; or reduce them with qimg_data.zones.encode; or learn --data synthetic"
    facts = {"schema": "qimg.data-zone/1", "inputs": word, "because": why, "verdict": "deny", "backend": plan.backend}
    return Decision(verdict="deny", policy="trust zones", reasons=(reason,), hint=hint, record=facts)
