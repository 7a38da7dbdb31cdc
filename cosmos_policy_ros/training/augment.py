# SPDX-License-Identifier: Apache-2.0
"""Random augmentation of training images: crop, rotation and colour.

Source: NVlabs/cosmos-policy ``dataset_utils.apply_image_aug``, its "stronger" setting.
Differs: one augmentation is drawn for a version of an episode instead of for every sample, so that
the latents of a version can be computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

from cosmos_policy_ros.core.config import CROP_AREA
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

TURN_DEG = 5.0
BRIGHTNESS, CONTRAST, SATURATION = (0.7, 1.3), (0.6, 1.4), (0.5, 1.5)
HUE = 0.05  # of the colour circle


@dataclass(frozen=True)
class Augmentation:
    """The parameters of one augmentation.

    Attributes:
        left: Place of the crop, 0 at the left border to 1 at the right.
        top: Place of the crop, 0 at the upper border to 1 at the lower.
        turn_deg: Rotation, counter-clockwise [degrees].
        brightness: Factor of the brightness.
        contrast: Factor of the contrast.
        saturation: Factor of the saturation.
        hue: Shift of the hue, in turns of the colour circle.
    """

    left: float
    top: float
    turn_deg: float
    brightness: float
    contrast: float
    saturation: float
    hue: float


def draw_augmentation(rng: np.random.Generator) -> Augmentation:
    """Return a random augmentation."""
    return Augmentation(
        left=rng.uniform(),
        top=rng.uniform(),
        turn_deg=rng.uniform(-TURN_DEG, TURN_DEG),
        brightness=rng.uniform(*BRIGHTNESS),
        contrast=rng.uniform(*CONTRAST),
        saturation=rng.uniform(*SATURATION),
        hue=rng.uniform(-HUE, HUE),
    )


def augment_image(image: NDArray[np.uint8], augmentation: Augmentation) -> NDArray[np.uint8]:
    """Return an augmented copy of an image, of the same size.

    Args:
        image: (size, size, 3) uint8 RGB.
        augmentation: Crop, rotation and colour, applied in this order.
    """
    size = image.shape[0]
    side = int(size * math.sqrt(CROP_AREA))
    left = round(augmentation.left * (size - side))
    top = round(augmentation.top * (size - side))
    bilinear = Image.Resampling.BILINEAR
    pil = Image.fromarray(image).crop((left, top, left + side, top + side))
    pil = pil.resize((size, size), bilinear).rotate(augmentation.turn_deg, bilinear)
    pil = ImageEnhance.Brightness(pil).enhance(augmentation.brightness)
    pil = ImageEnhance.Contrast(pil).enhance(augmentation.contrast)
    pil = ImageEnhance.Color(pil).enhance(augmentation.saturation)
    hsv = np.array(pil.convert('HSV'))
    hsv[..., 0] = (hsv[..., 0].astype(np.int64) + round(augmentation.hue * 256)) % 256
    return np.array(Image.fromarray(hsv, 'HSV').convert('RGB'))
