# SPDX-License-Identifier: Apache-2.0
"""Blind pairs: nobody is favoured, nothing is lost, and looking often does not mislead."""

from __future__ import annotations

from collections import Counter
import csv
import json
from pathlib import Path

from cosmos_policy_ros.evaluation.evidence import evidence, p_value
from cosmos_policy_ros.evaluation.trials import draw, JudgedRollout, RESULTS, Session
from cosmos_policy_ros.report.score_sheet import verdict, write_csv, write_sheet
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest

A, B = 'runs/a', 'runs/b'
DONE, NOTHING = JudgedRollout(True, 4), JudgedRollout(False, 0)
HALF = JudgedRollout(False, 2, 'dropped')


def test_evidence_grows_with_what_points_one_way() -> None:
    """The mixture of fixed bets over n wins is 2^n / (n + 1)."""
    assert evidence([]) == 1.0
    assert evidence([1.0] * 6) == pytest.approx(2**6 / 7, rel=1e-3)
    assert evidence([-1.0] * 6) == pytest.approx(2**6 / 7, rel=1e-3)
    assert evidence([1.0, -1.0] * 20) < 0.3
    assert evidence([0.0] * 50) == 1.0
    with pytest.raises(ValueError, match='from -1 to 1'):
        evidence([1.5])
    with pytest.raises(ValueError, match='from -1 to 1'):
        evidence([float('nan')])


def test_a_p_value_stays_as_small_as_it_once_was() -> None:
    """Whoever had stopped then would have been right."""
    assert p_value([1.0] * 8) == pytest.approx(9 / 2**8, rel=1e-3)
    assert p_value([1.0] * 8 + [-1.0] * 8) == pytest.approx(9 / 2**8, rel=1e-3)
    assert p_value([]) == 1.0


@pytest.mark.parametrize('rate', [0.5, 0.9])
def test_equal_policies_are_told_apart_in_fewer_than_one_of_twenty(rate: float) -> None:
    """Although somebody looks after each of 100 pairs; McNemar's test would be wrong in 1 of 5."""
    rng, n = np.random.default_rng(0), 400
    wrong = 0
    for _ in range(n):
        first, second = rng.random((2, 100)) < rate
        wrong += p_value(second * 1.0 - first * 1.0) <= 0.05
    assert wrong / n < 0.05


def test_a_better_policy_is_found_out_early() -> None:
    """0.5 against 0.8: within 60 pairs in at least 7 of 10 comparisons."""
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(100):
        first, second = rng.random(60) < 0.5, rng.random(60) < 0.8
        found += p_value(second * 1.0 - first * 1.0) <= 0.05
    assert found >= 70


def test_each_policy_begins_as_often_and_letters_hide_them() -> None:
    """Over seeds both letters stand for both policies."""
    schedule = draw([A, B], 7, seed=3)
    assert len(schedule['order']) == 7
    assert set(schedule['order']) == {'XY', 'YX'}
    for seed in range(20):
        orders = draw([A, B], 20, seed)['order']
        assert Counter(orders) == {'XY': 10, 'YX': 10}
    assert {draw([A, B], 1, seed)['letters']['X'] for seed in range(20)} == {A, B}


def play(session: Session, good: str, pairs: int) -> None:
    """Let one policy do the task and the other half of it."""
    for _ in range(2 * pairs):
        trial = session.next_trial
        assert trial is not None
        session.add(DONE if session.policies[trial.letter] == good else HALF)


def test_a_session_goes_on_where_a_crash_ended_it(tmp_path: Path) -> None:
    """Also where the last line was cut; the trial of it is played again."""
    session = Session(tmp_path, [A, B], 10, seed=1)
    play(session, B, 2)
    file = tmp_path / RESULTS
    whole = file.read_text(encoding='utf-8')
    file.write_text(whole + '{"pair": 2, "tu', encoding='utf-8')
    again = Session(tmp_path, [B, A], 10, seed=1)
    assert len(again.judged) == 4
    assert (again.next_trial.pair, again.next_trial.turn) == (2, 0)
    again.add(NOTHING)
    assert file.read_text(encoding='utf-8').startswith(whole)
    assert len(Session(tmp_path, [A, B], 10, seed=1).judged) == 5


@pytest.mark.parametrize('end', ['', '\n\n', '\n \n'])
def test_results_that_a_person_has_edited_are_gone_on_with(tmp_path: Path, end: str) -> None:
    """An editor may leave no end of the last line, or an empty one behind it."""
    play(Session(tmp_path, [A, B], 10, seed=1), B, 2)
    file = tmp_path / RESULTS
    file.write_text(file.read_text(encoding='utf-8').rstrip('\n') + end, encoding='utf-8')
    again = Session(tmp_path, [A, B], 10, seed=1)
    assert len(again.judged) == 4
    again.add(NOTHING)
    assert len(Session(tmp_path, [A, B], 10, seed=1).judged) == 5


