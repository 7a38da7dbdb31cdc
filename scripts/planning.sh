#!/usr/bin/env bash
# Whether planning and experience pay: one table for every task and set of start states, on the same scenes.
# What is there already is not done again; an interrupted training, demonstration or row goes on where it stopped.
#
#   bash scripts/planning.sh [PART...]   by default choice others rollouts judge oracle improve table report
#
#   choice    demonstrations of avoid_post, in which there are two ways, the policy that imitates both, and ways.json: how
#             often its candidates end differently
#   others    policies of other seeds, trained briefly as BASE was, whose rollouts are played too
#   rollouts  of several policies, which the judge and the improved policy learn from
#   judge     the planning checkpoint: world model and value of what those rollouts came to
#   oracle    how well it ranks the candidates of a held-out scene, one and two chunks ahead
#   improve   the policy told which chunks went better than expected (train --role improve)
#   table     the rows, each on the same scenes; those with the judge only where it ranks as far ahead as they look
#   report    OUT/table.md and OUT/table.json: all rows against the base, and what the oracle found
#
#   OUT=runs/planning        where everything goes
#   STUDIES='usual choice'   usual: BASE on the tasks that it knows; choice: avoid_post, with a policy of its own
#   BASE=models/aloha_sim    the policy; it, and the settings below, have to stay as they are until the last row is played
#   DEMOS='data/transfer_cube data/insert_peg'   demonstrations that BASE was trained on
#   TASKS='transfer_cube insert_peg', STATES='normal hard'   of the study usual; the other has normal ones alone
#   WAYS=500                 demonstrations of avoid_post
#   OTHERS=''                further checkpoint folders whose rollouts are played: early ones, other seeds
#   SEEDS='', SHORT=2000     seeds of the policies that the part others trains, and their updates
#   AUTOENCODER=runs/base/autoencoder   what those begin with
#   EXTRA=''                 further folders of rollouts of TASKS: people's failures, episodes that were mended
#   ROLLOUTS=100             episodes of every policy, task and set of states for the judge
#   EPISODES=200             scenes of a row; SEED=100000 is the seed of their first
#   ORACLE=100               scenes of the oracle, each played once for every candidate
#   CANDIDATES=8, VALUES=3   of a query that plans
#   GUIDANCE=''              plays a further row of the improved policy, asked for the better so strongly
#   WANTED=0.70              AUC within a scene that the judge has to reach; ANYWAY=1 plays its rows without
#   PACE=0.8                 seconds between two queries, in all rows
#   PRECISION=float32        arithmetic of all rows, on every machine; bfloat16 chooses otherwise here and there
#   WORKERS=2                processes side by side
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/.venv/bin:$PATH
OUT=${OUT:-runs/planning} BASE=${BASE:-models/aloha_sim} EPISODES=${EPISODES:-200} SEED=${SEED:-100000}
ROLLOUTS=${ROLLOUTS:-100} ORACLE=${ORACLE:-100} WANTED=${WANTED:-0.70} WORKERS=${WORKERS:-2}
CANDIDATES=${CANDIDATES:-8} VALUES=${VALUES:-3} GUIDANCE=${GUIDANCE:-}
AUTOENCODER=${AUTOENCODER:-runs/base/autoencoder} SHORT=${SHORT:-2000}
PACE=${PACE:-0.8} PRECISION=${PRECISION:-float32}
PARTS=" ${*:-choice others rollouts judge oracle improve table report} "
read -ra STUDIES <<< "${STUDIES:-usual choice}"
read -ra USUAL <<< "${TASKS:-transfer_cube insert_peg}"
read -ra USUAL_STATES <<< "${STATES:-normal hard}"
read -ra OTHERS <<< "${OTHERS:-}"
read -ra SEEDS <<< "${SEEDS:-}"
read -ra EXTRA <<< "${EXTRA:-}"
read -ra DEMOS <<< "${DEMOS:-data/transfer_cube data/insert_peg}"
ROWS=(base best_of_n best_of_n_depth_2 improved improved_unasked improved_guided improved_depth_2)

fail() {
  echo "$*" >&2
  exit 1
}

