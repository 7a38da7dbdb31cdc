# SPDX-License-Identifier: Apache-2.0
"""What an evaluation takes from the report of a demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.cli.evaluate import Evaluate, run
from cosmos_policy_ros.evaluation import read_live_pace
from cosmos_policy_ros.types import ConfigError
import pytest

OPTIONS = {
    'checkpoint': 'models/aloha_sim',
    'planning_checkpoint': None,
    'task': 'insert_peg',
    'states': 'hard',
    'episodes': 5,
    'seed': 7,
    'keep': [],
    'futures': 0,
    'values': 0,
    'robot': 'config/robots/aloha_sim.yaml',
}


def answer(query_ms: float, n: int = 2) -> dict[str, Any]:
    """Return an answer with n candidates."""
    ages_ms = [30.0, 50.0, 70.0]
    return {'query_ms': query_ms, 'values': [0.5] * n, 'steps_used': n, 'image_ages_ms': ages_ms}


def write_report(tmp_path: Path, *episodes: list[dict[str, Any]]) -> Path:
    """Return a report of these answers."""
    file = tmp_path / 'report.json'
    report = {
        'episodes': [{'candidates': answers} for answers in episodes],
        'pace': {'replan_s': 0.6, 'margin_s': 0.1, 'seam': 'blend'},
        'options': OPTIONS,
    }
    file.write_text(json.dumps(report), encoding='utf-8')
    return file


def test_first_answer_of_a_run_is_left_out(tmp_path: Path) -> None:
    """It comes from a machine that has just started."""
    file = write_report(tmp_path, [answer(900.0, 1), answer(200.0, 4)], [answer(300.0, 4)])
    pace = read_live_pace(file)
    assert pace.latencies_s == pytest.approx((0.2, 0.3))
    assert pace.image_ages_s == pytest.approx((0.03, 0.05, 0.07) * 2)
    assert (pace.replan_s, pace.margin_s) == (0.6, 0.1)
    assert (pace.candidates, pace.steps) == (4, 4)
    assert pace.options['episodes'] == 2  # as many as were played
    assert str(pace) == (
        '2 answers after 250 ms (p99 299), images of 50 ms (p99 70), a query every 0.6 s, '
        '4 candidates, seam blend'
    )


def test_report_without_answers_is_refused(tmp_path: Path) -> None:
    """There is no latency to play."""
    with pytest.raises(ConfigError, match='has 1 answers, and the first is left out'):
        read_live_pace(write_report(tmp_path, [answer(100.0)]))


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Also the report of an earlier version, which knows no image ages."""
    with pytest.raises(ConfigError, match=r'none\.json is no report\.json of cosmos-policy demo'):
        read_live_pace(tmp_path / 'none.json')
    old = {'query_ms': 100.0, 'values': [0.5], 'steps_used': 5}
    with pytest.raises(ConfigError, match='image_ages_ms'):
        read_live_pace(write_report(tmp_path, [old, old]))


def test_pace_is_given_once(tmp_path: Path) -> None:
    """By a report or by numbers."""
    file = write_report(tmp_path, [answer(100.0), answer(100.0)])
    with pytest.raises(ConfigError, match='give no --replan-s or --latency-s besides'):
        run(Evaluate(latency_from=file, latency_s=0.3))


@pytest.mark.slow
def test_scenes_are_those_of_the_demo_unless_others_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is taken stands in one line, and in the file of the figures."""
    report = write_report(tmp_path, [answer(100.0, 1), answer(150.0, 1)])
    file = tmp_path / 'evaluation.json'
    assert run(Evaluate(latency_from=report, workers=1, json=file)) == 0
    printed = ' '.join(capsys.readouterr().out.split())
    assert (
        'a query every 0.6 s, 1 candidates, seam blend; 1 scenes of insert_peg from seed 7, hard'
        in printed
    )
    figures = json.loads(file.read_text(encoding='utf-8'))
    options = figures['options']
    assert (options['task'], options['seed'], options['episodes']) == ('insert_peg', 7, 1)
    assert (options['replan_s'], options['candidates'], options['seam']) == (0.6, 1, 'blend')
    assert figures['results'][0]['seed'] == 7