def test_a_last_judgement_that_cannot_be_is_told_and_kept(tmp_path: Path) -> None:
    """A person corrected it wrongly; nothing is thrown away for that."""
    play(Session(tmp_path, [A, B], 10, seed=1), B, 2)
    file = tmp_path / RESULTS
    lines = file.read_text(encoding='utf-8').splitlines()
    edited = '\n'.join([*lines[:3], lines[3].replace('"progress": ', '"progress": 7')]) + '\n'
    file.write_text(edited, encoding='utf-8')
    with pytest.raises(ConfigError, match=r'line 4: ConfigError.*progress must be 0 to 4, got 7'):
        Session(tmp_path, [A, B], 10, seed=1)
    assert file.read_text(encoding='utf-8') == edited


def test_rollouts_under_other_conditions_are_not_mixed_in(tmp_path: Path) -> None:
    """Another task or another checkpoint under the same name is another comparison."""
    same = {'task': 'fold', 'checkpoints': ['f00d', 'beef']}
    Session(tmp_path, [A, B], 10, 1, same)
    assert Session(tmp_path, [A, B], 10, 1, same).judged == []
    with pytest.raises(ConfigError, match='another session: task was fold, is stack; take'):
        Session(tmp_path, [A, B], 10, 1, same | {'task': 'stack'})
    with pytest.raises(ConfigError, match=r"checkpoints was \['f00d', 'beef'\], is \['f00d', 'ac"):
        Session(tmp_path, [A, B], 10, 1, same | {'checkpoints': ['f00d', 'aced']})


def test_another_session_is_not_mixed_in(tmp_path: Path) -> None:
    """Other policies, and results that are not of the schedule."""
    Session(tmp_path, [A, B], 10, seed=1)
    with pytest.raises(ConfigError, match='has another session'):
        Session(tmp_path, [A, 'runs/c'], 10, seed=1)
    with pytest.raises(ConfigError, match='give two policies'):
        Session(tmp_path / 'other', [A, A], 10, seed=1)
    line = {'pair': 5, 'turn': 0, 'letter': 'X', 'success': True, 'progress': 4}
    (tmp_path / RESULTS).write_text(json.dumps(line) + '\n', encoding='utf-8')
    with pytest.raises(ConfigError, match='line 1 is not of the schedule'):
        Session(tmp_path, [A, B], 10, seed=1)


def test_a_judgement_agrees_with_itself() -> None:
    """Success is progress 4, and nothing failed then."""
    with pytest.raises(ConfigError, match='progress must be 0 to 4, got 5'):
        JudgedRollout(True, 5)
    with pytest.raises(ConfigError, match='success is progress 4'):
        JudgedRollout(False, 4)
    with pytest.raises(ConfigError, match='success is progress 4'):
        JudgedRollout(True, 4, 'dropped')


def test_it_ends_when_it_is_clear_and_only_after_whole_pairs(tmp_path: Path) -> None:
    """Half a task more in every pair: clear after some pairs, by progress."""
    session, n = Session(tmp_path, [A, B], 40, seed=2), 0
    while not session.is_decided():
        play(session, B, 1)
        n += 1
    assert 8 <= n <= 16
    session.add(HALF)
    assert not session.is_decided()
    figures = session.reveal()
    assert figures['better'] is None  # in the middle of a pair nothing is decided
    session.add(HALF)


def test_the_sheet_names_who_was_better(tmp_path: Path) -> None:
    """Names, intervals, failures, films; the same rows as CSV."""
    session = Session(tmp_path, [A, B], 20, seed=2)
    play(session, B, 16)
    figures = session.reveal()
    assert figures['better'] == B
    assert figures['policies'][A]['failures'] == {'dropped': 16}
    assert figures['policies'][B]['success_interval'] == (0.8064, 1.0)
    assert figures['policies'][A]['progress'] == 2.0
    rows = [
        {'pair': 1, 'turn': 1, 'policy': A, 'success': False, 'progress': 2,
         'failure': 'dropped <b>', 'seconds': 3.1, 'note': '', 'film': 'pair_001_1/rollout.mp4'},
    ]  # fmt: skip
    write_sheet(tmp_path / 'sheet.html', 'fold the shirt', figures, rows)
    page = (tmp_path / 'sheet.html').read_text(encoding='utf-8')
    assert verdict(figures).startswith('runs/b is better (p = ')
    assert verdict(figures) in page
    assert 'dropped &lt;b&gt;' in page
    assert '<video src="pair_001_1/rollout.mp4"' in page
    write_csv(tmp_path / 'rows.csv', rows)
    with (tmp_path / 'rows.csv').open(encoding='utf-8', newline='') as file:
        [row] = csv.DictReader(file)
    assert (row['policy'], row['progress'], row['failure']) == (A, '2', 'dropped <b>')


def test_nobody_is_better_by_accident(tmp_path: Path) -> None:
    """Two pairs tell nothing."""
    session = Session(tmp_path, [A, B], 20, seed=2)
    play(session, B, 2)
    assert verdict(session.reveal()).startswith('2 pairs do not tell the policies apart (p = ')
