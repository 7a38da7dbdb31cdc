# SPDX-License-Identifier: Apache-2.0
"""The waist checks what passes it."""

import math

from cosmos_policy_ros.types import ActionChunk, Candidates, find_played, JointCommand, Observation
import numpy as np
import pytest

IMAGE = np.zeros((4, 6, 3), np.uint8)
PROPRIO = np.zeros(14, np.float32)


def test_observation_takes_what_a_robot_senses() -> None:
    """Images may have any size."""
    assert Observation(0, {'high': IMAGE}, PROPRIO, 'task').images['high'].shape == (4, 6, 3)


def test_nan_in_proprio_is_refused() -> None:
    """Non-finite joints never reach a network."""
    bad = PROPRIO.copy()
    bad[3] = np.nan
    with pytest.raises(ValueError, match='proprio must be finite, got 1 NaN'):
        Observation(0, {'high': IMAGE}, bad, 'task')


def test_image_of_floats_is_refused() -> None:
    """A float image may hold NaN and another range."""
    with pytest.raises(TypeError, match="image 'high' must be uint8, got float32"):
        Observation(0, {'high': IMAGE.astype(np.float32)}, PROPRIO, 'task')


def test_image_without_colour_is_refused() -> None:
    """Two axes are no RGB image."""
    with pytest.raises(ValueError, match=r'shape \(any, any, 3\), got \(4, 6\)'):
        Observation(0, {'high': IMAGE[..., 0]}, PROPRIO, 'task')


def test_chunk_with_infinity_is_refused() -> None:
    """Before it can become motion."""
    rows = np.full((2, 14), np.inf, np.float32)
    with pytest.raises(ValueError, match='28 NaN or infinite'):
        ActionChunk(0, rows, 25.0)


def test_chunk_without_a_rate_is_refused() -> None:
    """Rows need a spacing."""
    with pytest.raises(ValueError, match='positive number of Hz, got 0'):
        ActionChunk(0, np.zeros((2, 14), np.float32), 0.0)


def test_candidates_agree_on_their_number() -> None:
    """Values of three candidates do not belong to two."""
    with pytest.raises(ValueError, match=r'candidate values must have shape \(2, any\)'):
        Candidates(0, np.zeros((2, 5, 14), 'f4'), np.zeros((3, 1), 'f4'), np.zeros((2, 14), 'f4'))


def test_the_candidate_that_is_played_is_found_by_its_rows() -> None:
    """Over all answers, and where the chunk is the first rows of it alone."""
    rows = np.stack([np.full((3, 2), x, np.float32) for x in (0.0, 0.5)])
    values, poses = np.zeros((2, 1), np.float32), np.zeros((2, 2), np.float32)
    far = rows + np.float32(2)
    answers = [Candidates(0, positions, values, poses) for positions in (rows, far)]
    assert find_played(answers, rows[1]) == (1, 0.0)
    assert find_played(answers, far[0, :2]) == (2, 0.0)
    assert find_played(answers, rows[0] + np.float32(0.125)) == (0, 0.125)
    for other in (np.zeros((4, 2)), np.zeros((3, 3)), np.zeros((0, 2))):
        assert find_played(answers, other) == (None, math.inf)
    assert find_played([], rows[0]) == (None, math.inf)


def test_command_of_doubles_is_refused() -> None:
    """Everything on the way is float32, as on the wire."""
    with pytest.raises(TypeError, match='float32'):
        JointCommand(0, np.zeros(14), 'ok')
