# SPDX-License-Identifier: Apache-2.0
"""Aggregation of ensemble values and choice of a candidate."""

from __future__ import annotations

from cosmos_policy_ros.core.planner import aggregate, make_plan, select
from cosmos_policy_ros.types import Candidates, Plan
import numpy as np
from numpy.typing import NDArray
import pytest


def table(*rows: list[float]) -> NDArray[np.float32]:
    """Return values of some candidates."""
    return np.array(rows, dtype=np.float32)


def test_average_is_the_mean() -> None:
    """Every candidate on its own."""
    assert aggregate(table([0.2, 0.4], [1.0, 0.0]), 'average').tolist() == pytest.approx(
        [0.3, 0.5]
    )


def test_lcb_is_mean_minus_sample_deviation() -> None:
    """Sample deviation of 0.5, 0.7, 0.9 is 0.2."""
    assert aggregate(table([0.5, 0.7, 0.9]), 'lcb').tolist() == pytest.approx([0.5])


def test_lcb_of_one_value_is_that_value() -> None:
    """The reference gets NaN."""
    assert aggregate(table([0.5]), 'lcb').tolist() == pytest.approx([0.5])


def test_lcb_is_clamped_to_zero() -> None:
    """Scores stay in [0, 1]."""
    assert aggregate(table([0.0, 1.0]), 'lcb').tolist() == [0.0]


def test_success_vote_counts_strictly_above_the_threshold() -> None:
    """0.05 itself is no success."""
    values = np.array([[0.04, 0.05, 0.06, 0.5]])  # float64, so that 0.05 is the threshold
    assert aggregate(values, 'success_vote').tolist() == [0.5]


def test_majority_mean_averages_the_successes_of_a_majority() -> None:
    """Half is enough."""
    values = table([0.0, 0.01, 0.4, 0.8])
    assert aggregate(values, 'majority_mean').tolist() == pytest.approx([0.6])


def test_majority_mean_of_a_minority_is_zero() -> None:
    """One success of three."""
    assert aggregate(table([0.0, 0.01, 0.9]), 'majority_mean').tolist() == [0.0]


def test_unknown_rule_lists_the_rules() -> None:
    """A typo must tell the user what would have been right."""
    with pytest.raises(ValueError, match='majority_mean'):
        aggregate(table([0.5]), 'median')
    with pytest.raises(ValueError, match='argmax'):
        select(table([0.5])[0], 'best')


@pytest.mark.parametrize('values', [np.zeros((2, 0)), np.zeros(3), np.array([[np.nan]])])
def test_no_table_of_numbers_is_refused(values: NDArray[np.float64]) -> None:
    """No members, no candidates axis, NaN."""
    with pytest.raises(ValueError, match='finite and of shape'):
        aggregate(values, 'average')


def test_reference_switches_only_to_a_strictly_better_candidate() -> None:
    """A tie keeps the base candidate, wherever it stands."""
    assert select(np.array([0.5, 0.7, 0.7], np.float32), 'reference', base=2) == 2
    assert select(np.array([0.5, 0.8, 0.7], np.float32), 'reference', base=2) == 1


def test_argmax_takes_the_first_best() -> None:
    """Also when the base candidate is as good."""
    assert select(np.array([0.5, 0.7, 0.7], np.float32), 'argmax', base=2) == 1


def test_all_zero_keeps_the_plain_policy() -> None:
    """When no candidate promises anything, do what the policy would do."""
    assert select(np.zeros(4, np.float32)) == 0


def test_missing_base_is_refused() -> None:
    """No candidate at all."""
    with pytest.raises(ValueError, match='no candidate 0 among 0'):
        select(np.zeros(0, np.float32))


def test_plan_plays_the_best_candidate() -> None:
    """Chunk, scores and index of two candidates."""
    positions = np.stack([np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32)])
    values = table([0.1, 0.3], [0.6, 0.8])
    candidates = Candidates(9, positions, values, np.zeros((2, 2), np.float32))
    plan = make_plan(candidates, 25.0, 'average')
    assert (plan.best, plan.chunk.stamp_ns, plan.chunk.rate_hz) == (1, 9, 25.0)
    assert plan.chunk.positions.tolist() == [[1.0, 1.0]] * 3
    assert plan.scores.tolist() == pytest.approx([0.2, 0.7])


