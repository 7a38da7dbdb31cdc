#!/usr/bin/env bash
# What planning and experience add to the policy, and what its training and its settings do: measured on
# both tasks. What is there already is not done again, so an interrupted run goes on where it stopped.
#
#   bash scripts/learning.sh [PART...]   by default tables oracle imitation round2 settings report
#                                        ablations: short trainings on the demonstrations of the cube
#                                        displaced: candidates that differ, and a judge that has seen such
#                                        hardness: hard states without one of their ingredients
#
#   OUT=runs/learning        where everything goes
#   BASE=models/aloha_sim    the policy; BASE= trains one from nothing first, UPDATES=21000 of them
#   TASKS='transfer_cube insert_peg'
#   CUBES=600, PEGS=900      demonstrations of each
#   NORMAL=200, HARD=200     rollouts of each task, half of it in the second round
#   EPISODES=200             episodes of one measurement
#   SEED=100000              seed of their first scene
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/.venv/bin:$PATH
OUT=${OUT:-runs/learning} BASE=${BASE-models/aloha_sim} EPISODES=${EPISODES:-200} SEED=${SEED:-100000}
UPDATES=${UPDATES:-21000}
PARTS=${*:-tables oracle imitation round2 settings report}
read -ra TASKS <<< "${TASKS:-transfer_cube insert_peg}"
STATES=(normal hard)
DEMOS=("${TASKS[@]/#/$OUT/}")
mkdir -p "$OUT"

demonstrate() { # tasks: those episodes that are not there yet
  local -A counts=([transfer_cube]=${CUBES:-600} [insert_peg]=${PEGS:-900})
  local -A firsts=([transfer_cube]=600 [insert_peg]=2000)
  local task
  for task in "$@"; do
    cosmos-policy demonstrate --task "$task" --episodes "${counts[$task]}" --seed "${firsts[$task]}" --out "$OUT/$task"
  done
}

train() { # out, options...
  local out=$1 begun=$1/work
  shift
  if [[ ! -f $out/figures.json ]]; then
    [[ -f $begun/train.yaml ]] && set -- "$@" --resume
    cosmos-policy train --out "$out" "$@"
  fi
  [[ -d $out/engines ]] || cosmos-policy export "$out" || true # refused, or not possible here: torch computes
}

share() { # from, to: images that were read and encoded already, for a training on the same episodes
  local from=$1/work to=$2/work
  [[ -f $from/latents.safetensors && ! -d $to/episodes ]] || return 0
  mkdir -p "$to"
  cp -rl "$from"/{episodes,latents.safetensors} "$to"
}

evaluate() { # name, seed, task, states, options...
  local file=$OUT/$1.json seed=$2 task=$3 states=$4
  shift 4
  if [[ -f $file ]] && grep -q "^  \"episodes\": $EPISODES,\$" "$file"; then return; fi # else it lacks some
  cosmos-policy evaluate --task "$task" --states "$states" --seed "$seed" \
    --episodes "$EPISODES" --seam blend --json "$file" "$@"
}

measure() { # name, options...: on all tasks and states
  local name=$1 task states
  shift
  for task in "${TASKS[@]}"; do
    for states in "${STATES[@]}"; do
      evaluate "${name}_${task}_$states" "$SEED" "$task" "$states" "$@"
    done
  done
}

rollouts() { # name, first seed, options...: on scenes of their own, below 100000
  local -A counts=([normal]=${NORMAL:-200} [hard]=${HARD:-200})
  local name=rollouts_$1 seed=$2 task states to
  shift 2
  for task in "${TASKS[@]}"; do
    for states in "${STATES[@]}"; do
      to=${name}_${task}_$states
      [[ -f $OUT/$to.json ]] || rm -rf "${OUT:?}/$to" # of a run that ended before its first episode did
      EPISODES=${counts[$states]} evaluate "$to" "$seed" "$task" "$states" --record "$OUT/$to" "$@"
    done
  done
}

if [[ -z $BASE || " $PARTS " =~ \ (tables|imitation|round2|displaced)\  ]]; then
  demonstrate "${TASKS[@]}"
fi
if [[ -z $BASE ]]; then
  BASE=$OUT/base
  sed "s/^updates: .*/updates: $UPDATES/; s/^decay: .*/decay: $((UPDATES / 3))/" config/train.yaml > "$BASE.yaml"
  train "$BASE" --data "${DEMOS[@]}" --config "$BASE.yaml"
fi
plan=(--candidates 8 --selection reference --no-paired --futures 1 --values 1 --planning-checkpoint)

if [[ " $PARTS " == *' tables '* ]]; then
  rollouts 1 31000 --checkpoint "$BASE"
  train "$OUT/planning_1" --role planning --init "$BASE" --data "${DEMOS[@]}" "$OUT"/rollouts_1_*/
  measure base --checkpoint "$BASE"
  measure best_of_8 --checkpoint "$BASE" --candidates 8 --selection reference
  measure planning_1 --checkpoint "$BASE" "${plan[@]}" "$OUT/planning_1"
fi

if [[ " $PARTS " == *' oracle '* ]]; then # what the best choice could gain, and what a value takes of it
  for task in "${TASKS[@]}"; do
    file=$OUT/oracle_$task.json
    cosmos-policy oracle --checkpoint "$BASE" --task "$task" --states hard \
      --episodes 60 --planning-checkpoints "$OUT/planning_1" --futures 3 --values 5 --json "$file"
  done
fi

