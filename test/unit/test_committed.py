# SPDX-License-Identifier: Apache-2.0
"""Committed rows: in the question, in the answer and in training samples."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.core.committed import write_committed
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.training.batch import loss_weights
from cosmos_policy_ros.training.committed import commit_rows, drift_profile
from cosmos_policy_ros.training.dataset import Batch, POLICY, VALUE, WORLD_MODEL
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
ROWS = np.array([[0.2, 0.0, -0.4, 1.0], [0.3, 0.0, -0.2, 1.0]], np.float32)
ASKED = replace(OBS, committed=ROWS)
ARM_JOINTS = np.array([True, False, True, False])


def committing_policy() -> tuple[CosmosPolicy, NotingBackend]:
    """Return a tiny policy that was trained with committed rows, and its notes."""
    backend = NotingBackend()
    return CosmosPolicy(backend, tiny_config(committed_rows=4), tiny_stats(), tiny_text()), backend


def test_committed_rows_stand_in_the_blank_frame_each_with_a_mark() -> None:
    """Normalised by the range of -2 to 2; rows that are free are zeros."""
    policy, backend = committing_policy()
    policy.plan(ASKED, PlanQuery(candidates=2))
    frame = backend.calls[0][0][1, :, 0].flatten()
    rows = frame[:30].reshape(6, 5)
    assert rows[0].tolist() == pytest.approx([0.1, 0.0, -0.2, 0.5, 1.0])
    assert rows[1].tolist() == pytest.approx([0.15, 0.0, -0.1, 0.5, 1.0])
    assert not rows[2:].any()


def test_without_committed_rows_the_question_is_what_it_was() -> None:
    """So a checkpoint that was trained without them is asked what it knows."""
    plain, plain_backend = noting_policy()
    policy, backend = committing_policy()
    plain.plan(OBS, PlanQuery(candidates=1))
    policy.plan(replace(OBS, committed=np.zeros((0, 4), np.float32)), PlanQuery(candidates=1))
    for one, other in zip(backend.calls, plain_backend.calls, strict=True):
        assert torch.equal(one[0], other[0])


def test_a_policy_that_never_saw_committed_rows_keeps_its_black_frame() -> None:
    """The rows would mean nothing to it."""
    policy, backend = noting_policy()
    policy.plan(ASKED, PlanQuery(candidates=1))
    black = policy._vision.encode_blank()[0, :, 0]
    assert torch.equal(backend.calls[0][0][0, :, 0], black)


@pytest.mark.parametrize('trained', [0, 4])
def test_every_candidate_begins_with_the_committed_rows(trained: int) -> None:
    """They are played, whatever the network made of them."""
    policy = tiny_policy(committed_rows=trained)
    positions = policy.plan(ASKED, PlanQuery(candidates=3)).candidates.positions
    np.testing.assert_allclose(positions[:, :2], np.broadcast_to(ROWS, (3, 2, 4)), atol=1e-6)
    assert np.abs(positions[:, 2:] - ROWS[1]).max() > 0.01


def test_a_scorer_that_never_saw_committed_rows_is_shown_a_black_frame() -> None:
    """Its base may have been trained with them."""
    scorer, notes = noting_policy()
    base = CosmosPolicy(
        NotingBackend(), tiny_config(committed_rows=4), tiny_stats(), tiny_text(), scorer=scorer
    )
    base.plan(ASKED, PlanQuery(candidates=1, futures=1))
    black = scorer._vision.encode_blank()[0, :, 0]
    assert notes.calls
    for latents, _, _ in notes.calls:
        assert torch.equal(latents[0, :, 0], black)


def test_committed_rows_that_no_chunk_holds_are_refused() -> None:
    """Of other joints, or so many that nothing is left to plan."""
    policy = tiny_policy()
    with pytest.raises(ValueError, match='must have 4 numbers, got 3'):
        policy.check(replace(OBS, committed=ROWS[:, :3]))
    whole = np.zeros((6, 4), np.float32)
    with pytest.raises(ValueError, match='6 committed rows leave nothing to plan in a chunk of 6'):
        policy.check(replace(OBS, committed=whole))
    with pytest.raises(ValueError, match='committed rows must be finite'):
        replace(OBS, committed=ROWS * np.nan)


def test_a_frame_that_cannot_hold_the_rows_and_their_marks_is_refused() -> None:
    """6 rows of 4 and a mark are 30 numbers; such a frame holds 16."""
    with pytest.raises(ConfigError, match='do not fit a latent frame of 16'):
        tiny_config(committed_rows=2, latent_channels=1)
    with pytest.raises(ConfigError, match='committed_rows must be below the horizon, got 6'):
        tiny_config(committed_rows=6)


def test_samples_without_committed_rows_keep_their_frame_in_a_batch() -> None:
    """Others of the same batch get theirs written."""
    latents = torch.full((2, 4, 3, 4, 4), 7.0)
    write_committed(latents, torch.ones(2, 6, 4), torch.tensor([0, 1]))
    assert (latents[0] == 7.0).all()
    frame = latents[1, :, 0].flatten()
    assert frame[:30].tolist() == [1.0] * 5 + [0.0] * 25
    assert (latents[1, :, 1:] == 7.0).all()


def still_batch(n: int, kind: int, horizon: int = 16) -> Batch:
    """Return samples of four joints that stay at 0.5."""
    return Batch(
        kind=np.full(n, kind),
        chunk=np.full((n, horizon, 4), 0.5, np.float32),
        imitate=np.ones((n, horizon), bool),
        proprio=np.zeros((n, 4), np.float32),
        future_proprio=np.zeros((n, 4), np.float32),
        image_row=np.zeros((n, 3), np.int64),
        future_row=np.zeros((n, 3), np.int64),
        latent_row=np.zeros((n, 6), np.int64),
        value=np.zeros(n, np.float32),
        task=np.zeros(n, np.int64),
        version=np.zeros(n, np.int64),
        committed=np.zeros(n, np.int64),
        label=np.zeros(n, np.int64),
    )


def test_half_of_the_samples_have_committed_rows_of_every_number() -> None:
    """1 to the most, equally often."""
    batch = commit_rows(still_batch(4000, POLICY), 8, ARM_JOINTS, np.random.default_rng(0))
    counts = np.bincount(batch.committed, minlength=9)
    assert 1900 < counts[0] < 2100
    assert len(counts) == 9
    assert (counts[1:] > 190).all()


def test_a_drifting_prefix_leaves_smoothly_and_the_targets_come_back() -> None:
    """Row 0 is where the arms are; only arm joints drift."""
    batch = commit_rows(still_batch(4000, POLICY), 8, ARM_JOINTS, np.random.default_rng(0))
    away = np.abs(batch.chunk - 0.5)
    assert not away[batch.committed == 0].any()
    assert not away[:, 0].any()
    assert not away[..., ~ARM_JOINTS].any()
    drifts = away.max(axis=(1, 2)) > 1e-4
    assert 800 < drifts.sum() < 950  # half of them, but one row has nowhere to drift to
    assert not drifts[batch.committed == 1].any()
    assert not away[:, 14:].any()  # 8 rows and 6 to come back
    steps = np.abs(np.diff(drift_profile(np.array([1, 2, 4, 8]), 16), axis=1)).max(axis=1)
    assert steps[2:].max() < 0.4  # no jump, where there is time for one without


@pytest.mark.parametrize('kind', [WORLD_MODEL, VALUE])
def test_the_actions_that_led_to_a_future_do_not_drift(kind: int) -> None:
    """Their rows may be committed all the same, as they are when candidates are judged."""
    batch = commit_rows(still_batch(100, kind), 8, ARM_JOINTS, np.random.default_rng(0))
    assert (batch.chunk == 0.5).all()
    assert (batch.committed > 0).any()


def test_committed_rows_carry_no_loss() -> None:
    """They are given; the rows behind them do."""
    batch = replace(still_batch(1, POLICY, CONFIG.horizon), committed=np.array([2]))
    weights = loss_weights(batch, CONFIG, 10.0)[0, :, CONFIG.layout.index('action')].flatten()
    assert not weights[:8].any()
    assert (weights[8:24] == 10.0).all()
