# SPDX-License-Identifier: Apache-2.0
"""A planning query whose candidates are displaced: act, perturb, predict.

The running stack displaces nothing; here it gives a value more to choose from than a policy that
proposes the same chunk N times.
"""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.core.perturb import displace_others
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.protocol import Answer
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Observation


def plan_displaced(
    policy: CosmosPolicy, obs: Observation, query: PlanQuery, spread_rad: float
) -> Answer:
    """Return what ``policy.plan`` does, of candidates of which all but the first are displaced.

    They are judged by at least one future, or value of the action, since what was denoised
    jointly belongs to the candidates as they were. A single candidate is not displaced.

    Args:
        policy: Proposes and judges.
        obs: What the robot senses.
        query: How many candidates, futures and values.
        spread_rad: Standard deviation of the displacement, see ``perturb.displace`` [rad]; 0
            displaces nothing.

    Raises:
        ValueError: See ``CosmosPolicy.plan``; or ``spread_rad`` is negative.
    """
    if spread_rad < 0.0:
        msg = f'candidates are displaced by a standard deviation of at least 0, got {spread_rad=}'
        raise ValueError(msg)
    if not spread_rad or query.candidates == 1:
        return policy.plan(obs, query)
    if policy.scorer.values_actions:
        query = replace(query, futures=0, values=max(query.values, 1))
    else:
        query = replace(query, futures=max(query.futures, 1))
    acted = policy.act(obs, query)
    if len(acted.seeds) > 1:
        acted = displace_others(
            acted, policy.config, policy.stats, fixed=policy.grippers, spread_rad=spread_rad
        )
    return policy.judge(acted, query)
