# SPDX-License-Identifier: Apache-2.0
"""Camera images to video and back."""

from __future__ import annotations

from cosmos_policy_ros.core.images import (
    frames_to_video,
    pixel_frame,
    prepare_image,
    scale_pixels,
    unscale_pixels,
)
import numpy as np
import pytest
import torch


def test_image_is_resized_without_keeping_its_aspect() -> None:
    """A 40x30 camera image fills the square."""
    image = np.zeros((30, 40, 3), dtype=np.uint8)
    image[:, :20] = 255  # left half white
    out = prepare_image(image, 16, centre_crop=False)
    assert out.shape == (16, 16, 3)
    assert out[:, 2].min() > 250
    assert out[:, 13].max() < 5


def test_image_of_the_right_size_is_not_resampled() -> None:
    """No rounding where nothing has to change."""
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(prepare_image(image, 16, centre_crop=False), image)


def test_centre_crop_keeps_the_middle_of_224() -> None:
    """212 of 224 pixels: a border of 6 disappears, what is inside stays."""
    image = np.full((224, 224, 3), 100, dtype=np.uint8)
    image[:5] = image[-5:] = image[:, :5] = image[:, -5:] = 255
    out = prepare_image(image, 224, centre_crop=True)
    assert out.shape == (224, 224, 3)
    assert out.min() == out.max() == 100


def test_centre_crop_enlarges() -> None:
    """An edge 50 px from the centre of 224 moves to 50 * 224 / 212 px."""
    image = np.zeros((224, 224, 3), dtype=np.uint8)
    image[:, 112 + 50 :] = 255
    row = prepare_image(image, 224, centre_crop=True)[112, :, 0]
    assert int(np.argmax(row > 127)) == pytest.approx(112 + 50 * 224 / 212, abs=1)


def test_black_and_white_are_the_ends_of_the_scale() -> None:
    """uint8 0 and 255 are -1 and 1, channels first."""
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[..., 2] = 255
    scaled = scale_pixels(image)
    assert scaled.shape == (3, 2, 2)
    assert scaled[0].unique().tolist() == [-1.0]
    assert scaled[2].unique().tolist() == [1.0]


def test_pixels_survive_scaling() -> None:
    """Every uint8 comes back."""
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(unscale_pixels(scale_pixels(image)), image)


def test_pixels_outside_the_scale_are_clamped() -> None:
    """A decoder may overshoot."""
    frames = torch.tensor([-3.0, 3.0, 0.0]).view(3, 1, 1)
    assert unscale_pixels(frames).tolist() == [[[0, 255, 128]]]


def test_video_is_one_black_frame_and_four_copies_of_each_slot() -> None:
    """Five known latent frames come from 17 pixel frames."""
    slots = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 4, 1, 1, 1).expand(1, 4, 3, 2, 2)
    video = frames_to_video(slots)
    assert video.shape == (1, 3, 17, 2, 2)
    shown = video[0, 0, :, 0, 0].tolist()
    golden = [-1.0] + [0.1] * 4 + [0.2] * 4 + [0.3] * 4 + [0.4] * 4
    assert shown == pytest.approx(golden)


def test_pixel_frame_of_a_latent_frame_is_its_first_copy() -> None:
    """(i - 1) * 4 + 1."""
    assert (pixel_frame(1), pixel_frame(7)) == (1, 25)
