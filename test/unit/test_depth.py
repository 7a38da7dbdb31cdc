# SPDX-License-Identifier: Apache-2.0
"""A query that imagines more than one chunk: the policy acts again on the state it predicts."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.core.codec import read_vector
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
from tiny import (
    CONFIG,
    noting_policy,
    NotingBackend,
    tiny_config,
    tiny_observation,
    tiny_policy,
    tiny_stats,
    tiny_text,
)
import torch

OBS = tiny_observation()
COMMITTED = replace(OBS, committed=np.full((2, 4), 0.5, np.float32))
DISCOUNT = 0.99**6  # of the tiny policy, over its 6 rows


def test_depth_two_is_two_queries_with_the_predicted_frames_between_them() -> None:
    """Chunk, images and joints are those of depth 1; the value is that of the second chunk."""
    policy = tiny_policy()
    shallow, deep = (policy.plan(OBS, PlanQuery(3, depth=d, seed=7)) for d in (1, 2))
    assert np.array_equal(deep.candidates.positions, shallow.candidates.positions)
    assert np.array_equal(deep.candidates.future_proprio, shallow.candidates.future_proprio)
    assert np.array_equal(policy.images(deep)['high'], policy.images(shallow)['high'])
    for i in range(3):
        acted = policy.act(OBS, PlanQuery(1, seed=7 + i))
        again = policy.act_on_future(acted, PlanQuery(1, seed=7))
        value = float(policy.read_values(again)[0])
        assert deep.candidates.values[i, 0] == pytest.approx(value * DISCOUNT, abs=1e-5)
    assert not np.allclose(deep.candidates.values, shallow.candidates.values, atol=1e-3)


def test_the_second_chunk_is_denoised_from_the_predicted_frames() -> None:
    """Images as they were generated, joints as a clean vector, a black blank frame."""
    policy, backend = noting_policy()
    acted = policy.act(OBS, PlanQuery(2))
    policy.act_on_future(acted, PlanQuery(2))
    shown = backend.calls[10][0]
    assert torch.equal(shown[:, :, 2:5], acted.latents[:, :, 7:10])
    size = CONFIG.proprio_size
    joints = read_vector(acted.latents, 6, size)
    assert torch.allclose(shown[:, :, 1].flatten(1), joints.repeat(1, 16), atol=1e-6)
    black = policy._vision.encode_blank()[0, :, 0]
    assert all(torch.equal(blank, black) for blank in shown[:, :, 0])


def test_all_rows_of_the_second_chunk_have_the_same_noise() -> None:
    """That of candidate 0: rows that begin in the same state end alike."""
    policy = tiny_policy()
    acted = policy.act(OBS, PlanQuery(1))
    twice = acted.rows([0, 0])
    again = policy.act_on_future(replace(twice, seeds=(0, 5)), PlanQuery(2))
    assert again.seeds == (0, 0)
    assert torch.allclose(again.latents[0], again.latents[1], atol=1e-5)


def test_candidates_of_every_depth_are_rows_of_the_same_calls() -> None:
    """10 calls of 4 rows for each of three chunks, and the autoencoder sees the images once."""
    policy, backend = noting_policy()
    policy.plan(OBS, PlanQuery(4, depth=3))
    assert [len(latents) for latents, _, _ in backend.calls] == [4] * 30
    assert [shape[0] for shape in backend.encoded] == [1, 3]


def test_every_future_is_acted_on_and_has_one_future_behind() -> None:
    """2 candidates with 3 futures are 6 second chunks, 6 futures of those, and 12 values."""
    policy, backend = noting_policy()
    answer = policy.plan(OBS, PlanQuery(2, futures=3, values=2, depth=2))
    rows = [len(latents) for latents, _, _ in backend.calls]
    assert rows == [2] * 10 + [6, 4, 4, 2, 2] + [6] * 10 + [6] * 5 + [12, 6, 6, 6, 6]
    assert answer.candidates.values.shape == (2, 6)
    assert policy.images(answer)['high'].shape[0] == 2


def test_max_rows_bounds_every_call_of_a_deep_query() -> None:
    """The result is the same."""
    policy, backend = noting_policy()
    whole = policy.plan(OBS, PlanQuery(4, 2, 2, 2)).candidates
    policy.max_rows = 3
    backend.calls.clear()
    split = policy.plan(OBS, PlanQuery(4, 2, 2, 2)).candidates
    assert max(len(latents) for latents, _, _ in backend.calls) == 3
    np.testing.assert_allclose(split.values, whole.values, atol=1e-5)


def test_the_second_chunk_commits_to_nothing() -> None:
    """The rows of the query have been played when it begins, and so has the rest of the chunk."""
    backend = NotingBackend()
    config = tiny_config(committed_rows=4)
    policy = CosmosPolicy(backend, config, tiny_stats(), tiny_text())
    candidates = policy.plan(COMMITTED, PlanQuery(2, depth=2)).candidates
    assert candidates.positions[:, :2] == pytest.approx(0.5)
    black = policy._vision.encode_blank()[0, :, 0]
    assert not torch.equal(backend.calls[0][0][0, :, 0], black)
    assert torch.equal(backend.calls[10][0][0, :, 0], black)


def test_a_scorer_imagines_and_the_policy_acts() -> None:
    """10 calls of the base, 5 of the scorer's world model, and both once more."""
    scorer, scoring = noting_policy('value_future_only')
    proposing = NotingBackend()
    base = CosmosPolicy(proposing, CONFIG, tiny_stats(), tiny_text(), scorer=scorer)
    values = base.plan(OBS, PlanQuery(3, depth=2)).candidates.values
    assert (len(proposing.calls), len(scoring.calls)) == (20, 10)
    assert values.shape == (3, 1)
    assert torch.equal(proposing.calls[10][0][:, :, 2:5], scoring.calls[5][0][:, :, 2:5])


