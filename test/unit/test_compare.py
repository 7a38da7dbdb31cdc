# SPDX-License-Identifier: Apache-2.0
"""Evaluations side by side."""

from __future__ import annotations

import json
from pathlib import Path

from cosmos_policy_ros.cli.compare import Compare, run
from cosmos_policy_ros.types import ConfigError
from PIL import Image
import pytest


def write(path: Path, successes: list[bool], seed: int = 0, states: str = 'normal') -> Path:
    """Write what an evaluation of some episodes would."""
    results = [
        {'seed': seed + i, 'success': s, 'middle_value': 0.2 + 0.5 * s}
        for i, s in enumerate(successes)
    ]
    n = len(successes)
    figures = {'episodes': n, 'successes': sum(successes), 'success_rate': sum(successes) / n}
    figures |= {'value_auc': 1.0, 'query_ms': {'p50': 70.0}}
    options = {'task': 'cube', 'states': states, 'suite': None}
    path.write_text(json.dumps({**figures, 'results': results, 'options': options}))
    return path


def test_same_scenes_are_compared_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two won and one lost in ten."""
    first = write(tmp_path / 'base.json', [True] * 5 + [False] * 5)
    other = write(tmp_path / 'best.json', [True] * 4 + [False] + [True] * 2 + [False] * 3)
    assert run(Compare((first, other), tmp_path / 'plot.png')) == 0
    text = capsys.readouterr().out
    assert '| base | 10 | 50.0 % | 23.7–76.3 % | 1.00 | 70 ms |  |' in text
    assert '| best | 10 | 60.0 % |' in text
    assert '+10.0 points (-27.9 to +44.5): 2 won, 1 lost, p = 1.000' in text
    assert Image.open(tmp_path / 'plot.png').size == (1210, 462)


def test_other_scenes_are_not_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the rates alone are compared."""
    first = write(tmp_path / 'a.json', [True, False])
    run(Compare((first, write(tmp_path / 'b.json', [True, True], seed=50))))
    assert '+50.0 points, other scenes' in capsys.readouterr().out


def test_every_task_and_set_of_states_has_a_table_against_its_own_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command makes the tables of a study, and a file of their rows."""
    files = [
        write(tmp_path / 'base.json', [True] * 3 + [False]),
        write(tmp_path / 'hard_base.json', [False] * 4, states='hard'),
        write(tmp_path / 'hard_better.json', [True] * 4, states='hard'),
    ]
    run(Compare(tuple(files), json=tmp_path / 'table.json'))
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith('#')] == [
        '### cube, normal',
        '### cube, hard',
    ]
    assert '| base | 4 | 75.0 % | 30.1–95.4 % | 1.00 | 70 ms |  |' in text
    assert '| hard_base | 4 | 0.0 % | 0.0–49.0 % | 1.00 | 70 ms |  |' in text
    assert '+100.0 points (+7.0 to +100.0): 4 won, 0 lost, p = 0.125' in text
    rows = json.loads((tmp_path / 'table.json').read_text())
    assert [(row['evaluation'], row['states']) for row in rows] == [
        ('base', 'normal'), ('hard_base', 'hard'), ('hard_better', 'hard'),
    ]  # fmt: skip
    assert [row['against'] for row in rows[:2]] == [None, None]
    assert (rows[2]['against']['difference'], rows[2]['against']['p']) == (1.0, 0.125)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """The line names it."""
    file = tmp_path / 'x.json'
    file.write_text('{"episodes": 3}')
    with pytest.raises(ConfigError, match=r'x\.json is no file of cosmos-policy evaluate'):
        run(Compare((file,)))
