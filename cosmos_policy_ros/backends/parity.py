# SPDX-License-Identifier: Apache-2.0
"""How far the answers of a backend are from those of the plain network in float32."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.protocol import Policy, PolicyFacts
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Candidates, ConfigError, Observation
import numpy as np

CANDIDATES = 8


def made_up_observations(policy: CosmosPolicy, n: int, seed: int = 0) -> list[Observation]:
    """Return observations of any robot: smooth random images, joints within their ranges."""
    rng, stats, seen = np.random.default_rng(seed), policy.stats, []
    tasks = policy.tasks
    for i in range(n):
        coarse = rng.integers(0, 256, (len(policy.config.cameras), 8, 8, 3), dtype=np.uint8)
        images = dict(zip(policy.config.cameras, coarse.repeat(32, 1).repeat(32, 2), strict=True))
        proprio = rng.uniform(stats.proprio_min, stats.proprio_max).astype(np.float32)
        seen.append(Observation(0, images, proprio, tasks[i % len(tasks)]))
    return seen


def compare_answers(
    policy: Policy, truth: Policy, observations: Sequence[Observation]
) -> dict[str, object]:
    """Return how the answers of two policies to the same queries for 8 candidates differ.

    The value is predicted in a call of its own: a single frame is another shape for a library.
    """
    query = PlanQuery(CANDIDATES, values=1)
    got, want = ([p.plan(obs, query).candidates for obs in observations] for p in (policy, truth))
    return compare(got, want, policy.config)


def compare(
    answers: Sequence[Candidates], truths: Sequence[Candidates], config: PolicyFacts
) -> dict[str, object]:
    """Return how answers to the same queries differ from the true ones.

    Returns:
        ``max_action_error_rad`` (gripper 0..1) and the mean, ``action_error_rad`` by joint, the
        largest; ``max_value_error``; ``same_choice``, the share of queries with the same best
        candidate; ``value_regret``, how much worse by the true value the chosen one is on average.
    """
    actions, values, same, regret = [], [], [], []
    for got, want in zip(answers, truths, strict=True):
        actions.append(np.abs(got.positions - want.positions))
        values.append(np.abs(got.values - want.values).max())
        best, right = (make_plan(c, config.rate_hz).best for c in (got, want))
        same.append(best == right)
        regret.append(float(want.values.mean(axis=1)[right] - want.values.mean(axis=1)[best]))
    errors = np.stack(actions)  # (queries, N, H, A)
    by_joint = errors.max(axis=(0, 1, 2))
    return {
        'max_action_error_rad': _short(float(errors.max())),
        'mean_action_error_rad': _short(float(errors.mean())),
        'action_error_rad': {
            name: _short(float(e)) for name, e in zip(config.joint_names, by_joint, strict=True)
        },
        'max_value_error': _short(float(max(values))),
        'same_choice': round(float(np.mean(same)), 4),
        'value_regret': _short(float(np.mean(regret))),
        'queries': len(answers),
    }


def _short(number: float) -> float:
    return float(f'{number:.3g}')


def refuse_worse(
    report: dict[str, object], max_action_error_rad: float, max_value_error: float
) -> None:
    """Refuse a backend whose actions or values are further off than allowed.

    Raises:
        ConfigError: Some action or value is, or is not a number.
    """
    for name, limit, what in (
        ('max_action_error_rad', max_action_error_rad, 'rad off in an action (--max-error)'),
        ('max_value_error', max_value_error, 'off in a value'),
    ):
        error = report[name]
        if not (isinstance(error, float) and error <= limit):
            msg = f'the exported network is {error} {what}, limit {limit}; take a higher precision'
            raise ConfigError(msg)
