# SPDX-License-Identifier: Apache-2.0
"""Camera images to video and back."""

from __future__ import annotations

from cosmos_policy_ros.core.config import ImageRecipe
from cosmos_policy_ros.core.images import (
    crop_image,
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
    out = prepare_image(image, ImageRecipe(16))
    assert out.shape == (16, 16, 3)
    assert out[:, 2].min() > 250
    assert out[:, 13].max() < 5


def test_image_of_the_right_size_is_not_resampled() -> None:
    """No rounding where nothing has to change."""
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(prepare_image(image, ImageRecipe(16)), image)


def test_image_is_flipped_before_all_else() -> None:
    """Rows only: left stays left."""
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[0, 1] = 200
    assert prepare_image(image, ImageRecipe(4, flip=True))[3, 1].tolist() == [200, 200, 200]


def test_image_goes_through_the_jpeg_of_the_training() -> None:
    """Also one that is not resized; grey noise is a few levels off, flat areas none."""
    grey = np.random.default_rng(0).integers(0, 256, (16, 16, 1), dtype=np.uint8)
    noise = grey.repeat(3, axis=2)
    flat = np.full((16, 16, 3), 90, dtype=np.uint8)
    recipe = ImageRecipe(16, jpeg_quality=95)
    assert 0.3 < np.abs(prepare_image(noise, recipe).astype(int) - noise).mean() < 5.0
    assert np.array_equal(prepare_image(flat, recipe), flat)


def test_image_stops_at_the_size_of_the_training_videos() -> None:
    """Two steps are another image than one; what has the model's size keeps it."""
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    stopped, direct = (prepare_image(image, ImageRecipe(16, resize_first=n)) for n in (20, 0))
    twice = prepare_image(prepare_image(image, ImageRecipe(20)), ImageRecipe(16))
    assert np.array_equal(stopped, twice)
    assert not np.array_equal(stopped, direct)
    assert np.array_equal(prepare_image(stopped, ImageRecipe(16, resize_first=20)), stopped)


def test_centre_crop_keeps_the_middle_of_224() -> None:
    """212 of 224 pixels: a border of 6 disappears, what is inside stays."""
    image = np.full((224, 224, 3), 100, dtype=np.uint8)
    image[:5] = image[-5:] = image[:, :5] = image[:, -5:] = 255
    out = crop_image(image)
    assert out.shape == (224, 224, 3)
    assert out.min() == out.max() == 100


def test_centre_crop_enlarges() -> None:
    """An edge 50 px from the centre of 224 moves to 50 * 224 / 212 px."""
    image = np.zeros((224, 224, 3), dtype=np.uint8)
    image[:, 112 + 50 :] = 255
    row = crop_image(image)[112, :, 0]
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