if [[ " $PARTS " == *' imitation '* ]]; then # the policy itself learns from what went well
  out=$OUT/imitation_1
  share "$OUT/planning_1" "$out"
  sed 's/^value_kind: .*/value_kind: value/; s/^action_weight: .*/action_weight: 100.0/; s/^  demo: .*/  demo: 0.5/
    s/^  reuse_demos: .*/  imitate_rollouts: true/' config/planning.yaml > "$out.yaml"
  train "$out" --config "$out.yaml" --init "$BASE" --data "${DEMOS[@]}" "$OUT"/rollouts_1_*/
  measure imitation_1 --checkpoint "$out"
fi

if [[ " $PARTS " == *' round2 '* ]]; then # the same again, half as much played by what the first round made
  NORMAL=$((${NORMAL:-200} / 2)) HARD=$((${HARD:-200} / 2)) \
    rollouts 2 32000 --checkpoint "$BASE" "${plan[@]}" "$OUT/planning_1"
  sed 's/^updates: .*/updates: 1500/; s/^decay: .*/decay: 750/' config/planning.yaml > "$OUT/planning_2.yaml"
  train "$OUT/planning_2" --role planning --config "$OUT/planning_2.yaml" --init "$OUT/planning_1" \
    --data "${DEMOS[@]}" "$OUT"/rollouts_[12]_*/
  measure planning_2 --checkpoint "$BASE" "${plan[@]}" "$OUT/planning_2"
fi

if [[ " $PARTS " == *' displaced '* ]]; then # more to choose from, and rollouts that show what comes of it
  spread=(--spread-rad 0.03)
  for task in "${TASKS[@]}"; do
    file=$OUT/oracle_displaced_$task.json
    cosmos-policy oracle --checkpoint "$BASE" --task "$task" --states hard \
      --episodes 36 "${spread[@]}" --planning-checkpoints "$OUT/planning_1" --json "$file"
  done
  rollouts displaced 31000 --checkpoint "$BASE" "${spread[@]}" --explore 0.6
  sed 's/^updates: .*/updates: 2000/; s/^decay: .*/decay: 1200/; s/^learning_rate: .*/learning_rate: 0.0006/' \
    config/planning.yaml > "$OUT/planning_displaced.yaml"
  train "$OUT/planning_displaced" --role planning --config "$OUT/planning_displaced.yaml" \
    --init "$OUT/planning_1" --data "${DEMOS[@]}" "$OUT"/rollouts_displaced_*/
  measure planning_displaced --checkpoint "$BASE" "${spread[@]}" "${plan[@]}" "$OUT/planning_displaced"
fi

if [[ " $PARTS " == *' hardness '* ]]; then # what makes the hard states hard
  for task in "${TASKS[@]}"; do
    evaluate "base_${task}_hard" "$SEED" "$task" hard --checkpoint "$BASE"
    for name in push place turn looks; do
      evaluate "without_${name}_$task" "$SEED" "$task" hard --checkpoint "$BASE" --without "$name"
    done
  done
fi

if [[ " $PARTS " == *' settings '* ]]; then # of the policy as it is
  for task in "${TASKS[@]}"; do
    for steps in 1 10; do
      evaluate "steps_${steps}_$task" "$SEED" "$task" normal --checkpoint "$BASE" --steps "$steps"
    done
    for replan_s in 0.4 1.2; do
      evaluate "replan_${replan_s}_$task" "$SEED" "$task" normal --checkpoint "$BASE" --replan-s "$replan_s"
    done
  done
fi

ablate() { # name, lines of YAML...: a short training on the cube alone, equal but for these lines
  local out=$OUT/ablation_$1 line
  shift
  share "$OUT/ablation_all" "$out"
  mkdir -p "$out/work"
  cp -r "$BASE/vae" "$out/work" # the base's autoencoder
  sed 's/^updates: .*/updates: 2000/; s/^decay: .*/decay: 1000/; s/^action_weight: .*/action_weight: 12.0/' \
    config/train.yaml > "$out.yaml"
  for line in "$@"; do # instead of the one that is there
    sed -i "/^${line%%:*}:/d" "$out.yaml"
    echo "$line" >> "$out.yaml"
  done
  train "$out" --data "$OUT/transfer_cube" --config "$out.yaml"
  # Not later than a chunk of 0.64 s allows, which is the shortest here.
  evaluate "${out##*/}" "$SEED" transfer_cube normal --checkpoint "$out" --replan-s 0.4
}

if [[ " $PARTS " == *' ablations '* ]]; then
  demonstrate transfer_cube
  ablate all
  ablate weight_100 'action_weight: 100.0'
  ablate policy_only 'mixture: {demo: 1.0}'
  ablate action_only 'mixture: {demo: 1.0}' 'joint: false'
  ablate horizon_8 'horizon: 8' # more than 16 rows do not fit a latent frame
fi

compare() { # title, names...: those that were measured
  local title=$1 name files=()
  shift
  for name in "$@"; do
    [[ -f $OUT/$name.json ]] && files+=("$OUT/$name.json")
  done
  ((${#files[@]})) || return 0
  printf '\n### %s\n\n' "$title"
  cosmos-policy compare "${files[@]}" --plot "$OUT/${title//[ ,]/_}.png"
}

if [[ " $PARTS " == *' report '* ]]; then
  for task in "${TASKS[@]}"; do
    for states in "${STATES[@]}"; do
      at=_${task}_$states
      compare "$task, $states" {base,best_of_8,planning_1,planning_2,planning_displaced,imitation_1}"$at"
    done
    compare "$task, ingredients" "base_${task}_hard" "without_"{push,place,turn,looks}"_$task"
    compare "$task, denoising steps" "base_${task}_normal" "steps_1_$task" "steps_10_$task"
    compare "$task, time between queries" "base_${task}_normal" "replan_"{0.4,1.2}"_$task"
  done
  compare 'training' ablation_{all,weight_100,policy_only,action_only,horizon_8}
fi