check_settings() { # rollouts and rows of two policies, or of two settings, would be told apart by nobody
  local file=$OUT/settings.txt now
  [[ -f $BASE/policy.json ]] || fail "there is no policy in $BASE; BASE names its folder"
  now="base $(python -c 'import sys
from pathlib import Path
from cosmos_policy_ros.data.bags.provenance import hash_checkpoint
print(hash_checkpoint(Path(sys.argv[1])))' "$BASE")
PACE=$PACE PRECISION=$PRECISION CANDIDATES=$CANDIDATES VALUES=$VALUES"
  [[ -f $file ]] || echo "$now" > "$file"
  [[ $now == "$(< "$file")" ]] || fail "$OUT was begun with
$(< "$file")
and this would be
$now
go on with the former, or choose another OUT"
}

check_folders() { # what is missing shows now, not after hours
  local folder
  [[ " ${STUDIES[*]} " == *' usual '* ]] || return 0
  for folder in "${DEMOS[@]}" "${OTHERS[@]}" "${EXTRA[@]}"; do
    [[ -d $folder ]] || fail "there is no $folder; DEMOS, OTHERS and EXTRA name folders of episodes and checkpoints"
  done
  ((!${#SEEDS[@]})) || [[ $PARTS != *' others '* || -d $AUTOENCODER ]] ||
    fail "there is no $AUTOENCODER, which SEEDS begin with; AUTOENCODER names another"
}

enter() { # study: its policy, tasks and data, and where it is decided how an episode ends
  DIR=$OUT/$1 JUDGE=$OUT/$1/judge IMPROVED=$OUT/$1/improved
  if [[ $1 == usual ]]; then
    POLICY=$BASE TASKS=("${USUAL[@]}") STATES=("${USUAL_STATES[@]}") DATA=("${DEMOS[@]}")
    OTHER=("${OTHERS[@]}" "${SEEDS[@]/#/$DIR/seed_}")
    MORE=("${EXTRA[@]}") TEMPERATURE=1 BRANCHES=(--states hard)
  else # its candidates are two plans as they are, and the first query decides which
    POLICY=$DIR/policy TASKS=(avoid_post) STATES=(normal) DATA=("$DIR/avoid_post") OTHER=()
    MORE=() TEMPERATURE=0 BRANCHES=(--states normal --between-s 0 0)
  fi
  PLANS=(--candidates "$CANDIDATES" --temperature "$TEMPERATURE" --futures 1 --values "$VALUES")
}

say() { printf '%s  %s\n' "$(date +%H:%M)" "$*"; }

evaluate() { # file, seed, episodes, task, states, options...: what the file lacks
  local file=$OUT/$1.json seed=$2 episodes=$3 task=$4 states=$5
  shift 5
  if [[ -f $file ]] && grep -q "^  \"episodes\": $episodes,\$" "$file"; then return; fi
  say "${file#"$OUT"/}: $episodes scenes of $task, $states"
  mkdir -p "${file%/*}"
  cosmos-policy evaluate --task "$task" --states "$states" --seed "$seed" --episodes "$episodes" \
    --workers "$WORKERS" --precision "$PRECISION" --replan-s "$PACE" --json "$file" "$@"
}

play() { # name, first seed, options...: rollouts on scenes of their own, below 100000
  local name=$1 seed=$2 task states to
  shift 2
  for task in "${TASKS[@]}"; do
    for states in "${STATES[@]}"; do
      to=${DIR#"$OUT"/}/rollouts/${name}_${task}_$states
      [[ -f $OUT/$to.json ]] || rm -rf "${OUT:?}/$to" # of a run that ended before its first episode did
      evaluate "$to" "$seed" "$ROLLOUTS" "$task" "$states" --record "$OUT/$to" "$@"
    done
  done
}

train() { # out, options...: from its last saved state on where it was begun
  local out=$1 begun=$1/work
  shift
  if [[ ! -f $out/figures.json ]]; then
    [[ ! -f $begun/train.yaml ]] || set -- "$@" --resume
    say "training ${out#"$OUT"/}"
    cosmos-policy train --out "$out" "$@"
  fi
  [[ -d $out/engines ]] || cosmos-policy export "$out" || true # refused, or not possible here: torch computes
}

link() { # from, to, prefix: what a training has read of its episodes, for another one, which takes minutes and room
  local from=$1/work to=$2/work file
  [[ -d $from/episodes && ! -f $2/figures.json && ! -f $to/train.yaml ]] || return 0
  mkdir -p "$to/episodes"
  for file in "$from"/episodes/*.npz; do
    cp -alu "$file" "$to/episodes/$3${file##*/}" || return 0 # on another disk: they are read again
  done
}

learn() { # out, role: from the study's demonstrations and rollouts
  local prefix='' from=$JUDGE/work to=$1/work
  ((${#DATA[@]} > 1)) || prefix=${DATA[0]##*/}- # files of a training that had no other folder have none
  link "$POLICY" "$1" "$prefix"
  if [[ $1 != "$JUDGE" && -f $from/latents.safetensors && ! -f $to/train.yaml ]]; then
    link "$JUDGE" "$1" ''
    # Their latents too, if they are of the same episodes.
    if [[ -z $(find "$DIR/rollouts" "${MORE[@]}" -newer "$from/latents.safetensors" -print -quit) ]]; then
      cp -alu "$from"/{vae,latents.safetensors} "$to" || true
    fi
  fi
  train "$1" --role "$2" --init "$POLICY" --data "${DATA[@]}" "$DIR"/rollouts/*/ "${MORE[@]}"
}

branch() { # file, scenes, task, options...: what the candidates of a scene come to; what the file lacks
  local file=$1 scenes=$2 task=$3
  shift 3
  if [[ -f $file ]] && grep -q "^  \"scenes\": $scenes,\$" "$file"; then return; fi
  say "${file#"$OUT"/}: $scenes scenes of $task"
  cosmos-policy oracle --checkpoint "$POLICY" --task "$task" "${BRANCHES[@]}" --episodes "$scenes" \
    --workers "$WORKERS" --replan-s "$PACE" --precision "$PRECISION" --json "$file" "$@"
}

row() { # name, task, options...: always the same scenes
  local name=$1 task=$2 states
  shift 2
  for states in "${STATES[@]}"; do
    evaluate "${task}_$states/$name" "$SEED" "$EPISODES" "$task" "$states" "$@"
  done
}

ranks() { # task, depth: print how well the judge ranks candidates of one held-out scene; whether well enough there
  [[ -f $DIR/oracle_$1.json ]] || { echo "$1: the part oracle was not played yet" && return 1; }
  python - "$DIR/oracle_$1.json" "$1" "$JUDGE" "$WANTED" "$2" "$ORACLE" << 'PYTHON'
import json
from pathlib import Path
import sys

file, task, judge, wanted, depth, scenes = sys.argv[1:]
figures = json.loads(Path(file).read_text(encoding='utf-8'))
if figures['scenes'] < int(scenes):
    print(f'{task}: {figures["scenes"]} of the {scenes} scenes of the part oracle were played')
    sys.exit(1)
one, two = figures[judge], figures[f'{judge}, depth 2']
told = ', '.join(
    f'{found["auc_within"]} at depth {far} (95 %: {found["auc_within_95"]})'
    for far, found in ((1, one), (2, two))
)
print(
    f'{task}: AUC within a scene {told}, wanted {wanted}, of {figures["scenes_with_both"]} scenes '
    f'with both outcomes; true states at depth 2: {figures.get("auc_true_depth_2")}'
)
reached = (one if depth == '1' else two)['auc_within']
sys.exit(reached is None or reached < float(wanted))
PYTHON
}

mkdir -p "$OUT"
if [[ $PARTS != ' report ' ]]; then
  exec 9> "$OUT/lock"
  flock -n 9 || fail "another run of this script works in $OUT"
  check_folders
  check_settings
fi

for study in "${STUDIES[@]}"; do
  enter "$study"

  if [[ $PARTS == *' choice '* && $study == choice ]]; then
    say "demonstrating ${TASKS[*]}"
    cosmos-policy demonstrate --task avoid_post --episodes "${WAYS:-500}" --seed 6000 --workers "$WORKERS" \
      --out "${DATA[0]}"
    train "$POLICY" --config config/several_ways.yaml --init "$BASE" --data "${DATA[@]}"
    branch "$DIR/ways.json" 20 avoid_post --candidates "$CANDIDATES" # choice_matters: whether they are two ways at all
  fi

  if [[ $PARTS == *' others '* && $study == usual ]]; then
    for seed in "${SEEDS[@]}"; do
      sed "s/^updates: .*/updates: $SHORT/; s/^decay: .*/decay: $((SHORT / 2))/" config/base.yaml > "$OUT/seed_$seed.yaml"
      echo "seed: $seed" >> "$OUT/seed_$seed.yaml"
      link "$BASE" "$DIR/seed_$seed" ''
      train "$DIR/seed_$seed" --config "$OUT/seed_$seed.yaml" --init "$AUTOENCODER" --data "${DATA[@]}"
    done
  fi

  if [[ $PARTS == *' rollouts '* ]]; then # 20000 and up: no training and no table has these scenes
    play base 20000 --checkpoint "$POLICY"
    if ((TEMPERATURE)); then
      play explored 30000 --checkpoint "$POLICY" --candidates 4 --temperature 2 --explore 0.5
    else
      play again 30000 --checkpoint "$POLICY"
    fi
    for i in "${!OTHER[@]}"; do
      play "other_$i" $((40000 + 1000 * i)) --checkpoint "${OTHER[i]}"
    done
  fi

  if [[ $PARTS == *' judge '* ]]; then
    learn "$JUDGE" planning
  fi

  if [[ $PARTS == *' oracle '* ]]; then
    for task in "${TASKS[@]}"; do
      branch "$DIR/oracle_$task.json" "$ORACLE" "$task" --planning-checkpoints "$JUDGE" "${PLANS[@]}" --depth 2
    done
  fi

  if [[ $PARTS == *' improve '* ]]; then
    learn "$IMPROVED" improve
  fi

  if [[ $PARTS == *' table '* ]]; then
    for task in "${TASKS[@]}"; do
      row base "$task" --checkpoint "$POLICY"
      row improved "$task" --checkpoint "$IMPROVED"
      row improved_unasked "$task" --checkpoint "$IMPROVED" --guidance 0 # what rollouts and a longer training bring alone
      [[ -z $GUIDANCE ]] || row improved_guided "$task" --checkpoint "$IMPROVED" --guidance "$GUIDANCE"
      judged=("${PLANS[@]}" --planning-checkpoint "$JUDGE")
      ranks "$task" 2 || true
      for depth in 1 2; do
        if ! ranks "$task" "$depth" > /dev/null && [[ ${ANYWAY:-0} != 1 ]]; then
          echo "the judge does not rank candidates of one scene well enough at depth $depth: no row with it there for $task"
        elif ((depth == 1)); then
          row best_of_n "$task" --checkpoint "$POLICY" "${judged[@]}"
        else
          row best_of_n_depth_2 "$task" --checkpoint "$POLICY" "${judged[@]}" --depth 2
          row improved_depth_2 "$task" --checkpoint "$IMPROVED" "${judged[@]}" --depth 2
        fi
      done
    done
  fi
done

if [[ $PARTS == *' report '* ]]; then
  files=() found=()
  for study in "${STUDIES[@]}"; do
    enter "$study"
    for task in "${TASKS[@]}"; do
      found+=("- $(ranks "$task" 2 || true)")
      for states in "${STATES[@]}"; do
        for name in "${ROWS[@]}"; do
          file=$OUT/${task}_$states/$name.json
          [[ ! -f $file ]] || files+=("$file")
        done
      done
    done
  done
  if ((${#files[@]})); then
    cosmos-policy compare "${files[@]}" --json "$OUT/table.json" > "$OUT/table.md"
    printf '%s\n' '' "${found[@]}" >> "$OUT/table.md"
    cat "$OUT/table.md"
  fi
fi
