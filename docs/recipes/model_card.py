"""Write a model card: what the model is, how each column was trained, and what `qimg evaluate` measured.

usage: model_card.py NAME OUT.md EVALUATION.md... -- WEIGHTS.safetensors...
The prose of a model stands in ``TEXT``; every figure comes from the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qimg_core.ledger import SQLiteLedger
from qimg_core.weights import load_weights

TEXT = {
    "hybrid-unet": """
A class-conditional convolutional U-Net at 28x28, trained by rectified flow matching; at its narrowest place a six-wire circuit
(dense-angle re-uploading, three layers; one global and all pairwise adaptive non-local observables) scales and shifts the features.

**What the table shows.** Quantum, twin and bypass do not differ beyond their intervals: at this size the U-Net
draws the digits, and the layer neither helps nor harms. That is a tie, and is reported as a tie. One training seed.

**Guidance.** The three were trained with the setting 1.5, which changes nothing in training; it was then set to 1.35 for all three with
`qimg retune`, after looking at 1.25, 1.3, 1.38 and 1.5 on other sampling seeds of the quantum arm.

**The solver.** The default is Euler's method with 25 steps, guidance 1.35. The same weights with Heun's method whose last step is Euler's, which asks the net
25 times as well (`--set method=heun-euler --set sample_steps=13`), come to 1.16, 1.19 and 1.17 of the floor instead of 1.23, 1.26 and 1.27; the asked
digit is found in 98.6, 99.3 and 98.8 of 100 images. It was chosen by looking at another sampling seed of the quantum arm, where Euler was at 1.19, this
at 1.07, Heun to the very end at 1.06, and Euler with guidance 1.6 between t = 0.1 and 0.6 at 1.37: a sampling seed moves the ratio by some 0.08. Heun to the
end leaves speckle (on Fashion-MNIST it brought structural coherence from 0.94 down to 0.77). We had set out for 1.1 and 99 %; neither is
reached by the quantum arm. The default stays, since the constants of the [watermark](../how-to/watermark.md) were measured with it. Twin and bypass of the second
table were trained again with the same seed, as the first files were not kept.
""",
    "quantum-latent-flow": """
An autoencoder of 664,000 numbers takes images to 16 numbers and back. In that space an eight-wire circuit (dense-angle
re-uploading, five layers; adaptive non-local observables on all pairs) is the velocity field of a flow from noise to latents: 3,840
trained numbers. What is known in closed form of any such flow is added without parameters, in every arm alike.

**What the tables show.** With equal parameters and equal steps, the circuit has the smaller Frechet distance and the higher recall in each of the
three seeds, the classical twin the higher class accuracy in each. A linear map in the circuit's place (bypass) finds the asked digit in
nine of ten cases, at three to four times the distance. Three seeds are few, and the budgets are not equal in time: a
training step of the flow takes 22 ms with the simulated circuit and 0.8 ms with the twin (one thread). What the twin does with the
same time was not measured.

**What is not reached.** We set out for a distance of at most 1.5 times the floor; seed 1 is at 1.67 against the ten draws of
its card, and near 1.58 against all thirty disjoint draws of 2,000 training images (0.179). Seeds 2 and 3 are farther.
A model of the same road with matrices over all wires reaches 1.14, 1.31 and 1.31: [`mnist-global`](quantum-latent-flow-global.md).

Three training seeds, each with its own autoencoder; the weights that ship are those of seed 1.
""",
    "quantum-latent-flow-global": """
The weights `mnist-global` of [quantum-latent-flow](quantum-latent-flow.md): `--weights mnist-global`. Six wires instead of eight, and
24 trained matrices on all six beside one on every pair: 98,544 of its 101,402 trained numbers are matrix entries. Whitened class by
class, no guidance. A window of six wires runs on simulators alone; for devices take the default weights, whose windows are pairs.

    qimg train --generator quantum-latent-flow --data mnist --seed 1 --steps 32000 --set wires=6 --set observables=24 --set frames=class \\
      --set guidance=1 --set label_drop=0 --set compressor_share=0.2 --out global.safetensors

**What the tables show.** Of the floor, the circuit stands at 1.14, 1.31 and 1.31 in three training seeds, each with its own autoencoder: within the
1.5 that we had set out for. The settings, the learning rate of 0.004 among them, were found with the circuit on seed 1. At that rate the twin of the
same size stays far behind (1.75, 2.25, 2.07), hardly better than a linear map (bypass: 1.82, 2.34, 2.24). At a rate of 0.001, the only other one that was
tried, the twin is at 1.27, 1.65 and 1.57. So half of the distance between the columns of the first tables is the twin's learning rate; the rest has
one sign in three seeds, inside each other's intervals, with one rate tried against several for the circuit. That decides nothing, and nothing was
pre-registered. A training step took 22 ms with the simulated circuit on a quiet core, and a few with the twin. The weights that ship are those of seed 1.
The circuit's requests, 240 in each run, are those of the ledger's closing entries: the evaluations' own count stood at 0, a defect since mended.

**With 10,000 images** (last table, seed 1) the floor falls faster than the model's distance: 2.73 times the floor of random draws, 1.62 times the floor of draws
with the asked class shares. Ten equal classes are asked for, and neither MNIST's training images nor its test images come in equal classes, which such
a sample shows: the second number is the fairer one. The order of the columns stays: twin 2.58 and, with the learning rate of 0.001, 1.85; bypass 2.68.

![64 digits of the quantum arm, seed 7](../_static/quantum-latent-flow-global.png)
""",
    "hybrid-unet-fashion": """
