# SPDX-License-Identifier: Apache-2.0
"""The reference's order of work answers what the batched query answers."""

from __future__ import annotations

from cosmos_policy_ros.cli.bench_planning import Counted, Pair
from cosmos_policy_ros.core.reference_order import reference_plan
import numpy as np
from tiny import tiny_observation, tiny_policy

OBS = tiny_observation()


def test_both_orders_of_work_give_the_same_answer() -> None:
    """Same noise, same known frames; only the order of the sums differs."""
    batched = tiny_policy().plan(OBS, 2, 3, 5)
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
