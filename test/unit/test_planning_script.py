# SPDX-License-Identifier: Apache-2.0
"""The script that plays the table of planning and experience: its commands, and what it resumes.

The script runs in a folder of its own, with a program in the place of ``cosmos-policy`` that notes
its words and writes the files that the real one would.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import shutil
import subprocess
import sys

from document_commands import check_cosmos_policy
import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'planning.sh'
STAND_IN = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
with open('words.jsonl', 'a') as log:
    log.write(json.dumps(words) + chr(10))
after = lambda name: Path(words[words.index(name) + 1])
if words[0] == 'evaluate':
    if '--record' in words:
        after('--record').mkdir(parents=True)
    after('--json').write_text('{{}}')
elif words[0] == 'oracle':
    ranked = {{'auc_within': float(os.environ['AUC'])}}
    found = {{'scenes_with_both': 9, f'{{after("--planning-checkpoints")}}, depth 2': ranked}}
    after('--json').write_text(json.dumps(found))
elif words[0] == 'train':
    after('--out').mkdir(parents=True)
    (after('--out') / 'figures.json').write_text('{{}}')
elif words[0] == 'export':
    (Path(words[1]) / 'engines').mkdir()
"""


def play(folder: Path, *parts: str, **given: str) -> tuple[list[list[str]], str]:
    """Run the script and return the commands it ran, and what it printed."""
    log = folder / 'words.jsonl'
    log.unlink(missing_ok=True)
    (folder / 'scripts').mkdir(exist_ok=True)
    shutil.copy(SCRIPT, folder / 'scripts')
    programs = folder / 'bin'
    programs.mkdir(exist_ok=True)
    (programs / 'cosmos-policy').write_text(STAND_IN, encoding='utf-8')
    (programs / 'cosmos-policy').chmod(0o755)
    (programs / 'python').unlink(missing_ok=True)
    (programs / 'python').symlink_to(sys.executable)
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


def test_every_command_would_be_taken_and_nothing_is_done_twice(tmp_path: Path) -> None:
    """Rollouts of four policies, two trainings, and six rows of four sets of scenes."""
    others = {'OTHERS': 'runs/early runs/seed_2', 'EXTRA': 'data/failures'}
    words, _ = play(tmp_path, **others)
    for command in words:
        check_cosmos_policy(command)
    counts = {name: sum(w[0] == name for w in words) for name in ('evaluate', 'train', 'oracle')}
    assert counts == {'evaluate': 4 * 4 + 6 * 4, 'train': 2, 'oracle': 2}
    again, _ = play(tmp_path, **others)
    assert {command[0] for command in again} == {'compare'}


def test_rows_have_the_same_scenes_and_rollouts_have_others(tmp_path: Path) -> None:
    """No training may have seen a scene of the table."""
    words, _ = play(tmp_path, EPISODES='50', ROLLOUTS='30')
    evaluations = [w for w in words if w[0] == 'evaluate']
    seeds = {
        (w[w.index('--seed') + 1], w[w.index('--episodes') + 1], '--record' in w)
        for w in evaluations
    }
    assert seeds == {('100000', '50', False), ('20000', '30', True), ('30000', '30', True)}


def test_judge_that_does_not_rank_plays_nothing(tmp_path: Path) -> None:
    """The rows without it are played, and all of them where somebody wants it anyway."""
    words, printed = play(tmp_path, AUC='0.6')
    planned = [w for w in words if w[0] == 'evaluate' and '--planning-checkpoint' in w]
    assert planned == []
    assert 'rows with it are not played' in printed
    anyway, _ = play(tmp_path, AUC='0.6', ANYWAY='1')
    assert sum(w[0] == 'evaluate' for w in anyway) == 3 * 4


def test_interrupted_training_is_resumed(tmp_path: Path) -> None:
    """It has a work folder and no figures yet."""
    work = tmp_path / 'runs' / 'planning' / 'judge' / 'work'
    work.mkdir(parents=True)
    (work / 'train.yaml').write_text('', encoding='utf-8')
    with pytest.raises(subprocess.CalledProcessError):  # the stand-in makes no folder twice
        play(tmp_path, 'judge')
    (command,) = (tmp_path / 'words.jsonl').read_text(encoding='utf-8').splitlines()
    assert '--resume' in json.loads(command)
