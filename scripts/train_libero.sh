#!/usr/bin/env bash
# A policy for LIBERO's ten tasks of libero_object, from nothing: scripted demonstrations, autoencoder and transformer,
# export, and its success on start states of the benchmark. What is there already is not done again, so an interrupted
# run goes on where it stopped.
#
#   bash scripts/train_libero.sh [PART...]   by default data policy export figures
#
#   VENV=.venv               environment that has LIBERO, such as scripts/libero_env.sh makes
#   OUT=runs/libero          where everything goes
#   DEMONSTRATIONS=30        of each task
#   SEED=1000                of the first; objects are placed by it, never as in a start state of the benchmark
#   CONFIG=config/libero.yaml
#   EPISODES=25              start states of each task that are measured, of the 50 there are
#   WORKERS=2                simulators side by side
#   NICE=10                  how much everything else goes before
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-.venv} OUT=${OUT:-runs/libero} CONFIG=${CONFIG:-config/libero.yaml} WORKERS=${WORKERS:-2}
PATH=$(realpath "$VENV")/bin:$PATH
PARTS=" ${*:-data policy export figures} "
DATA=$OUT/demonstrations POLICY=$OUT/policy
renice -n "${NICE:-10}" -p $$ > /dev/null 2>&1 || true # not where it is nicer already
mkdir -p "$OUT"

if [[ $PARTS == *' data '* ]]; then
  cosmos-policy demonstrate --sim libero --suite libero_object --episodes "${DEMONSTRATIONS:-30}" \
    --seed "${SEED:-1000}" --workers "$WORKERS" --out "$DATA"
fi

if [[ $PARTS == *' policy '* && ! -f $POLICY/figures.json ]]; then
  begun=$POLICY/work resume=()
  [[ ! -f $begun/train.yaml ]] || resume=(--resume)
  cosmos-policy train --robot config/robots/libero_panda.yaml --config "$CONFIG" --data "$DATA" --out "$POLICY" \
    "${resume[@]}"
fi

if [[ $PARTS == *' export '* ]]; then
  [[ -d $POLICY/engines ]] || cosmos-policy export "$POLICY" || true # refused, or not possible here: torch computes
fi

if [[ $PARTS == *' figures '* ]]; then # trial by trial: it goes on with what the file has
  cosmos-policy evaluate --sim libero --suite libero_object --checkpoint "$POLICY" --episodes "${EPISODES:-25}" \
    --workers "$WORKERS" --json "$OUT/libero_object.json"
  cosmos-policy compare "$OUT/libero_object.json"
fi
