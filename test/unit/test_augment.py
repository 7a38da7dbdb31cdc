# SPDX-License-Identifier: Apache-2.0
"""Random crop, rotation and colour of training images."""

from cosmos_policy_ros.training.augment import augment_image, Augmentation, draw_augmentation
import numpy as np

NEUTRAL = Augmentation(0.5, 0.5, 0.0, 1.0, 1.0, 1.0, 0.0)


def test_neutral_augmentation_is_the_centre_crop() -> None:
    """A white frame of one pixel on black falls outside the crop of 30 of 32 pixels."""
    image = np.full((32, 32, 3), 255, np.uint8)
    image[1:-1, 1:-1] = 0
    assert not augment_image(image, NEUTRAL).any()


def test_augmentation_turns_and_recolours() -> None:
    """Half the colour circle on turns red into cyan."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 255
    turned = augment_image(image, Augmentation(0.5, 0.5, 5.0, 1.0, 1.0, 1.0, 0.5))
    assert turned[16, 16].tolist() == [0, 252, 255]  # eight bits of hue are that coarse
    assert turned[0, 0].tolist() == [0, 0, 0]


def test_same_draw_gives_the_same_image() -> None:
    """Current and future images of one version get one change."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    images = [augment_image(image, draw_augmentation(np.random.default_rng(3))) for _ in range(2)]
    np.testing.assert_array_equal(images[0], images[1])