The weights `fashion` of [hybrid-unet](hybrid-unet.md): `--weights fashion`. The same model on Fashion-MNIST, with the same settings and the same
sampler; nothing was tuned on these data. The split is **not the official one**: all 70,000 images were shuffled with a fixed seed and parted 60,000 to
10,000, so figures of others are not comparable to the last digit.

    qimg train --generator hybrid-unet --arm quantum --seed 1 --steps 6000 --data fashion-mnist --out fashion.safetensors

**What the table shows.** A tie: quantum, twin and bypass lie inside each other's intervals in every row, at 3.3 to 3.5 times the floor of real
images. The asked class is found in 94 to 95 of 100 images; most of the others are shirts taken for tops, pullovers or coats (65 to 71 of 100
shirts are recognised). One training seed, so nothing is said about seeds.

![64 clothes of the quantum arm, seed 7](../_static/hybrid-unet-fashion.png)
""",
    "quantum-latent-flow-steel": """
[quantum-latent-flow](quantum-latent-flow.md) on steel surfaces: 1,500 training images of 64x64 in six classes, of the NEU database. A measurement, not a
model to use: no weights ship.

    qimg train --generator quantum-latent-flow --arm quantum --seed 1 --steps 6000 --set size=64 --set classes=6 --set frames=class \\
      --set compressor_share=0.25 --set compressor_batch=64 --data steel/ --out steel.safetensors
    qimg metrics train-network steel/ --out steel-64.safetensors --epochs 60
    qimg evaluate --generator quantum-latent-flow --weights steel.safetensors --data steel/ --network steel-64.safetensors --n 270 --allow-small

**What the table shows.** The autoencoder of 16 numbers is the limit: its images are smooth, and a steel surface is its texture. The kernel distance, which is
the one to read with so few images, is about 1 in all three arms (0 is perfect), the twin's like the circuit's, and the linear map that stands for both (bypass) no worse. Fine-grained
classes (crazing, rolled-in scale) are hardly ever recognised, patches and inclusions mostly are. One training seed, 270 test images:
the distances come with `--allow-small`, as a Frechet distance from 270 images says little. Training took 12, 7 and 4 minutes on a busy core.

![20 surfaces of the quantum arm](../_static/quantum-latent-flow-steel.png)
""",
    "hybrid-unet-2602.03405": """
The model of arXiv:2602.03405 at 16x16 as released: see [what paper and code say](../explanation/published-model.md). Trained here for
five of the hundred published epochs, three seeds, by one command:

    qimg train --generator hybrid-unet-2602.03405 --data mnist --steps 1265 --seed 1 --arm quantum --out paper.safetensors

**What the tables show.** After five of the hundred epochs the model is far from the real data in every measure and every arm, and seeds differ
more than arms: with seed 3 both the published layer and its twin hardly draw a digit. The twin (same number of parameters, the same
tables by time and class) has the smaller distance in each seed. The bypass draws no particular digit, since the class enters nowhere
else. Nothing here says what a hundred epochs would do. The distances are large partly because the network that measures, trained at 16x16
as those of the other cards at 28x28, has never seen such speckle.
""",
}

MNIST = ("MNIST", "MNIST, LeCun, Cortes, Burges")
CLASSICAL = "One torch thread. Simulation is classical: no quantum hardware took part in training or sampling."
SOURCES = {
    "hybrid-unet-fashion": ("Fashion-MNIST", "Fashion-MNIST, Zalando Research (MIT)"),
    "quantum-latent-flow-steel": ("the steel images", "NEU surface defects, Song and Yan"),
}
"""Of a card's data: its name, and whose it is."""


def training(path: Path) -> list[str]:
    """One table row about how a weights file was made, from the file and the ledger beside it."""
    weights = load_weights(path)
    f = weights.facts
    name = path.stem.removesuffix("-g135")
    ledger = path.parent.parent / "ledgers" / name
    commit = machine = "?"
    if ledger.exists():
        with SQLiteLedger.open(ledger, create=False, read_only=True) as log:
            started = next(iter(log.entries(run=f["run"], kind="run.started")))
            commit = str((started.facts["git"] or {}).get("commit", "?"))[:12]
            state = json.loads(log.get(started.facts["artefacts"]["environment"]))
            machine = f"{state['cpu']}, torch {state['packages']['torch']}"
    p = f["parameters"]
    return [f["arm"], f["seed"], str(f["steps"]), str(p["total"]), str(p["layer"]), f["run"], commit, machine]


def main() -> None:
    """Compose the page."""
    name, out, *rest = sys.argv[1:]
    split = rest.index("--")
    pages, weights = rest[:split], [Path(w) for w in rest[split + 1 :]]
    lines = [f"# {name}", TEXT[name].rstrip(), "", "## Measured", ""]
    for page in pages:
        body = Path(page).read_text(encoding="utf-8").splitlines()
        lines += ["#" + line if line.startswith("# ") else line for line in body if "class_accuracy[" not in line]
        lines.append("")
    lines += [
        "`frechet_ratio` is the distance over the floor (mean of ten disjoint draws of as many real training images against the test",
        "images, same network); `frechet_ratio_asked` has a floor of draws with the asked class shares, which is lower and stricter. `kid`",
        "is unbiased. `nn_ratio` compares the distance to the nearest training image with that of real test images. The feature network",
        f"was trained on {SOURCES.get(name, MNIST)[0]} with slight shifts and noise, apart from every generator, and frozen.",
        "",
        "## Trained",
        "",
        "| arm | seed | steps | trained numbers | of the layer | run | commit | machine |",
        "|---|---|---|---|---|---|---|---|",
        *["| " + " | ".join(training(w)) + " |" for w in weights],
        "",
        f"{CLASSICAL} Data: {SOURCES.get(name, MNIST)[1]}.",
        "",
    ]
    Path(out).write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
