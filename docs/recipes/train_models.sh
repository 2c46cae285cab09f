#!/usr/bin/env bash
# Train every model of the model cards again, with the project's own commands. About two hours on one core.
# usage: docs/recipes/train_models.sh DATA OUT LEDGER [hybrid|latent|paper]...
#   DATA    a folder with MNIST in IDX form, or the word mnist (after `qimg data get mnist`)
#   OUT     a folder for the weights;   LEDGER  a folder for the record
set -euo pipefail
data=$1 out=$2 ledger=$3
shift 3
export OMP_NUM_THREADS=1
qimg=${QIMG:-.venv/bin/qimg}
mkdir -p "$out"

one() { # generator arm seed steps
  local file=$out/$1-$2-seed$3.safetensors
  [ -f "$file" ] || "$qimg" train --generator "$1" --arm "$2" --seed "$3" --steps "$4" --data "$data" --out "$file" --ledger "$ledger/$1-$2-seed$3"
}

for family in "${@:-hybrid latent paper}"; do
  case $family in
    hybrid) for arm in quantum twin bypass; do one hybrid-unet $arm 1 "${HYBRID_STEPS:-6000}"; done ;;
    latent) for seed in 1 2 3; do for arm in quantum twin bypass; do one quantum-latent-flow $arm $seed "${LATENT_STEPS:-18000}"; done; done ;;
    paper) for seed in 1 2 3; do for arm in quantum twin bypass; do one hybrid-unet-2602.03405 $arm $seed "${PAPER_STEPS:-1265}"; done; done ;;
    *) echo "no family $family" >&2; exit 2 ;;
  esac
done
