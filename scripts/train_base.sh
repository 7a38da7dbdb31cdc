#!/usr/bin/env bash
# The committed checkpoint models/aloha_sim from nothing: demonstrations, autoencoder, transformer, export, figures.
# What is there already is not done again, so an interrupted run goes on where it stopped, at the last saved state.
#
#   bash scripts/train_base.sh [PART...]   by default data autoencoder transformer export figures
#
#   OUT=runs/base            where everything goes
#   CUBES=500, PEGS=650      demonstrations of each task
#   CONFIG=config/base.yaml  of the transformer
#   INIT=OUT/autoencoder     checkpoint that the transformer begins with
#   EPISODES=200             episodes of one figure
#   SEED=100000              seed of their first scene
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/.venv/bin:$PATH
OUT=${OUT:-runs/base} CONFIG=${CONFIG:-config/base.yaml} EPISODES=${EPISODES:-200} SEED=${SEED:-100000}
PARTS=" ${*:-data autoencoder transformer export figures} "
POLICY=$OUT/policy
DATA=("$OUT/transfer_cube" "$OUT/insert_peg")
mkdir -p "$OUT"

train() { # out, options...: from its last saved state on where it was begun
  local out=$1 begun=$1/work
  shift
  [[ ! -f $out/figures.json ]] || return 0
  [[ ! -f $begun/train.yaml ]] || set -- "$@" --resume
  cosmos-policy train --out "$out" "$@"
}

if [[ $PARTS == *' data '* ]]; then
  cosmos-policy demonstrate --task transfer_cube --episodes "${CUBES:-500}" --seed 600 --out "${DATA[0]}"
  cosmos-policy demonstrate --task insert_peg --episodes "${PEGS:-650}" --seed 2000 --out "${DATA[1]}"
fi

if [[ $PARTS == *' autoencoder '* ]]; then # of the first hundred episodes of each task
  if [[ ! -d $OUT/first ]]; then
    mkdir -p "$OUT/first.partial"
    for folder in "${DATA[@]}"; do
      mkdir -p "$OUT/first.partial/${folder##*/}"
      find "$(realpath "$folder")" -mindepth 1 -maxdepth 1 -name 'episode_*' | sort | head -100 |
        xargs -I{} ln -sf {} "$OUT/first.partial/${folder##*/}/"
    done
    mv "$OUT/first.partial" "$OUT/first"
  fi
  train "$OUT/autoencoder" --config config/autoencoder.yaml --data "$OUT"/first/{transfer_cube,insert_peg}
fi

if [[ $PARTS == *' transformer '* ]]; then
  train "$POLICY" --config "$CONFIG" --init "${INIT:-$OUT/autoencoder}" --data "${DATA[@]}"
fi

if [[ $PARTS == *' export '* ]]; then
  [[ -d $POLICY/engines ]] || cosmos-policy export "$POLICY"
fi

if [[ $PARTS == *' figures '* ]]; then
  for task in transfer_cube insert_peg; do
    for states in normal hard; do
      cosmos-policy evaluate --checkpoint "$POLICY" --task "$task" --states "$states" \
        --episodes "$EPISODES" --seed "$SEED" --json "$OUT/${task}_$states.json" # plays what the file lacks
    done
  done
fi
