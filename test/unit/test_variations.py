# SPDX-License-Identifier: Apache-2.0
"""Candidates at a temperature are different plans around the first one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cosmos_policy_ros.core.correction import Residuals
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.core.variations import choose_plans, DRAWS, Variations
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
from tiny import CONFIG, NotingBackend, tiny_observation, tiny_policy, tiny_stats, tiny_text
import torch

OBS = tiny_observation()
ARMS = np.array([True, False, True, False])
NONE = torch.zeros(0, 4)


def drifting(scale: float = 0.1) -> Residuals:
    """Return residuals of chunks that are off by one number in the first joint, and no other."""
    moment = torch.zeros(6, 2, 6, 2, dtype=torch.float64)
    moment[:, 0, :, 0] = scale**2
    return Residuals(moment)


def varying_policy(**changes: object) -> tuple[CosmosPolicy, NotingBackend]:
    """Return a tiny policy with residuals, and its notes."""
    backend = NotingBackend()
    config = replace(CONFIG, **changes)  # type: ignore[arg-type]
    return CosmosPolicy(backend, config, tiny_stats(), tiny_text(), residuals=drifting()), backend


def test_variations_are_off_as_demonstrations_are_from_predictions() -> None:
    """By one number in the first joint, of the residuals' deviation times the temperature."""
    variations, rng = Variations(drifting(), ARMS), np.random.default_rng(0)
    chunk = torch.linspace(-0.5, 0.5, 24).reshape(6, 4)
    drawn = torch.cat([variations.draw(chunk, NONE, 2.0, rng) for _ in range(100)])
    moved = drawn - chunk
    assert drawn.shape == (100 * DRAWS, 6, 4)
    assert moved[:, :, 1:].abs().max() < 1e-6
    assert torch.allclose(moved[:, :, 0], moved[:, :1, 0].expand(-1, 6), atol=1e-6)
    assert float(moved[:, 0, 0].std()) == pytest.approx(0.2, rel=0.1)
    assert abs(float(moved[:, 0, 0].mean())) < 0.02


def test_only_the_leading_directions_are_drawn() -> None:
    """Errors from row to row are jitter: no arm follows them, and they are no plan."""
    jitter = drifting().second_moment.clone()
    jitter[range(6), 0, range(6), 0] += 0.05**2
    variations = Variations(Residuals(jitter), ARMS)
    moved = variations.draw(torch.zeros(6, 4), NONE, 1.0, np.random.default_rng(0))[:, :, 0]
    assert float(moved.std(dim=1).max()) < 0.01 * float(moved.abs().max())


def test_variations_begin_with_the_committed_rows_and_go_on_from_there() -> None:
    """Where a committed row leaves no doubt about the free ones, nothing is left to vary."""
    variations = Variations(drifting(), ARMS)
    chunk, held = torch.zeros(6, 4), torch.zeros(2, 4)
    free, bound = (
        variations.draw(chunk, rows, 1.0, np.random.default_rng(0)) for rows in (NONE, held)
    )
    assert bound[:, :2].abs().max() == 0.0
    assert float(bound[:, 2:, 0].abs().max()) < 0.3 * float(free[:, 2:, 0].abs().max())


def test_plans_are_the_middles_of_groups_the_base_first() -> None:
    """Three places, three plans; the base stays though another is nearer to the middle."""
    at = np.array([0.0, 0.1, 0.05, 1.0, 1.1, 1.05, -2.0, -2.2, -2.1], np.float32)
    chunks = np.broadcast_to(at[:, None, None], (9, 6, 4)).copy()
    assert choose_plans(chunks, 3, ARMS) == [0, 8, 5]


def test_grippers_make_no_plan() -> None:
    """They open and close, and are compared by nobody; equal chunks are plans of their own."""
    chunks = np.zeros((4, 6, 4), np.float32)
    chunks[2, :, 1] = 1.0
    chunks[3, :, 0] = 0.1
    assert choose_plans(chunks, 2, ARMS) == [0, 3]
    assert sorted(choose_plans(chunks, 4, ARMS)) == [0, 1, 2, 3]


