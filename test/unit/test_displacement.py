# SPDX-License-Identifier: Apache-2.0
"""Planning with displaced candidates: act, perturb, predict."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.core.codec import read_vector
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.protocol import Answer
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.displacement import plan_displaced
from cosmos_policy_ros.types import ConfigError, Observation
import numpy as np
from numpy.typing import NDArray
import pytest
from tiny import noting_policy, NotingBackend, tiny_observation, tiny_policy

OBS = tiny_observation()


def assert_shown(
    policy: CosmosPolicy, backend: NotingBackend, positions: NDArray[np.float32]
) -> None:
    """The arms' part of the actions is what the stage after acting is shown."""
    shown = read_vector(backend.calls[10][0], 5, positions[0].size).reshape(positions.shape)
    unit = policy.stats.normalize_actions(positions)
    arms = [i for i in range(positions.shape[2]) if i not in policy.grippers]
    np.testing.assert_allclose(shown[..., arms], unit[..., arms], atol=1e-5)


def test_displaced_candidates_stay_off_and_are_judged_where_they_are() -> None:
    """Every arm joint by one number, the first candidate and the grippers not at all."""
    policy, backend = noting_policy()
    plain = tiny_policy().plan(OBS, PlanQuery(3)).candidates
    displaced = plan_displaced(policy, OBS, PlanQuery(3), 0.05).candidates
    off = displaced.positions - plain.positions
    np.testing.assert_allclose(off[0], 0.0, atol=1e-6)
    np.testing.assert_allclose(off[:, :, policy.grippers], 0.0, atol=1e-6)
    np.testing.assert_allclose(off[:, 4:], off[:, 4:5].repeat(off.shape[1] - 4, axis=1), atol=1e-6)
    np.testing.assert_allclose(off[1:, 1], off[1:, 4] / 4.0, atol=1e-6)
    assert 0.005 < off[1:, -1].std() < 0.1
    assert len(backend.calls) == 15  # a future for each, since the joint one is of another action
    assert_shown(policy, backend, displaced.positions)
    later = replace(OBS, stamp_ns=OBS.stamp_ns + 10**9)
    again = plan_displaced(policy, later, PlanQuery(3), 0.05).candidates
    assert np.abs(again.positions - displaced.positions)[1:].max() > 0.01


def test_a_single_candidate_is_not_displaced() -> None:
    """Nor is anything else asked for it."""
    policy, backend = noting_policy()
    plain = tiny_policy().plan(OBS, PlanQuery(1)).candidates
    alone = plan_displaced(policy, OBS, PlanQuery(1), 0.05).candidates
    np.testing.assert_array_equal(plain.positions, alone.positions)
    assert len(backend.calls) == 10


def test_displaced_candidates_are_judged_by_their_actions_where_there_are_no_futures() -> None:
    """Q(s, a) sees the displaced action."""
    policy, backend = noting_policy('value_q')
    displaced = plan_displaced(policy, OBS, PlanQuery(2), 0.05).candidates
    assert_shown(policy, backend, displaced.positions)


def test_negative_spread_is_refused() -> None:
    """It is a standard deviation."""
    with pytest.raises(ValueError, match=r'spread_rad=-0\.1'):
        plan_displaced(tiny_policy(), OBS, PlanQuery(2), -0.1)


class OtherPolicy:
    """A policy that acts and judges at once; its answer is that of Cosmos Policy."""

    def __init__(self) -> None:
        """Take the tiny policy's answers."""
        self.plan_once = tiny_policy().plan

    def plan(self, obs: Observation, query: PlanQuery) -> Answer:
        """Return the candidates."""
        return self.plan_once(obs, query)


def test_another_policy_is_measured_but_not_displaced() -> None:
    """It has no stage between acting and judging in which its chunks could be changed."""
    other = OtherPolicy()
    assert len(plan_displaced(other, OBS, PlanQuery(2), 0.0).candidates.values) == 2
    with pytest.raises(ConfigError, match='OtherPolicy cannot judge displaced candidates'):
        plan_displaced(other, OBS, PlanQuery(2), 0.05)
