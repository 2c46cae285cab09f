"""G7, G11, G12, G14: the forms of a generator that show what its circuit is worth (floor 8; imports model).

A generator without one of them does not pass: its images could not be compared with anything. One that has no circuit
at all comes as the bypass alone, and is only asked to run none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.circuit.gates import GateName
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.part.model import asked_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.generator import Generator
    from qimg_core.testing.conformance.case import Checks
    from qimg_core.testing.conformance.part.model import Asked, ModelBench

TWIN_PARAMETERS = 0.02
CLASSICAL = (Arm.TWIN, Arm.BYPASS)
STEPS = 3


def _with_circuit(bench: ModelBench) -> Generator:
    """The quantum form.

    Raises:
        NotApplicable: there is none, and the model does not pretend to one.
    """
    try:
        return bench.model(arm=Arm.QUANTUM)
    except (ConfigurationError, NotImplementedError) as error:
        if bench.model().arm is Arm.BYPASS:
            raise NotApplicable("the model has no circuit, it comes as the bypass alone") from error
        raise


def _joint(asked: Sequence[Asked]) -> list[str]:
    """Gates on two wires or more. A prepared state is data, which the separable form shares with the whole one."""
    gates = (g for a in asked for g in a.circuit.gates)
    return [f"{g.name} on {g.wires}" for g in gates if len(g.wires) > 1 and g.name != GateName.PREPARE]


@case("G7", "the arms are all there: equal shapes, the twin's parameters within 2 %, quantum only where a circuit ran")
def _arms(bench: ModelBench, checks: Checks) -> None:
    try:
        whole, offered = _with_circuit(bench), True
    except NotApplicable:
        whole, offered = bench.model(), False
    shape = whole.sample(1, seed=7).shape
    for arm in Arm:
        try:
            model = bench.model(arm=arm)
        except (ConfigurationError, NotImplementedError) as error:
            checks.that(f"{arm}: offered", not offered and arm is not Arm.BYPASS, str(error))
            continue
        checks.that(f"{arm}: beside a quantum form", offered or arm is Arm.BYPASS, "there is none")
        images = model.sample(1, seed=7)
        checks.that(f"{arm}: the same shape", images.shape == shape, str(images.shape))
        ran = model.session.log.recorder.tally.executions > 0
        if arm in CLASSICAL:
            checks.that(f"{arm}: no circuit", not ran, "a circuit ran")
            checks.that(f"{arm}: not quantum", not images.quantum, "images.quantum is True")
        else:
            checks.that(f"{arm}: quantum where a circuit ran", images.quantum == ran, f"{images.quantum}, ran {ran}")
        p, q = model.parameters, whole.parameters
        checks.that(f"{arm}: parts of the whole", p.circuit + p.observable <= p.layer <= p.total, str(p))
        if arm is Arm.TWIN:
            checks.that("the twin takes the same noise", model.noise_shape == whole.noise_shape, str(model.noise_shape))
            for part, its, wanted in (("", p.total, q.total), ("layer_", p.layer, q.layer)):
                off = abs(its - wanted)
                name = f"parameters of the twin{'’s layer' if part else ''}"
                # of a layer of less than 50 numbers 2 % is less than one
                checks.that(name, off <= max(1 if part else 0, TWIN_PARAMETERS * wanted), f"{its} and {wanted}")
                checks.evidence[f"twin_{part}parameters_off"] = off / max(1, wanted)
        if arm is Arm.SEPARABLE:
            checks.that("separable: as many parameters", p == q, f"{p} and {q}")
        if arm is Arm.FROZEN:
            kept = q.total - q.circuit
            checks.that("frozen: no gate angle is trained", p.circuit == 0, f"{p.circuit} are")
            checks.that("frozen: all else is trained", p.total == kept, f"{p.total} numbers, wanted {kept}")


@case("G11", "the separable form's circuits have no gate on two wires")
def _separable(bench: ModelBench, checks: Checks) -> None:
    whole, model = _with_circuit(bench), bench.model(arm=Arm.SEPARABLE)
    model.sample(bench.n, seed=7)
    whole.sample(bench.n, seed=7)
    asked = asked_of(model)
    checks.that("the quantum form runs a circuit", bool(asked_of(whole)), "none")
    checks.that("so does the separable form", bool(asked), "none")
    joint = _joint(asked)
    checks.that("no gate on two wires", not joint, f"{len(joint)}, such as {joint[:1]}")
    checks.evidence["joint_gates_of_the_whole"] = len(_joint(asked_of(whole)))
    checks.evidence["prepares_joint_states"] = any(
        len(g.wires) > 1 and g.name == GateName.PREPARE for a in asked for g in a.circuit.gates
    )


@case("G12", "the frozen form's circuits keep their initial weights in training")
def _frozen(bench: ModelBench, checks: Checks) -> None:
    whole, images = _with_circuit(bench), bench.training_images()
    before, after = bench.model(arm=Arm.FROZEN), bench.model(arm=Arm.FROZEN)
    before.sample(bench.n, seed=7)
    first = asked_of(before)
    if not checks.that("a circuit runs", bool(first), "none"):
        return
    for _ in after.fit(images, steps=STEPS):
        pass
    trained = asked_of(after)
    after.sample(bench.n, seed=7)
    circuits = {a.circuit.digest for a in first}
    # a model that draws once, in training, and keeps what it drew asks for nothing here: then training is looked at
    last = asked_of(after)[len(trained) :] or tuple(a for a in trained if a.circuit.digest in circuits)
    checks.that("a circuit runs after training", bool(last), "none")
    wanted = {(a.circuit.digest, a.weights) for a in first}
    moved = [a for a in last if (a.circuit.digest, a.weights) not in wanted]
    checks.that("the weights are the initial ones", not moved, f"{len(moved)} of {len(last)} requests have others")
    whole.sample(bench.n, seed=7)
    begun = {(a.circuit.digest, a.weights) for a in asked_of(whole)}
    checks.that("the initial weights are the quantum form's", wanted == begun, "others")
    checks.evidence["circuit_weights"] = max(a.numbers for a in first)


@case("G14", "the bypass runs none of the model's circuits, in sampling or in training")
def _bypass(bench: ModelBench, checks: Checks) -> None:
    whole, images = _with_circuit(bench), bench.training_images()
    model = bench.model(arm=Arm.BYPASS)
    whole.sample(bench.n, seed=7)
    made_by = {a.circuit.digest for a in asked_of(whole)}
    for _ in model.fit(images, steps=STEPS):
        pass
    trained = asked_of(model)
    model.sample(bench.n, seed=7)
    sampled = asked_of(model)[len(trained) :]
    checks.that("sampling runs no circuit", not sampled, f"{len(sampled)} requests")
    ran = [a for a in trained if a.circuit.digest in made_by]  # others may make the data, as a scrambling process does
    checks.that("training runs none of them", not ran, f"{len(ran)} requests")
    checks.evidence["other_circuits_in_training"] = len({a.circuit.digest for a in trained} - made_by)


CASES = (_arms, _separable, _frozen, _bypass)
