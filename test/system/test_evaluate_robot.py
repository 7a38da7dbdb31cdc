# SPDX-License-Identifier: Apache-2.0
"""A pair of rollouts on the simulated robot, begun, ended and judged by a script."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
import shutil

from command_line import refused
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.cli import evaluate_robot
from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.resources import robot_file, share_path
from ros_domains import ros_domain

BASE = share_path('models', 'aloha_sim')
TASK = 'hand the red cube from the right gripper to the left'


@pytest.mark.slow
def test_a_pair_is_played_judged_and_goes_on_as_finished(tmp_path: Path) -> None:
    """Two rollouts of one scene, a sheet, films and bags; the second call plays nothing."""
    other = shutil.copytree(BASE, tmp_path / 'other')
    options = evaluate_robot.EvaluateRobot(
        (BASE, other), judge='sim', pairs=1, seconds=6.0, out=tmp_path / 'out'
    )
    with ros_domain() as domain:
        options = evaluate_robot.replace(options, domain=domain)
        assert evaluate_robot.run(options) == 0
    with (tmp_path / 'out' / 'rollouts.csv').open(encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(row['pair'], row['turn']) for row in rows] == [('1', '1'), ('1', '2')]
    assert {row['policy'] for row in rows} == {str(BASE), str(other)}
    for row in rows:
        assert (tmp_path / 'out' / row['film']).stat().st_size > 10_000
        assert 5.9 < float(row['seconds']) < 9.0
    bags = sorted((tmp_path / 'out').glob('pair_*/bags/rollout'))
    assert [float(read_metadata(bag)['progress']) for bag in bags] == [
        int(row['progress']) / 4 for row in rows
    ]
    figures = json.loads((tmp_path / 'out' / 'figures.json').read_text(encoding='utf-8'))
    assert figures['pairs'] == 1
    before = sorted(tmp_path.rglob('*.mcap'))
    assert evaluate_robot.run(options) == 0
    assert sorted(tmp_path.rglob('*.mcap')) == before


def real_robot_session(folder: Path) -> evaluate_robot.EvaluateRobot:
    """Return a session that asks a person before anything starts."""
    other = folder / 'other'
    other.mkdir()
    for name in ('policy.json', 'text_embeddings.safetensors'):
        shutil.copy(BASE / name, other)
    return evaluate_robot.EvaluateRobot(
        (BASE, other), robot_file('aloha_sim'), TASK, pairs=2, out=folder / 'out'
    )


def test_a_session_that_is_broken_off_names_nobody_before_it_is_revealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever judges goes on later, and must not know by then who was better."""
    options = real_robot_session(tmp_path)
    monkeypatch.setattr('sys.stdin', io.StringIO('q\nq\n'))
    assert evaluate_robot.run(options) == 0
    first = json.loads((options.out / 'session.json').read_text(encoding='utf-8'))['order'][0][0]
    judged = {'pair': 0, 'turn': 0, 'letter': first, 'success': True, 'progress': 4}
    line = json.dumps(judged | {'bag': 'pair_001_1/bags/rollout'})
    (options.out / 'results.jsonl').write_text(f'{line}\n', encoding='utf-8')
    capsys.readouterr()
    assert evaluate_robot.run(options) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert 'goes on with pair 1, and with --reveal it ends' in said
    assert 'successes' not in said
    assert not (options.out / 'score_sheet.html').exists()
    assert evaluate_robot.run(evaluate_robot.replace(options, reveal=True)) == 0
    assert '1 of 1 successes' in ' '.join(capsys.readouterr().out.split())
    assert (options.out / 'score_sheet.html').exists()


class CtrlC(io.StringIO):
    """A person who presses Ctrl-C when asked."""

    def readline(self, _size: int | None = -1, /) -> str:
        """Interrupt."""
        raise KeyboardInterrupt


def test_ctrl_c_says_how_a_session_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As q does."""
    options = real_robot_session(tmp_path)
    monkeypatch.setattr('sys.stdin', CtrlC())
    with pytest.raises(KeyboardInterrupt):
        evaluate_robot.run(options)
    said = ' '.join(capsys.readouterr().out.split())
    assert 'broken off; the same command goes on with pair 1' in said


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (['--reveal', '--out', '/nowhere'], 'nothing was judged in /nowhere yet'),
        (['--robot', 'config/robots/aloha.yaml', '--judge', 'sim'], '--robot needs --task and a'),
        (['--pairs', '0'], '--pairs must be at least 1'),
        (
            ['--robot', str(robot_file('aloha_sim')), '--task', 'fold the shirt'],
            f"{BASE}: no text embedding for the task 'fold the shirt'; this checkpoint knows",
        ),
    ],
)
def test_wrong_option_is_one_line(words: list[str], reason: str) -> None:
    """Before anything starts."""
    assert reason in refused('evaluate-robot', '--policies', str(BASE), str(BASE), *words)
