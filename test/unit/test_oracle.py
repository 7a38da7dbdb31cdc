# SPDX-License-Identifier: Apache-2.0
"""What a choice among candidates could gain."""

from __future__ import annotations

from dataclasses import asdict, replace
import json
from pathlib import Path

from cosmos_policy_ros.cli.evaluate import Evaluate, run as evaluate
from cosmos_policy_ros.cli.oracle import Oracle, run
from cosmos_policy_ros.evaluation.oracle import read_scenes
from cosmos_policy_ros.evaluation.oracle_summary import Choice, OracleScene, summarize_oracle
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.types import ConfigError
import pytest

SCORER = share_path('models', 'aloha_sim_planning')


def scene(success: tuple[bool, ...], scores: tuple[float, ...], best: int) -> OracleScene:
    """Return a scene with one value."""
    seen = tuple((score, float(done)) for score, done in zip(scores, success, strict=True))
    return OracleScene(0, 1, success, 0.01, 0.01, 6.0, {'value': Choice(scores, best)}, seen)


def test_figures_of_three_scenes() -> None:
    """One with both outcomes, ranked right but for one pair; one all good, one all bad."""
    figures = summarize_oracle(
        [
            scene((False, True, False, False), (0.2, 0.5, 0.6, 0.1), 2),
            scene((True, True, True, True), (0.9, 0.8, 0.7, 0.9), 0),
            scene((False, False, False, False), (0.1, 0.2, 0.3, 0.1), 2),
        ]
    )
    assert figures['first_candidate'] == pytest.approx(1 / 3, abs=1e-4)
    assert figures['mean_candidate'] == pytest.approx(5 / 12, abs=1e-4)
    assert figures['best_in_hindsight'] == pytest.approx(2 / 3, abs=1e-4)
    assert figures['worst_in_hindsight'] == pytest.approx(1 / 3, abs=1e-4)
    assert (figures['scenes_with_both'], figures['choice_matters']) == (1, 0.3333)
    assert figures['apart_mm']['p50'] == 6.0
    assert figures['value']['success'] == pytest.approx(1 / 3, abs=1e-4)
    assert figures['value']['auc_within'] == pytest.approx(2 / 3, abs=1e-3)
    assert figures['value']['auc_across'] == pytest.approx(34 / 35, abs=1e-3)
    assert figures['auc_later'] == [pytest.approx(2 / 3, abs=1e-3), 1.0]


def test_few_scenes_say_little_about_how_well_a_value_ranks() -> None:
    """The interval is over the scenes with both outcomes, and none of a single one."""
    right, wrong = scene((False, True), (0.1, 0.5), 1), scene((False, True), (0.6, 0.5), 0)
    alike = scene((True, True), (0.6, 0.5), 0)
    found = summarize_oracle([right, right, right, wrong, alike])['value']
    assert found['auc_within'] == 0.75
    assert found['auc_within_95'] == (0.26, 1.0)
    assert summarize_oracle([right, alike])['value']['auc_within_95'] is None


def test_true_states_are_ranked_over_the_scenes_that_last_as_long() -> None:
    """One chunk later the first scene is ranked right; the second was over by then."""
    mixed = scene((False, True), (0.6, 0.5), 0)
    seen, over = replace(mixed, next_values=(0.1, 0.2)), replace(mixed, next_values=(0.3, None))
    figures = summarize_oracle([seen, over])
    assert (figures['auc_true_depth_2'], figures['scenes_depth_2']) == (1.0, 1)
    assert 'auc_true_depth_2' not in summarize_oracle([mixed])


def test_without_a_scene_of_both_outcomes_no_value_ranks_within_one() -> None:
    """There is nothing to rank."""
    assert summarize_oracle([scene((True, True), (0.9, 0.8), 0)])['value']['auc_within'] is None


@pytest.mark.slow
def test_scene_branches_in_its_first_query_where_that_is_asked_for(tmp_path: Path) -> None:
    """Where a task is decided by the way that a hand sets out."""
    file = tmp_path / 'oracle.json'
    options = {'episodes': 1, 'seed': 200000, 'workers': 1, 'json': file}
    assert run(Oracle(candidates=2, between_s=(0.0, 0.0), **options)) == 0
    figures = json.loads(file.read_text())
    (played,) = figures['results']
    assert 0.0 <= played['at_s'] < 0.2
    assert len(played['success']) == 2
    # The file is gone on with: nothing is played that it has, and what it has is read as it was.
    assert run(Oracle(candidates=2, between_s=(0.0, 0.0), **options)) == 0
    assert json.loads(file.read_text()) == figures
    (read,) = read_scenes(file, figures['measured'])
    assert json.loads(json.dumps(asdict(read))) == played
    with pytest.raises(ConfigError, match='results of something else'):
        run(Oracle(candidates=3, between_s=(0.0, 0.0), **options))


@pytest.mark.slow
def test_candidates_of_a_scene_are_played_and_scored(tmp_path: Path) -> None:
    """The first candidate's episode is the evaluation's; a scorer has a row of its own."""
    file, usual = tmp_path / 'oracle.json', tmp_path / 'evaluation.json'
    options = {'episodes': 1, 'seed': 200000, 'workers': 1, 'replan_s': 0.8}
    deep = Oracle(candidates=2, planning_checkpoints=(SCORER,), depth=2, json=file, **options)
    assert run(deep) == 0
    assert evaluate(Evaluate(json=usual, **options)) == 0
    (played,) = json.loads(file.read_text())['results']
    (result,) = json.loads(usual.read_text())['results']
    assert played['success'][0] == result['success']
    assert 0 < played['shift_rad'] < played['spread_rad'] < 0.1
    assert 0.5 < played['apart_mm'] < 20.0
    query = round(played['at_s'] / options['replan_s'])
    assert 1 <= query <= 6
    own, other = (Choice(*played['values'][name]) for name in ('own', str(SCORER)))
    assert own.scores[0] == pytest.approx(result['values'][query], abs=0.01)
    assert len(own.scores) == len(other.scores) == 2
    assert own.scores != other.scores
    assert played['later'][0] == pytest.approx(result['values'][query + 1 :], abs=0.01)
    assert played['later'][1] != played['later'][0]
    assert list(played['values']) == ['own', str(SCORER), 'own, depth 2', f'{SCORER}, depth 2']
    assert played['next_values'][0] in played['later'][0]


def test_no_scene_is_refused() -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigError, match='--episodes must be at least 1, got 0'):
        run(Oracle(episodes=0))


def test_negative_spread_is_refused() -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigError, match='spread_rad must be at least 0'):
        run(Oracle(spread_rad=-0.1))


@pytest.mark.parametrize('replan_s', [0.0, 4.0])
def test_pace_without_a_query_in_the_middle_is_refused(replan_s: float) -> None:
    """There would be no candidates to try."""
    with pytest.raises(ConfigError, match='replan_s must be above 0'):
        run(Oracle(replan_s=replan_s))


@pytest.mark.parametrize('between_s', [(-0.1, 1.0), (2.0, 1.0), (0.0, 5.0), (float('nan'), 1.0)])
def test_times_at_which_no_scene_branches_are_refused(between_s: tuple[float, float]) -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigError, match=r'scenes branch between two times from 0 to 4\.8 s'):
        run(Oracle(between_s=between_s))
