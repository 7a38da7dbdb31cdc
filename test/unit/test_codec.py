# SPDX-License-Identifier: Apache-2.0
"""Vectors in latent frames: tiling, averaging, round trips."""

from __future__ import annotations

from cosmos_policy_ros.core.codec import read_value, read_vector, write_value, write_vector
from hypothesis import given, settings, strategies as st
import pytest
import torch


def test_vector_is_tiled_row_major_and_cut() -> None:
    """Seven numbers of a 2x2x2 frame: three, three, two."""
    latents = torch.zeros(1, 2, 3, 2, 2)
    write_vector(latents, 1, torch.tensor([[1.0, 2.0, 3.0]]))
    assert latents[0, :, 1].flatten().tolist() == [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]


def test_other_frames_are_not_touched() -> None:
    """Writing frame 1 leaves 0 and 2 alone."""
    latents = torch.zeros(1, 2, 3, 2, 2)
    write_vector(latents, 1, torch.ones(1, 3))
    assert not latents[:, :, [0, 2]].any()


@pytest.mark.parametrize(
    ('horizon', 'size', 'copies', 'tail'),
    [(16, 7, 112, 0), (32, 7, 56, 0), (50, 14, 17, 644)],
    ids=['libero', 'robocasa', 'aloha'],
)
def test_action_chunk_fills_the_official_frame(
    horizon: int, size: int, copies: int, tail: int
) -> None:
    """Copies and tail in a frame of 16x28x28 = 12544 numbers; time is outermost."""
    chunk = torch.arange(horizon * size, dtype=torch.float32).reshape(1, horizon, size)
    latents = torch.zeros(1, 16, 1, 28, 28)
    write_vector(latents, 0, chunk)
    flat = latents.flatten()
    assert flat[: copies * horizon * size].tolist() == chunk.flatten().tolist() * copies
    assert len(flat) - copies * horizon * size == tail
    assert flat[len(flat) - tail :].tolist() == chunk.flatten()[:tail].tolist()


def test_reading_is_the_mean_of_the_full_copies() -> None:
    """Copies (1, 2, 3) and (3, 4, 5); the tail 100, 100 is ignored."""
    latents = torch.tensor([1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 100.0, 100.0]).reshape(1, 2, 1, 2, 2)
    assert read_vector(latents, 0, 3).tolist() == [[2.0, 3.0, 4.0]]


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(
        st.lists(st.floats(-1, 1, width=32), min_size=5, max_size=5), min_size=1, max_size=3
    ),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
)
def test_written_vectors_are_read_back(
    numbers: list[list[float]], shape: tuple[int, int, int]
) -> None:
    """Any batch and any frame that is large enough; float32 means round at 1e-6."""
    c, h, w = shape
    if c * h * w < 5:
        return
    latents = torch.zeros(len(numbers), c, 2, h, w)
    vector = torch.tensor(numbers)
    write_vector(latents, 1, vector)
    torch.testing.assert_close(read_vector(latents, 1, 5), vector, atol=1e-6, rtol=0.0)


@settings(max_examples=60, deadline=None)
@given(value=st.floats(0, 1, width=32))
def test_written_values_are_read_back(value: float) -> None:
    """Any value in [0, 1]."""
    latents = torch.zeros(1, 16, 2, 8, 8)
    write_value(latents, 1, torch.tensor([value]))
    assert read_value(latents, 1).item() == pytest.approx(value, abs=1e-6)


def test_value_fills_its_frame_scaled() -> None:
    """0.75 is stored as 0.5."""
    latents = torch.zeros(1, 2, 1, 2, 2)
    write_value(latents, 0, torch.tensor([0.75]))
    assert latents.flatten().tolist() == [0.5] * 8


def test_value_is_clamped_to_its_range() -> None:
    """A frame of 3 means certain success, a frame of -3 certain failure."""
    latents = torch.tensor([3.0, -3.0]).view(2, 1, 1, 1, 1).expand(2, 2, 1, 2, 2)
    assert read_value(latents, 0).tolist() == [1.0, 0.0]


def test_too_large_vector_is_refused() -> None:
    """A vector that does not fit would lose its end."""
    latents = torch.zeros(1, 2, 1, 2, 2)
    with pytest.raises(ValueError, match='9 numbers does not fit a latent frame of 8'):
        write_vector(latents, 0, torch.zeros(1, 9))
    with pytest.raises(ValueError, match='9 numbers does not fit'):
        read_vector(latents, 0, 9)
