# SPDX-License-Identifier: Apache-2.0
"""The script that plays the table of planning and experience: its commands, and what it resumes.

The script runs in a folder of its own, with a program in the place of ``cosmos-policy`` that notes
its words and writes the files that the real one would.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys

from cosmos_policy_ros.resources import share_path
from document_commands import check_cosmos_policy
import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'planning.sh'
STAND_IN = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
with open('words.jsonl', 'a') as log:
    log.write(json.dumps(words) + chr(10))
word = lambda name: words[words.index(name) + 1]
if words[0] == 'evaluate':
    if '--record' in words:
        Path(word('--record')).mkdir(parents=True)
    figures = {{'episodes': int(word('--episodes')), 'results': []}}
    Path(word('--json')).write_text(json.dumps(figures, indent=2))
elif words[0] == 'oracle':
    judge = word('--planning-checkpoints') if '--planning-checkpoints' in words else 'none'
    auc = float(os.environ['AUC'])
    near = float(os.environ.get('NEAR', 0.55))
    ranked = lambda auc: {{'auc_within': auc, 'auc_within_95': [0.5, 0.9]}}
    found = {{judge: ranked(near), f'{{judge}}, depth 2': ranked(auc)}}
    counts = {{'scenes': int(word('--episodes')), 'scenes_with_both': 9}}
    figures = {{**counts, 'auc_true_depth_2': 0.88, **found}}
    Path(word('--json')).write_text(json.dumps(figures, indent=2))
elif words[0] == 'train':
    Path(word('--out'), 'work').mkdir(parents=True, exist_ok=True)
    (Path(word('--out')) / 'figures.json').write_text('{{}}')
elif words[0] == 'export':
    (Path(words[1]) / 'engines').mkdir()
elif words[0] == 'compare':
    print('| evaluation |')
"""


