"""TS: the whole train step of our own generators (imports benchmarks.workloads.base)."""

from __future__ import annotations

from benchmarks.task import Training
from benchmarks.workloads.base import Case, Target, Workload, paragraphs

ARMS = ("quantum arm", "twin arm", "bypass arm")
QUANTUM = "quantum arm"


def ts() -> Workload:
    """One step of training hybrid-unet (28x28, batch 64) and the velocity of quantum-latent-flow (batch 256).

    Both as they ship, on synthetic images; the latent flow's compressor is computed, so that every step is one of
    the velocity. Everything else is the generator's own loop: batch, loss, backward, clipping, AdamW, running mean,
    and the record in a ledger on disk. The layer's share is its forward and backward pass over the step, without
    the recording; the recording is all that the session does around the device, and the share of a step in writing
    its group. The other arms, a classical twin and a bypass, show what the step costs without a circuit. Checked:
    values and derivatives of the layer's own request against the judge.
    """
    cases = [
        Case(task=Training(name=f"TS {name}", generator=name), engines=ARMS)
        for name in ("hybrid-unet", "quantum-latent-flow")
    ]
    return Workload(
        name="TS",
        title="whole train step of our generators",
        about=paragraphs(ts.__doc__),
        cases=cases,
        targets=(
            Target(metric="layer_share", ours=QUANTUM, must=0.15, cases=("TS hybrid-unet",)),
            Target(metric="record_share", ours=QUANTUM, must=0.02),
        ),
    )
