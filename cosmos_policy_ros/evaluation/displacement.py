# SPDX-License-Identifier: Apache-2.0
"""Planning queries whose candidates are displaced: act, perturb, predict.

The running stack displaces nothing; here it gives a value more to choose from than a policy that
proposes the same chunk N times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosmos_policy_ros.core.perturb import displace, displace_others, displacement_rng
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.protocol import Answer, Policy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.episode import Choose, play_candidate, Proposal
from cosmos_policy_ros.types import ConfigError, Observation


@dataclass(frozen=True)
class Displacement:
    """Displacement of candidates, so that there is something to choose from.

    The running stack displaces nothing; see ``core.perturb`` for why a measurement does.

    Attributes:
        spread_rad: Standard deviation by which all candidates but the first are displaced in every
            arm joint [rad]; 0 displaces none.
        explore: Share of the queries, 0 to 1, in which the only candidate is displaced, or any of
            several is chosen, and played whatever comes of it, so that a recording shows what
            does.
    """

    spread_rad: float = 0.0
    explore: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: One is out of range.
        """
        if not self.spread_rad >= 0.0:
            msg = f'spread_rad must be at least 0, got {self.spread_rad}'
            raise ConfigError(msg)
        if not 0.0 <= self.explore <= 1.0:
            msg = f'explore must be between 0 and 1, got {self.explore}'
            raise ConfigError(msg)


NO_DISPLACEMENT = Displacement()


def propose_displaced(
    policy: Policy,
    query: PlanQuery,
    displacement: Displacement,
    choose: Choose,
    observation: Observation,
) -> Proposal:
    """Answer a query with displaced candidates and a choice among them.

    In the share of the queries that explores, one of several candidates is played at random; a
    single one is displaced after it was judged: the value that is recorded with it is that of the
    chunk before.

    Args:
        policy: Proposes and judges.
        query: Candidates, futures, values and the seed, also of the displacement.
        displacement: How far candidates are displaced, and how often one is only to explore.
        choose: Candidates -> the plan among them.
        observation: What the robot senses.

    Raises:
        ConfigError: See ``require_stages``.
        ValueError: See ``plan_displaced``.
    """
    candidates = plan_displaced(policy, observation, query, displacement.spread_rad).candidates
    rng = displacement_rng(query.seed, observation.stamp_ns)
    explores, n = rng.random() < displacement.explore, len(candidates.positions)
    if explores and n == 1:
        only = candidates.positions[0]
        chunk = displace(only, rng, displacement.spread_rad, require_stages(policy).grippers)
        candidates = replace(candidates, positions=chunk[None])
    plan = choose(candidates)
    if explores and n > 1:
        plan = play_candidate(plan, candidates, int(rng.integers(n)))
    return Proposal(candidates, plan)


def plan_displaced(
    policy: Policy, obs: Observation, query: PlanQuery, spread_rad: float
) -> Answer:
    """Return the answer of ``policy.plan`` with all candidates but the first displaced.

    They are judged by at least one future, or value of the action, since what was denoised
    jointly belongs to the candidates as they were. A single candidate is not displaced.

    Args:
        policy: Proposes and judges.
        obs: What the robot senses.
        query: How many candidates, futures and values.
        spread_rad: Standard deviation of the displacement, see ``perturb.displace`` [rad]; 0
            displaces nothing.

    Raises:
        ConfigError: See ``require_stages``.
        ValueError: See ``Policy.plan``; or ``spread_rad`` is negative.
    """
    if spread_rad < 0.0:
        msg = f'candidates are displaced by a standard deviation of at least 0, got {spread_rad=}'
        raise ValueError(msg)
    if not spread_rad or query.candidates == 1:
        return policy.plan(obs, query)
    staged = require_stages(policy)
    if staged.scorer.values_actions:
        query = replace(query, futures=0, values=max(query.values, 1))
    else:
        query = replace(query, futures=max(query.futures, 1))
    acted = staged.act(obs, query)
    if len(acted.seeds) > 1:
        acted = displace_others(
            acted, staged.config, staged.stats, fixed=staged.grippers, spread_rad=spread_rad
        )
    return staged.judge(acted, query)


def require_stages(policy: Policy) -> CosmosPolicy:
    """Return a policy whose candidates can be displaced between acting and judging.

    Raises:
        ConfigError: It is no Cosmos Policy, so it does both at once.
    """
    if not isinstance(policy, CosmosPolicy):
        msg = (
            f'{type(policy).__name__} cannot judge displaced candidates, only a Cosmos Policy '
            'can; give a displacement of 0'
        )
        raise ConfigError(msg)
    return policy
