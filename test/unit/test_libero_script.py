# SPDX-License-Identifier: Apache-2.0
"""The script that trains a policy for LIBERO: its commands, and what it does not do twice.

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

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.training.config import check_cameras, read_train_config
from document_commands import check_cosmos_policy, ROOT
import pytest

STAND_IN = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
with open('words.jsonl', 'a') as log:
    log.write(json.dumps([os.nice(0), *words]) + chr(10))
after = lambda name: Path(words[words.index(name) + 1])
if words[0] == 'train':
    work = after('--out') / 'work'
    assert work.exists() == ('--resume' in words)
    work.mkdir(parents=True, exist_ok=True)
    (work / 'train.yaml').write_text('')
    if os.environ.get('KILLED'):
        sys.exit(137)
    (after('--out') / 'figures.json').write_text('{{}}')
elif words[0] == 'export':
    (Path(words[1]) / 'engines').mkdir()
"""


def play(folder: Path, *parts: str, **given: str) -> list[list[str]]:
    """Run the script and return the commands it ran, the niceness of each before them."""
    log = folder / 'words.jsonl'
    log.unlink(missing_ok=True)
    (folder / 'scripts').mkdir(exist_ok=True)
    shutil.copy(ROOT / 'scripts' / 'train_libero.sh', folder / 'scripts')
    programs = folder / 'env' / 'bin'
    programs.mkdir(parents=True, exist_ok=True)
    (programs / 'cosmos-policy').write_text(STAND_IN, encoding='utf-8')
    (programs / 'cosmos-policy').chmod(0o755)
    subprocess.run(
        ['bash', 'scripts/train_libero.sh', *parts],
        cwd=folder,
        env={'PATH': os.environ['PATH'], 'VENV': 'env', **given},
        check=True,
        capture_output=True,
    )
    return [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]


def test_every_command_would_be_taken_and_no_training_is_done_twice(tmp_path: Path) -> None:
    """Demonstrations and trials go on by themselves with what they find."""
    words = play(tmp_path)
    for _, *command in words:
        check_cosmos_policy(command)
    assert [command[1] for command in words] == [
        'demonstrate', 'train', 'export', 'evaluate', 'compare',
    ]  # fmt: skip
    assert [command[1] for command in play(tmp_path)] == ['demonstrate', 'evaluate', 'compare']


def test_interrupted_training_is_resumed(tmp_path: Path) -> None:
    """It has a work folder and no figures yet."""
    with pytest.raises(subprocess.CalledProcessError):
        play(tmp_path, 'policy', KILLED='yes')
    (command,) = play(tmp_path, 'policy')
    assert command[-1] == '--resume'


def test_training_reads_what_is_recorded_for_the_robot_of_libero(tmp_path: Path) -> None:
    """One folder, the configuration beside it, and measured start states that none of it has."""
    recorded, trained, _, evaluated, _ = play(tmp_path, NICE='12')
    assert recorded[0] >= 12
    folder = recorded[recorded.index('--out') + 1]
    assert trained[trained.index('--data') + 1] == folder == 'runs/libero/demonstrations'
    config, robot = (ROOT / trained[trained.index(o) + 1] for o in ('--config', '--robot'))
    check_cameras(read_train_config(config), read_robot(robot, simulated=True))
    assert '--seed' in recorded
    assert '--seed' not in evaluated
