# SPDX-License-Identifier: Apache-2.0
"""What a demo reports, from the events of its operator and the output of its nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.report.demo_plot import _draw_values
from cosmos_policy_ros.report.demo_summary import make_report
from cosmos_policy_ros.stack.running import explain_end
from cosmos_policy_ros.terminal.demo import OUTPUTS
from cosmos_policy_ros.terminal.live import prepare_folder
from cosmos_policy_ros.types import ConfigError
from matplotlib.figure import Figure


def test_error_of_a_node_is_passed_on(tmp_path: Path) -> None:
    """Without the logger's prefix."""
    log = tmp_path / 'planner.log'
    log.write_text('[ERROR] [12.5] [cosmos_policy_ros]: no robot file x\n', encoding='utf-8')
    error = explain_end('planner', 1, log)
    assert isinstance(error, ConfigError)
    assert str(error) == 'planner: no robot file x'


def test_crash_of_a_node_shows_its_last_lines(tmp_path: Path) -> None:
    """A traceback is for whoever mends the node."""
    log = tmp_path / 'sim.log'
    log.write_text('Traceback\n  line\nValueError: x\n', encoding='utf-8')
    error = explain_end('sim', -9, log)
    assert isinstance(error, ChildProcessError)
    assert str(error).startswith('sim ended with status -9; its last lines:\nTraceback')


def test_report_without_answers_says_so() -> None:
    """An episode without answers has no value and no latency, and a warning."""
    episode = {
        'event': 'episode',
        'seed': 3,
        'seconds': 8.0,
        'success': False,
        'answers': 0,
        'standstill_s': 0.0,
        'seam_jump_rad_max': 0.0,
        'seam_jumps_rad': [],
        'interventions': 0,
        'intervention_reasons': {},
        'fault': '',
        'real_time_factor_min': 0.5,
    }
    started = {'event': 'started', 'seed': 3, 'start_ns': 1}
    report = make_report([started, episode], {}, domain=0)
    assert report['query_ms'] == {'p50': None, 'p99': None}
    assert report['seam_jump_rad_p99'] is None
    assert report['pace'] == {'replan_s': 0.8, 'margin_s': 0.2, 'seam': 'committed'}
    assert make_report([], {'seam': 'blend'}, domain=0)['pace']['seam'] == 'blend'
    assert report['episodes'][0]['value'] == {'middle': None, 'mean': None}
    assert 'no query was answered' in report['warnings'][0]
    assert '0.50 of real time' in report['warnings'][1]


def test_answers_belong_to_their_episode() -> None:
    """The value in the middle is that of the answer nearest to 4 s."""
    events: list[dict[str, Any]] = []
    for seed in (1, 2):
        events.append({'event': 'started', 'seed': seed, 'start_ns': 0})
        for at_s, value in ((0.0, 0.1), (3.9, 0.5 + seed / 10), (7.0, 0.9)):
            answer = {'at_s': at_s, 'query_ms': 100.0 * seed, 'values': [0.0, value], 'best': 1}
            answer |= {'committed_rows': 3 + seed, 'passed_rows': seed, 'image_ages_ms': [40.0]}
            events.append({'event': 'answer', **answer})
        figures = {'seconds': 8.0, 'success': seed == 2, 'answers': 3, 'standstill_s': 0.5}
        figures |= {'seam_jump_rad_max': 0.1 * seed, 'interventions': 4, 'fault': ''}
        figures['seam_jumps_rad'] = [0.01, 0.1 * seed]
        figures['intervention_reasons'] = {'left/waist is limited': seed, 'hold': 4 - seed}
        events.append({'event': 'episode', 'seed': seed, 'real_time_factor_min': 1.0, **figures})
    report = make_report(events, {}, domain=0)
    assert [e['value']['middle'] for e in report['episodes']] == [0.6, 0.7]
    assert report['success_rate'] == 0.5
    assert report['query_ms']['p50'] == 150.0
    assert report['standstill_s'] == 1.0
    assert report['seam_jump_rad_max'] == 0.2
    assert report['seam_jump_rad_p99'] == 0.197
    assert report['committed_rows'] == {
        'conditioned': {'p50': 4.5, 'p99': 5.0},
        'real': {'p50': 1.5, 'p99': 2.0},
    }
    assert report['image_age_ms'] == {'p50': 40.0, 'p99': 40.0}
    assert (report['interventions'], report['interventions_per_episode']) == (8, 4.0)
    assert report['intervention_reasons'] == {'hold': 5, 'left/waist is limited': 3}


def test_report_tells_what_there_was_time_for() -> None:
    """Over the answers of all episodes; an inference node may say nothing of it."""
    answer = {'at_s': 0.0, 'query_ms': 100.0, 'best': 0}
    answer |= {'committed_rows': 3, 'passed_rows': 2, 'image_ages_ms': []}
    figures = {'seconds': 8.0, 'success': True, 'answers': 3, 'standstill_s': 0.0, 'fault': ''}
    figures |= {'seam_jump_rad_max': 0.1, 'interventions': 4, 'real_time_factor_min': 1.0}
    figures |= {'seam_jumps_rad': [], 'intervention_reasons': {}}
    events: list[dict[str, Any]] = [
        {'event': 'started', 'seed': 1, 'start_ns': 0},
        {'event': 'answer', 'values': [0.5] * 4, 'steps_used': 5, 'budget_ms': None, **answer},
        {'event': 'answer', 'values': [0.5] * 4, 'steps_used': 5, 'budget_ms': 300.0, **answer},
        {'event': 'answer', 'values': [0.5], 'steps_used': 2, 'budget_ms': 100.0, **answer},
        {'event': 'answer', 'values': [0.5] * 3, 'steps_used': None, 'budget_ms': None, **answer},
        {'event': 'episode', 'seed': 1, **figures},
    ]
    report = make_report(events, {}, domain=0)
    assert (report['candidates_used'], report['steps_used']) == (3.0, 4.0)
    assert report['budget_ms'] == {'p50': 200.0, 'p99': 298.0}


def test_report_and_plot_of_a_policy_without_a_value_say_so() -> None:
    """Its answers have one candidate each, which nobody has judged."""
    answer = {'at_s': 0.0, 'query_ms': 100.0, 'values': [None], 'best': 0, 'image_ages_ms': []}
    answer |= {'committed_rows': 3, 'passed_rows': 2}
    figures = {'seconds': 8.0, 'success': True, 'answers': 1, 'standstill_s': 0.0, 'fault': ''}
    figures |= {'seam_jump_rad_max': 0.1, 'interventions': 4, 'real_time_factor_min': 1.0}
    figures |= {'seam_jumps_rad': [], 'intervention_reasons': {}}
    events: list[dict[str, Any]] = [
        {'event': 'started', 'seed': 1, 'start_ns': 0},
        {'event': 'answer', **answer},
        {'event': 'episode', 'seed': 1, **figures},
    ]
    report = make_report(events, {}, domain=0)
    assert report['episodes'][0]['value'] == {'middle': None, 'mean': None}
    assert report['candidates_used'] == 1.0
    axes = Figure().subplots()
    _draw_values(axes, report['episodes'][0]['candidates'])
    assert [text.get_text() for text in axes.texts] == ['no value: planning is off']


def test_folder_of_an_earlier_demo_is_cleared(tmp_path: Path) -> None:
    """Only what a demo writes is removed."""
    for name in ('bags', 'logs'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'old').touch()
    (tmp_path / 'report.json').touch()
    (tmp_path / 'notes.txt').touch()
    prepare_folder(tmp_path, OUTPUTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['logs', 'notes.txt']
    assert list((tmp_path / 'logs').iterdir()) == []