def test_a_value_of_actions_is_that_of_the_second_action() -> None:
    """Q(s', a') of the state that was denoised together with the first action."""
    policy, backend = noting_policy('value_q')
    assert policy.plan(OBS, PlanQuery(2, values=1, depth=2)).candidates.values.shape == (2, 1)
    assert len(backend.calls) == 25
    again, valued = backend.calls[10][0], backend.calls[20][0]
    assert torch.equal(valued[:, :, 2:5], again[:, :, 2:5])
    assert not torch.equal(valued[:, :, 5], again[:, :, 5])


def test_a_deep_query_in_a_hurry_makes_one_step_of_every_stage() -> None:
    """An answer of every depth that was asked for, since the values shall be comparable."""
    policy, backend = noting_policy()
    answer = policy.plan(OBS, PlanQuery(2, 1, 1, 2, budget_s=0.0))
    assert len(backend.calls) == 5
    assert answer.steps == 1


def test_room_is_left_for_all_that_is_imagined_behind() -> None:
    """Of the first chunk: 5 steps of its future, 10 + 5 of the second one's, 5 of the value."""
    policy = tiny_policy()
    assert policy._steps_behind(PlanQuery(4, 1, 1, 2)) == 25
    assert policy._steps_behind(PlanQuery(4, 1, 1, 2), imagined=True) == 20
    assert policy._steps_behind(PlanQuery(4, 1, 1, 2), depth=2) == 10
    assert policy._steps_behind(PlanQuery(4, 3, 5)) == 9 + 3 * 15
    assert policy._steps_behind(PlanQuery(4, depth=3, steps=2)) == 4


@pytest.mark.parametrize('depth', [0, -1])
def test_a_query_imagines_at_least_one_chunk(depth: int) -> None:
    """It would have no value otherwise."""
    with pytest.raises(ConfigError, match='at least 1 chunk, got a depth of'):
        PlanQuery(1, depth=depth)


def test_a_query_with_less_time_looks_less_far() -> None:
    """Two chunks, then one."""
    query = PlanQuery(8, depth=2, seed=3)
    assert query.reduced(4, 1, 1) == PlanQuery(4, seed=3, steps=1)
    assert query.reduced(8, None) == query
