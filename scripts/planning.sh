#!/usr/bin/env bash
# Whether planning and experience pay: one table for every task and set of start states, on the same scenes.
# What is there already is not done again, so an interrupted run goes on where it stopped.
#
#   bash scripts/planning.sh [PART...]   by default rollouts judge oracle improve table report
#
#   rollouts  of several policies, which the judge and the improved policy learn from
#   judge     the planning checkpoint: world model and value of what those rollouts came to
#   oracle    how well it ranks the candidates of a held-out scene, one and two chunks ahead
#   improve   the policy told which chunks went better than expected (train --role improve)
#   table     the rows, each on the same scenes; rows that need the judge only where it ranks (ANYWAY=1 plays them)
#   report    prints the tables and what the oracle found
#
#   OUT=runs/planning        where everything goes
#   BASE=models/aloha_sim    the policy
#   OTHERS=''                further checkpoint folders whose rollouts are played: early ones, other seeds
#   EXTRA=''                 further folders of rollouts: people's failures, episodes that were mended
#   DEMOS='data/transfer_cube data/insert_peg'   demonstrations that BASE was trained on
#   TASKS='transfer_cube insert_peg', STATES='normal hard'
#   ROLLOUTS=100             episodes of every policy, task and set of states for the judge
#   EPISODES=200             scenes of a row
#   SEED=100000              seed of their first scene
#   ORACLE=60                scenes of the oracle, each played once for every candidate
#   WANTED=0.70              AUC within a scene, two chunks ahead, that the judge has to reach
#   WORKERS=2                processes side by side
#
# A task in which there is a choice has a base of its own: BASE=runs/multimodal OUT=runs/planning_multimodal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/.venv/bin:$PATH
OUT=${OUT:-runs/planning} BASE=${BASE:-models/aloha_sim} EPISODES=${EPISODES:-200} SEED=${SEED:-100000}
ROLLOUTS=${ROLLOUTS:-100} ORACLE=${ORACLE:-60} WANTED=${WANTED:-0.70} WORKERS=${WORKERS:-2}
PARTS=" ${*:-rollouts judge oracle improve table report} "
read -ra TASKS <<< "${TASKS:-transfer_cube insert_peg}"
read -ra STATES <<< "${STATES:-normal hard}"
read -ra OTHERS <<< "${OTHERS:-}"
read -ra EXTRA <<< "${EXTRA:-}"
read -ra DEMOS <<< "${DEMOS:-data/transfer_cube data/insert_peg}"
JUDGE=$OUT/judge IMPROVED=$OUT/improved
PLANS=(--candidates 8 --temperature 1 --futures 1 --values 3) # different plans, and how sure their values are
JUDGED=(--planning-checkpoint "$JUDGE")
mkdir -p "$OUT"

evaluate() { # name, seed, task, states, options...
  local file=$OUT/$1.json seed=$2 task=$3 states=$4
  shift 4
  [[ -f $file ]] || cosmos-policy evaluate --task "$task" --states "$states" --seed "$seed" \
    --episodes "$EPISODES" --workers "$WORKERS" --json "$file" "$@"
}

play() { # name, first seed, options...: rollouts on scenes of their own, below 100000
  local name=$1 seed=$2 task states to
  shift 2
  for task in "${TASKS[@]}"; do
    for states in "${STATES[@]}"; do
      to=rollouts_${name}_${task}_$states
      [[ -f $OUT/$to.json ]] || rm -rf "${OUT:?}/$to" # an interrupted one begins again
      EPISODES=$ROLLOUTS evaluate "$to" "$seed" "$task" "$states" --record "$OUT/$to" "$@"
    done
  done
}

