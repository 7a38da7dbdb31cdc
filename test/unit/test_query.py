# SPDX-License-Identifier: Apache-2.0
"""The planning query: what it takes, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from cosmos_policy_ros.cli.demo import Demo
from cosmos_policy_ros.core.query import PlanQuery, read_keep
from cosmos_policy_ros.types import ConfigError
import pytest
import yaml

NODES = Path(__file__).parents[2] / 'config' / 'nodes.yaml'


def test_the_default_number_of_candidates_is_the_same_everywhere() -> None:
    """A query has 4; the demo and the running stack have as many, where there is time."""
    nodes = yaml.safe_load(NODES.read_text(encoding='utf-8'))
    assert PlanQuery().candidates == 4
    assert Demo().candidates == 'auto'
    assert nodes['inference']['ros__parameters']['candidates'] == 'auto'


@pytest.mark.parametrize('keep', [(), (8, 8), (4, 2, 1), (1, 1, 1)])
def test_a_search_may_keep_ever_fewer(keep: tuple[int, ...]) -> None:
    """Of 8 candidates over 3 steps."""
    PlanQuery(8, keep=keep).check(action_steps=3)


@pytest.mark.parametrize('keep', [(9,), (2, 4), (1, 0), (4, 3, 2, 1)])
def test_a_search_that_cannot_be_is_refused(keep: tuple[int, ...]) -> None:
    """More than there are, rising, none at all, or more numbers than steps."""
    with pytest.raises(ConfigError, match='never rising, at most the 8 candidates and at least 1'):
        PlanQuery(8, keep=keep).check(action_steps=3)


def test_the_steps_of_a_query_are_those_that_prune() -> None:
    """Not the checkpoint's: three numbers need three steps."""
    PlanQuery(8, keep=(4, 2, 1), steps=3).check(action_steps=1)
    with pytest.raises(ConfigError, match='keep is 4 2 1; it takes at most 2 numbers'):
        PlanQuery(8, keep=(4, 2, 1), steps=2).check(action_steps=10)


@pytest.mark.parametrize('counts', [(0, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    """At least one candidate, nothing negative."""
    candidates, futures, values = counts
    with pytest.raises(ConfigError, match='cannot plan with'):
        PlanQuery(candidates, futures, values)


@pytest.mark.parametrize(
    ('wrong', 'why'),
    [({'seed': -1}, 'seed of a query must be at least 0, got -1'), ({'steps': 0}, '1 denoising')],
)
def test_negative_seeds_and_no_steps_are_refused(wrong: dict[str, int], why: str) -> None:
    """The noise takes no negative seed; a chunk that is never denoised is noise."""
    with pytest.raises(ConfigError, match=why):
        PlanQuery(**wrong)


def test_what_is_kept_is_read_from_a_parameter() -> None:
    """An empty one keeps all."""
    assert read_keep('4 2 1') == (4, 2, 1)
    assert read_keep('') == ()
    with pytest.raises(ConfigError, match='whole numbers such as 4 2 1, got '):
        read_keep('4, 2')


@pytest.mark.parametrize(
    'numbers', [{'candidates': math.nan}, {'candidates': 2.5}, {'keep': (2.5,)}, {'seed': True}]
)
def test_numbers_that_are_not_whole_are_refused(numbers: dict[str, Any]) -> None:
    """NaN would pass every comparison with a range."""
    with pytest.raises(ConfigError, match='made of whole numbers, got'):
        PlanQuery(**numbers)


@pytest.mark.parametrize('budget_s', [-0.1, float('nan'), float('inf'), '0.1'])
def test_a_budget_is_a_time(budget_s: float) -> None:
    """Nothing but numbers from 0 s on."""
    with pytest.raises(ConfigError, match='the budget of a query is a time of at least 0 s'):
        PlanQuery(budget_s=budget_s)


def test_a_reduced_query_keeps_no_more_than_it_has() -> None:
    """Of 8 candidates, 6 and then 2 are kept."""
    query = PlanQuery(8, keep=(6, 2), seed=3)
    assert query.reduced(4, None) == PlanQuery(4, keep=(4, 2), seed=3)
    assert query.reduced(4, 1) == PlanQuery(4, keep=(4,), seed=3, steps=1)