def test_candidates_at_a_temperature_are_farther_apart_and_the_first_is_the_same() -> None:
    """Futures and values are predicted for the chunks as they are then: one stage more.

    Chunks of a random network differ by 5 rad; 100 times 0.1 of a range of 4 rad is more.
    """
    policy, backend = varying_policy()
    plain = policy.plan(OBS, PlanQuery(4)).candidates
    backend.calls.clear()
    varied = policy.plan(OBS, PlanQuery(4, temperature=100.0)).candidates
    assert [len(latents) for latents, _, _ in backend.calls] == [4] * 15
    assert np.array_equal(varied.positions[0], plain.positions[0])
    apart = [np.abs(c.positions[1:, :, 0] - c.positions[0, :, 0]).max() for c in (plain, varied)]
    assert apart[1] > 1.5 * apart[0]
    shown, acted = backend.calls[10][0], policy.act(OBS, PlanQuery(4, temperature=100.0))
    assert torch.equal(shown[:, :, 5], acted.latents[:, :, 5])


def test_variations_are_drawn_anew_for_every_observation() -> None:
    """The same again for the same one."""
    policy, _ = varying_policy()
    query = PlanQuery(3, temperature=2.0)
    first, again = (policy.plan(OBS, query).candidates.positions for _ in range(2))
    later = policy.plan(replace(OBS, stamp_ns=10**9), query).candidates.positions
    assert np.array_equal(first, again)
    assert not np.array_equal(first[1:], later[1:])
    assert np.array_equal(first[0], later[0])


def test_paired_candidates_differ_by_what_they_do_alone() -> None:
    """Two that do the same are worth the same; with noise of their own they are not."""
    policy, _ = varying_policy()
    acted = policy.act(OBS, PlanQuery(2, seed=3))
    twice = replace(acted, latents=acted.latents[[0, 0]])
    for query in (PlanQuery(2, 2, 2, seed=3), PlanQuery(2, 2, 2, 2, seed=3)):
        alone, paired = (
            policy.judge(twice, replace(query, paired=pair)).candidates.values
            for pair in (False, True)
        )
        assert np.abs(alone[0] - alone[1]).max() > 1e-3
        np.testing.assert_allclose(paired[0], paired[1], atol=1e-5)
        np.testing.assert_allclose(paired[0], alone[0], atol=1e-5)


def test_a_single_candidate_has_nothing_to_vary() -> None:
    """It is the plain policy's, with its own future and value."""
    policy, backend = varying_policy()
    one = policy.plan(OBS, PlanQuery(1, temperature=2.0)).candidates
    assert len(backend.calls) == 10
    assert np.array_equal(one.positions, policy.plan(OBS, PlanQuery(1)).candidates.positions)


def test_a_value_of_actions_is_asked_for_varied_actions() -> None:
    """It has no futures."""
    policy, backend = varying_policy(value_kind='value_q')
    assert policy.plan(OBS, PlanQuery(3, temperature=1.0)).candidates.values.shape == (3, 1)
    assert len(backend.calls) == 15


def test_committed_rows_stay_at_a_temperature() -> None:
    """All candidates begin with them."""
    policy, _ = varying_policy(committed_rows=4)
    rows = np.full((2, 4), 0.5, np.float32)
    query = PlanQuery(4, temperature=3.0, depth=2)
    positions = policy.plan(replace(OBS, committed=rows), query).candidates.positions
    assert positions[:, :2] == pytest.approx(0.5)


def test_without_residuals_a_temperature_is_refused() -> None:
    """The command that measures them is named."""
    for refuse in (tiny_policy().check_query, partial(tiny_policy().plan, OBS)):
        with pytest.raises(ConfigError, match='cosmos-policy residuals measures them'):
            refuse(PlanQuery(2, temperature=1.0))


@pytest.mark.parametrize('temperature', [-1.0, float('nan'), float('inf')])
def test_a_temperature_is_a_number_from_zero(temperature: float) -> None:
    """Nothing else."""
    with pytest.raises(ConfigError, match='temperature of a query is a number of at least 0'):
        PlanQuery(2, temperature=temperature)