train() { # out, options...: from its last saved state on where it was begun
  local out=$1 begun=$1/work
  shift
  if [[ ! -f $out/figures.json ]]; then
    [[ ! -f $begun/train.yaml ]] || set -- "$@" --resume
    cosmos-policy train --out "$out" --init "$BASE" --data "${DEMOS[@]}" "$OUT"/rollouts_*/ "${EXTRA[@]}" "$@"
  fi
  [[ -d $out/engines ]] || cosmos-policy export "$out" || true # refused, or not possible here: torch computes
}

row() { # name, options...: on all tasks and states, always the same scenes
  local name=$1 task states
  shift
  for task in "${TASKS[@]}"; do
    for states in "${STATES[@]}"; do
      evaluate "${name}_${task}_$states" "$SEED" "$task" "$states" "$@"
    done
  done
}

ranks() { # task: whether the judge reaches WANTED two chunks ahead on the held-out scenes
  python - "$OUT/oracle_$1.json" "$JUDGE, depth 2" "$WANTED" << 'PYTHON'
import json
from pathlib import Path
import sys

file, judge, wanted = sys.argv[1:]
figures = json.loads(Path(file).read_text(encoding='utf-8'))
auc = figures[judge]['auc_within']
print(f'{file}: AUC within a scene {auc} of {figures["scenes_with_both"]} scenes, wanted {wanted}')
sys.exit(auc is None or auc < float(wanted))
PYTHON
}

if [[ $PARTS == *' rollouts '* ]]; then # 20000 and up: no training and no table has these scenes
  play base 20000 --checkpoint "$BASE"
  play explored 30000 --checkpoint "$BASE" --candidates 4 --temperature 2 --explore 0.5
  for i in "${!OTHERS[@]}"; do
    play "other_$i" $((40000 + 1000 * i)) --checkpoint "${OTHERS[i]}"
  done
fi

if [[ $PARTS == *' judge '* ]]; then
  train "$JUDGE" --role planning
fi

if [[ $PARTS == *' oracle '* ]]; then
  for task in "${TASKS[@]}"; do
    file=$OUT/oracle_$task.json
    [[ -f $file ]] || cosmos-policy oracle --checkpoint "$BASE" --planning-checkpoints "$JUDGE" --task "$task" \
      --states hard --episodes "$ORACLE" --workers "$WORKERS" "${PLANS[@]}" --depth 2 --json "$file"
  done
fi

if [[ $PARTS == *' improve '* ]]; then
  train "$IMPROVED" --role improve
fi

if [[ $PARTS == *' table '* ]]; then
  row base --checkpoint "$BASE"
  row improved --checkpoint "$IMPROVED"
  row improved_guided --checkpoint "$IMPROVED" --guidance 2
  ranked=yes
  for task in "${TASKS[@]}"; do
    ranks "$task" || ranked=no
  done
  if [[ $ranked == yes || ${ANYWAY:-0} == 1 ]]; then
    row best_of_8 --checkpoint "$BASE" "${PLANS[@]}" "${JUDGED[@]}"
    row best_of_8_depth_2 --checkpoint "$BASE" "${PLANS[@]}" "${JUDGED[@]}" --depth 2
    row improved_depth_2 --checkpoint "$IMPROVED" "${PLANS[@]}" "${JUDGED[@]}" --depth 2
  else
    echo 'the judge does not rank candidates of one scene well enough; rows with it are not played'
  fi
fi

if [[ $PARTS == *' report '* ]]; then
  for task in "${TASKS[@]}"; do
    [[ ! -f $OUT/oracle_$task.json ]] || ranks "$task" || true
    for states in "${STATES[@]}"; do
      files=()
      for name in base best_of_8 best_of_8_depth_2 improved improved_guided improved_depth_2; do
        [[ ! -f $OUT/${name}_${task}_$states.json ]] || files+=("$OUT/${name}_${task}_$states.json")
      done
      ((${#files[@]})) || continue
      printf '\n### %s, %s\n\n' "$task" "$states"
      cosmos-policy compare "${files[@]}" --plot "$OUT/${task}_$states.png"
    done
  done
fi
