# SPDX-License-Identifier: Apache-2.0
"""The reference's order of work answers what the batched query answers."""

from __future__ import annotations

from cosmos_policy_ros.bench.planning import Pair
from cosmos_policy_ros.bench.reference_order import reference_plan
from cosmos_policy_ros.bench.search import compare_searches, Counted, ENSEMBLE, JOINT, Search
from cosmos_policy_ros.core.query import PlanQuery
import numpy as np
import pytest
from tiny import tiny_observation, tiny_policy

OBS = tiny_observation()


def test_both_orders_of_work_give_the_same_answer() -> None:
    """Same noise, same known frames; only the order of the sums differs."""
    batched = tiny_policy().plan(OBS, PlanQuery(2, 3, 5)).candidates
    alone = reference_plan(tiny_policy(), OBS, 2, 3, 5)
    np.testing.assert_allclose(alone.positions, batched.positions, atol=1e-4)
    np.testing.assert_allclose(alone.values, batched.values, atol=1e-4)
    np.testing.assert_allclose(alone.future_proprio, batched.future_proprio, atol=1e-4)


def test_calls_are_those_of_the_paper() -> None:
    """20 for 8 candidates, 3 futures and 5 values; one at a time 512.

    The reference makes 488, since its schedule of two steps makes a single call.
    """
    policy, exact = tiny_policy(), tiny_policy()
    policy.backend, exact.backend = Counted(policy.backend), Counted(exact.backend)
    pair = Pair(policy, exact, 8)
    pair.run(OBS)
    assert policy.backend.calls == 20
    assert exact.backend.calls == 8 * (10 + 9 + 3 * 15)
    assert pair.same == [True]
    assert max(pair.action_error) < 1e-4


def test_a_cheaper_search_is_judged_by_the_exact_one() -> None:
    """Rows as promised; what is kept is answered alike; regret is never below 0."""
    figures = compare_searches(tiny_policy(action_steps=5), JOINT, [OBS, OBS])
    exact = figures.pop('exact')
    assert (exact['speedup'], exact['same_choice'], exact['value_regret']) == (1.0, 1.0, 0.0)
    shares = {name: row['row_share'] for name, row in figures.items()}
    assert shares == {
        'one candidate': 0.125,
        'keep 6': 0.8,
        'keep 4': 0.6,
        'keep 4 2 1': 0.4,
        'keep 1': 0.3,
        '2 steps': 0.4,
        '2 steps, keep 6': 0.35,
        '1 step': 0.2,
    }
    assert all(row['value_regret'] >= 0.0 for row in figures.values())
    assert figures['keep 4 2 1']['mean_action_error_rad'] < 1e-4
    assert figures['1 step']['mean_action_error_rad'] > 1e-2


def test_futures_and_values_of_dropped_candidates_are_saved() -> None:
    """80 rows for actions, 72 for futures and 360 for values; kept are 4, then 2 candidates."""
    figures = compare_searches(tiny_policy(), ENSEMBLE, [OBS])
    shares = [row['row_share'] for row in figures.values()]
    four, two = 8 + 9 * 4 + 4 * 54, 8 + 4 + 8 * 2 + 2 * 54
    assert shares == pytest.approx([1.0, four / 512, two / 512], abs=1e-4)


def test_a_search_with_more_steps_than_the_policy_is_left_out() -> None:
    """A checkpoint of one step has nothing to keep 4 2 1 for."""
    figures = compare_searches(tiny_policy(action_steps=1), JOINT, [OBS])
    assert list(figures) == ['exact', 'one candidate', 'keep 6', 'keep 4', 'keep 1', '1 step']


def test_a_worse_choice_is_a_regret() -> None:
    """Who looks at the first candidate alone loses what the best one is worth more."""
    policy = tiny_policy()
    values = policy.plan(OBS, PlanQuery(8)).candidates.values[:, 0]
    searches = (Search('exact'), Search('first', PlanQuery(1)))
    figures = compare_searches(policy, searches, [OBS])['first']
    assert values.argmax() != 0
    assert figures['same_choice'] == 0.0
    assert figures['value_regret'] == pytest.approx(values.max() - values[0], abs=1e-3)
