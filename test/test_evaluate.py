# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation."""

from __future__ import annotations

from importlib.util import find_spec
import json
from pathlib import Path

from cosmos_policy_ros.cli.evaluate import Evaluate, run
from cosmos_policy_ros.cli.evaluate_report import wilson_interval
from cosmos_policy_ros.training.measure import auc
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest


def test_wilson_interval_of_70_in_100() -> None:
    """The textbook value."""
    assert wilson_interval(70, 100) == pytest.approx((0.6042, 0.7811), abs=1e-4)


def test_wilson_interval_of_none_and_all_stays_inside_0_and_1() -> None:
    """The interval is not a point at the ends."""
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_auc_counts_ordered_pairs_and_half_the_ties() -> None:
    """Three of four pairs are in order, one is a tie."""
    outcomes = np.array([True, True, False, False])
    assert auc(np.array([0.9, 0.5, 0.5, 0.1]), outcomes) == 0.875


def test_auc_needs_both_outcomes() -> None:
    """Without a failure there is nothing to rank."""
    assert auc(np.array([0.9, 0.5]), np.array([True, True])) is None


def test_committed_checkpoint_hands_over_most_cubes(tmp_path: Path) -> None:
    """A smoke check on ten scenes; the measured rate stands in models/README.md.

    With a true rate of 70 % fewer than 3 of 10 happen once in 600 runs.
    """
    file = tmp_path / 'evaluation.json'
    assert run(Evaluate(episodes=10, seed=200000, json=file)) == 0
    figures = json.loads(file.read_text())
    assert figures['episodes'] == 10
    assert figures['successes'] >= 3
    assert set(figures) >= {'success_rate', 'interval_95', 'value_auc', 'query_ms'}
    assert set(figures['options']) >= {'checkpoint', 'task', 'candidates', 'seed', 'precision'}
    assert figures['options']['seed'] == figures['results'][0]['seed'] == 200000


def test_missing_checkpoint_is_a_mistake_of_one_line(tmp_path: Path) -> None:
    """It is said before any episode is played."""
    with pytest.raises(ConfigError, match='no checkpoint folder'):
        run(Evaluate(checkpoint=tmp_path / 'none', episodes=1))


def test_unknown_instruction_is_a_mistake_of_one_line() -> None:
    """It is said before any episode is played, with what the checkpoint knows."""
    with pytest.raises(ConfigError, match=r"'fold the shirt'.*hand the red cube from the right"):
        run(Evaluate(instruction='fold the shirt', episodes=1))


@pytest.mark.skipif(not find_spec('wordllama'), reason='without extra "language"')
def test_paraphrase_plays_the_episode_of_its_task(tmp_path: Path) -> None:
    """The file says what the words were taken for."""
    file, told = tmp_path / 'evaluation.json', 'please hand the cube from right to left'
    assert run(Evaluate(instruction=told, episodes=1, workers=1, json=file)) == 0
    figures = json.loads(file.read_text())
    assert figures['options']['instruction'] == told
    assert figures['instruction']['task'] == 'hand the red cube from the right gripper to the left'
    assert figures['instruction']['similarity'] < 1.0