def play(folder: Path, *parts: str, **given: str) -> tuple[list[list[str]], str]:
    """Run the script and return the commands it ran, and what it printed."""
    log = folder / 'words.jsonl'
    log.unlink(missing_ok=True)
    (folder / 'scripts').mkdir(exist_ok=True)
    (folder / 'config').mkdir(exist_ok=True)
    for name in (
        'data/transfer_cube',
        'data/insert_peg',
        'data/failures',
        'runs/base/autoencoder',
        'runs/early',
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not (folder / 'models').exists():
        (folder / 'models' / 'aloha_sim' / 'transformer').mkdir(parents=True)
        (folder / 'models' / 'aloha_sim' / 'policy.json').write_text('{}', encoding='utf-8')
    shutil.copy(SCRIPT, folder / 'scripts')
    shutil.copy(share_path('config', 'base.yaml'), folder / 'config')
    programs = folder / 'bin'
    programs.mkdir(exist_ok=True)
    (programs / 'cosmos-policy').write_text(STAND_IN, encoding='utf-8')
    (programs / 'cosmos-policy').chmod(0o755)
    # As in an activated environment; a link to it would not find the packages.
    (programs / 'python').write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding='utf-8')
    (programs / 'python').chmod(0o755)
    path = f'{programs}:{os.environ["PATH"]}'
    result = subprocess.run(
        ['bash', 'scripts/planning.sh', *parts],
        cwd=folder,
        env={'PATH': path, 'AUC': '0.8', **given},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = log.read_text(encoding='utf-8').splitlines() if log.exists() else []
    return [json.loads(line) for line in lines], result.stdout


def values(words: list[list[str]], option: str, command: str) -> list[str]:
    """Return what an option was given in the calls of a command."""
    return [w[w.index(option) + 1] for w in words if w[0] == command and option in w]


def test_every_command_would_be_taken_and_nothing_is_done_twice(tmp_path: Path) -> None:
    """Three tasks in two studies: rollouts of their policies, trainings, and six rows of each."""
    others = {'OTHERS': 'runs/early', 'SEEDS': '2', 'EXTRA': 'data/failures'}
    words, _ = play(tmp_path, **others, NEAR='0.75')
    for command in words:
        check_cosmos_policy(command)
    names = ('demonstrate', 'evaluate', 'train', 'oracle')
    counts = {name: sum(w[0] == name for w in words) for name in names}
    rollouts, rows = 4 * 4 + 2, 6 * (2 * 2 + 1)
    trainings = ['policy', 'seed_2', 'judge', 'improved', 'judge', 'improved']
    assert counts == {
        'demonstrate': 1, 'evaluate': rollouts + rows, 'train': len(trainings), 'oracle': 4,
    }  # fmt: skip
    assert sorted(Path(out).name for out in values(words, '--out', 'train')) == sorted(trainings)
    again, _ = play(tmp_path, **others, NEAR='0.75')
    assert {command[0] for command in again} == {
        'demonstrate',
        'compare',
    }  # which see for themselves


def test_rows_have_the_same_scenes_and_rollouts_have_others(tmp_path: Path) -> None:
    """No training may have seen a scene of the table."""
    words, _ = play(tmp_path, EPISODES='50', ROLLOUTS='30')
    evaluations = [w for w in words if w[0] == 'evaluate']
    seeds = {
        (w[w.index('--seed') + 1], w[w.index('--episodes') + 1], '--record' in w)
        for w in evaluations
    }
    assert seeds == {('100000', '50', False), ('20000', '30', True), ('30000', '30', True)}


def test_ways_are_branched_where_they_part(tmp_path: Path) -> None:
    """The first query decides on which side of the post a hand comes, and both ways are plans."""
    words, _ = play(tmp_path, STUDIES='choice')
    assert values(words, '--between-s', 'oracle') == ['0', '0']
    assert set(values(words, '--temperature', 'evaluate')) == {'0'}
    assert set(values(words, '--task', 'evaluate')) == {'avoid_post'}
    assert '--explore' not in {word for command in words for word in command}


def test_row_of_which_scenes_are_missing_is_played_on(tmp_path: Path) -> None:
    """The command knows which; the file says how many there are."""
    play(tmp_path, 'rollouts', 'judge', 'oracle', 'improve', 'table', STUDIES='usual')
    file = tmp_path / 'runs' / 'planning' / 'transfer_cube_hard' / 'base.json'
    file.write_text(json.dumps({'episodes': 120, 'options': {'episodes': 200}}, indent=2))
    words, printed = play(tmp_path, 'table', STUDIES='usual')
    (command,) = words
    assert command[command.index('--json') + 1] == 'runs/planning/transfer_cube_hard/base.json'
    assert 'transfer_cube_hard/base.json: 200 scenes of transfer_cube, hard' in printed


def test_judge_that_does_not_rank_plays_nothing(tmp_path: Path) -> None:
    """The rows without it are played, and all of them where somebody wants it anyway."""
    words, printed = play(tmp_path, AUC='0.6', STUDIES='usual')
    planned = [w for w in words if w[0] == 'evaluate' and '--planning-checkpoint' in w]
    assert planned == []
    assert 'at depth 2: no row with it there for insert_peg' in printed
    anyway, _ = play(tmp_path, AUC='0.6', ANYWAY='1', STUDIES='usual')
    assert sum(w[0] == 'evaluate' for w in anyway) == 3 * 4


def test_rows_look_as_far_ahead_as_the_judge_ranks(tmp_path: Path) -> None:
    """One chunk ahead, where it ranks the states there and not those two chunks ahead."""
    words, _ = play(tmp_path, AUC='0.6', NEAR='0.75', STUDIES='choice')
    (row,) = (w for w in words if w[0] == 'evaluate' and '--planning-checkpoint' in w)
    assert row[row.index('--json') + 1].endswith('avoid_post_normal/best_of_n.json')
    assert '--depth' not in row


def refuse(folder: Path, *parts: str, **given: str) -> str:
    """Run the script, which ends at once, and return what it says."""
    with pytest.raises(subprocess.CalledProcessError) as ended:
        play(folder, *parts, **given)
    assert not (folder / 'words.jsonl').exists()
    return str(ended.value.stderr)


def test_rows_of_two_policies_or_paces_are_not_mixed(tmp_path: Path) -> None:
    """The base was trained anew and put in the place of the old one."""
    play(tmp_path, 'rollouts', STUDIES='usual')
    assert 'PACE=1.6' in refuse(tmp_path, 'rollouts', PACE='1.6').partition('this would be')[2]
    policy = tmp_path / 'models' / 'aloha_sim' / 'policy.json'
    policy.write_text('{"rate_hz": 6.25}', encoding='utf-8')
    assert 'was begun with\nbase ' in refuse(tmp_path, 'rollouts')
    policy.unlink()
    assert 'there is no policy in models/aloha_sim' in refuse(tmp_path, 'rollouts')


def test_what_is_missing_shows_before_anything_is_played(tmp_path: Path) -> None:
    """Folders of demonstrations are read hours after the first rollout."""
    assert 'there is no data/cubes' in refuse(tmp_path, DEMOS='data/cubes')
    assert 'there is no runs/late' in refuse(tmp_path, OTHERS='runs/late')
    assert 'there is no runs/vae' in refuse(tmp_path, SEEDS='1', AUTOENCODER='runs/vae')


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    """They would play every row twice at a time, and write over each other."""
    (tmp_path / 'runs' / 'planning').mkdir(parents=True)
    with (tmp_path / 'runs' / 'planning' / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert 'another run of this script works in runs/planning' in refuse(tmp_path)
        play(tmp_path, 'report')  # only looks


def leave(folder: Path, *names: str) -> None:
    """Write what a training leaves in its work folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding='utf-8')


def test_what_one_training_has_read_the_next_one_does_not_read_again(tmp_path: Path) -> None:
    """Episodes and their latents are links to those of the judge, which take no room."""
    play(tmp_path, 'rollouts', 'judge', STUDIES='usual')
    study = tmp_path / 'runs' / 'planning' / 'usual'
    latents = ('vae/w', 'latents.safetensors')
    leave(study / 'judge' / 'work', 'episodes/a.npz', 'episodes/left_out.json', *latents)
    improved = study / 'improved' / 'work'
    play(tmp_path, 'improve', STUDIES='usual')
    linked = {str(p.relative_to(improved)): p.stat().st_nlink for p in improved.rglob('*.*')}
    assert linked == {'episodes/a.npz': 2, 'latents.safetensors': 2}
    assert (improved / 'vae' / 'w').exists()


def test_latents_of_other_rollouts_are_not_taken(tmp_path: Path) -> None:
    """Of some that were played after the judge was trained there are none."""
    play(tmp_path, 'rollouts', 'judge', STUDIES='usual')
    study = tmp_path / 'runs' / 'planning' / 'usual'
    leave(study / 'judge' / 'work', 'vae/w', 'latents.safetensors')
    os.utime(study / 'judge' / 'work' / 'latents.safetensors', (0, 0))
    play(tmp_path, 'improve', STUDIES='usual')
    assert not (study / 'improved' / 'work' / 'latents.safetensors').exists()


def test_episodes_of_one_folder_are_called_as_beside_others(tmp_path: Path) -> None:
    """A training that reads a single folder calls them by their own names."""
    play(tmp_path, 'choice', 'rollouts', STUDIES='choice')
    study = tmp_path / 'runs' / 'planning' / 'choice'
    leave(study / 'policy' / 'work', 'episodes/episode_006000.npz')
    play(tmp_path, 'judge', STUDIES='choice')
    assert (study / 'judge' / 'work' / 'episodes' / 'avoid_post-episode_006000.npz').exists()


def test_table_has_all_rows_and_what_the_oracle_found(tmp_path: Path) -> None:
    """One command compares them, each with the base of its own task and states."""
    words, printed = play(tmp_path, NEAR='0.75')
    (compared,) = (w for w in words if w[0] == 'compare')
    files = [word for word in compared if word.endswith('.json')]
    assert files[:3] == [
        'runs/planning/transfer_cube_normal/base.json',
        'runs/planning/transfer_cube_normal/best_of_n.json',
        'runs/planning/transfer_cube_normal/best_of_n_depth_2.json',
    ]
    assert len(files) == 6 * 5 + 1
    assert files[-1] == 'runs/planning/table.json'
    table = (tmp_path / 'runs' / 'planning' / 'table.md').read_text(encoding='utf-8')
    assert printed.endswith(table)
    assert table.splitlines()[0] == '| evaluation |'
    told = '- avoid_post: AUC within a scene 0.75 at depth 1 (95 %: [0.5, 0.9]), 0.8 at depth 2 '
    scenes = 'wanted 0.70, of 9 scenes with both outcomes; true states at depth 2: 0.88'
    assert f'{told}(95 %: [0.5, 0.9]), {scenes}' in table


def test_policies_of_other_seeds_are_trained_as_the_base_but_briefly(tmp_path: Path) -> None:
    """The configuration of the base, with another seed and fewer updates."""
    words, _ = play(tmp_path, 'others', SEEDS='5', SHORT='300')
    (command,) = (w for w in words if w[0] == 'train')
    config = yaml.safe_load((tmp_path / command[command.index('--config') + 1]).read_text('utf-8'))
    base = yaml.safe_load(share_path('config', 'base.yaml').read_text(encoding='utf-8'))
    assert config == {**base, 'updates': 300, 'decay': 150, 'seed': 5}
    assert command[command.index('--init') + 1] == 'runs/base/autoencoder'


def test_interrupted_training_is_resumed(tmp_path: Path) -> None:
    """It has a work folder and no figures yet."""
    work = tmp_path / 'runs' / 'planning' / 'usual' / 'judge' / 'work'
    work.mkdir(parents=True)
    (work / 'train.yaml').write_text('', encoding='utf-8')
    words, _ = play(tmp_path, 'judge', STUDIES='usual')
    assert '--resume' in next(w for w in words if w[0] == 'train')