def test_without_values_the_first_candidate_that_may_be_played_is() -> None:
    """There is nothing to choose by, and the scores say so."""
    nothing = np.zeros((2, 0), np.float32)
    candidates = Candidates(9, np.zeros((2, 3, 1), np.float32), nothing, nothing)
    for selection in ('decisive', 'reference', 'argmax'):
        plan = make_plan(candidates, 25.0, selection=selection)
        assert (plan.best, plan.is_choice) == (0, False)
        assert np.isnan([*plan.scores, plan.margin, plan.deviation]).all()
    allowed = make_plan(candidates, 25.0, allowed=np.array([False, True]))
    assert (allowed.best, allowed.is_choice) == (1, True)


def test_plan_plays_the_best_candidate_that_may_be_played() -> None:
    """Also a base candidate is not kept that may not; where none may, all are compared."""
    positions = np.zeros((3, 2, 1), np.float32)
    candidates = Candidates(9, positions, table([0.5], [0.9], [0.0]), np.zeros((3, 1), np.float32))
    plans = {
        allowed: make_plan(candidates, 25.0, 'average', allowed=np.array(allowed)).best
        for allowed in ((True, False, True), (False, False, True), (False, False, False))
    }
    assert list(plans.values()) == [0, 2, 1]


def plan_of(
    *values: list[float],
    apart_m: tuple[float, ...] | None = None,
    allowed: tuple[bool, ...] | None = None,
) -> Plan:
    """Return the decisive plan among candidates with these values."""
    n = len(values)
    positions = np.zeros((n, 2, 1), np.float32)
    candidates = Candidates(9, positions, table(*values), np.zeros((n, 1), np.float32))
    return make_plan(
        candidates,
        25.0,
        'average',
        'decisive',
        None if allowed is None else np.array(allowed),
        None if apart_m is None else np.array(apart_m),
    )


def test_a_better_plan_is_a_choice() -> None:
    """2 cm away, and better by more than the members disagree about it."""
    plan = plan_of([0.4, 0.5], [0.7, 0.7], apart_m=(0.0, 0.02))
    assert (plan.best, plan.is_choice) == (1, True)
    assert (plan.margin, plan.apart_m) == (pytest.approx(0.25), 0.02)
    assert plan.deviation == pytest.approx(0.0707, abs=1e-4)


def test_a_better_score_of_the_same_plan_is_no_choice() -> None:
    """1 cm at the tools is what noise may make of one plan."""
    plan = plan_of([0.4, 0.5], [0.7, 0.7], apart_m=(0.0, 0.01))
    assert (plan.best, plan.is_choice) == (0, False)
    assert plan_of([0.4, 0.5], [0.7, 0.7]).best == 1  # a robot without a scene


def test_a_margin_that_the_ensemble_is_unsure_of_is_no_choice() -> None:
    """Better by 0.2 on the mean; the three members say 0.5, 0.3 and -0.2."""
    plan = plan_of([0.1, 0.3, 0.6], [0.6, 0.6, 0.4], apart_m=(0.0, 0.1))
    assert (plan.best, plan.margin) == (0, pytest.approx(0.2))
    assert plan.deviation == pytest.approx(0.3606, abs=1e-4)


def test_what_all_members_are_wrong_by_alike_is_no_doubt() -> None:
    """Members differ by 0.4 among themselves and agree on which candidate is better."""
    plan = plan_of([0.1, 0.5], [0.2, 0.6], apart_m=(0.0, 0.1))
    assert (plan.best, plan.deviation) == (1, pytest.approx(0.0, abs=1e-6))


def test_a_single_value_has_to_be_higher_by_more_than_noise() -> None:
    """0.05, since nobody tells how sure it is."""
    assert plan_of([0.5], [0.54], apart_m=(0.0, 0.1)).best == 0
    assert plan_of([0.5], [0.56], apart_m=(0.0, 0.1)).best == 1


def test_where_candidate_zero_may_not_be_played_the_best_is() -> None:
    """It would come too near to something; there is nothing to be decisive about."""
    plan = plan_of([0.5], [0.5], [0.4], apart_m=(0.0, 0.001, 0.001), allowed=(False, True, True))
    assert (plan.best, plan.is_choice) == (1, True)
