# SPDX-License-Identifier: Apache-2.0
"""Random changes of training pictures: crop, turn and colour.

Source: NVlabs/cosmos-policy ``dataset_utils.apply_image_aug``, its "stronger" setting.
Differs: one change is drawn for a version of an episode instead of for every sample, so that the
latents of a version can be computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

from cosmos_policy_ros.core.images import CROP_AREA
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

TURN_DEG = 5.0
BRIGHTNESS, CONTRAST, SATURATION = (0.7, 1.3), (0.6, 1.4), (0.5, 1.5)
HUE = 0.05  # of the colour circle


@dataclass(frozen=True)
class Change:
    """What is done to a picture.

    Attributes:
        left: Place of the crop, 0 at the left border to 1 at the right.
        top: The same from the top.
        turn_deg: Rotation, counter-clockwise.
        brightness: Factor.
        contrast: Factor.
        saturation: Factor.
        hue: Shift, in turns of the colour circle.
    """

    left: float
    top: float
    turn_deg: float
    brightness: float
    contrast: float
    saturation: float
    hue: float


def draw_change(rng: np.random.Generator) -> Change:
    """Return a random change."""
    return Change(
        rng.uniform(),
        rng.uniform(),
        rng.uniform(-TURN_DEG, TURN_DEG),
        rng.uniform(*BRIGHTNESS),
        rng.uniform(*CONTRAST),
        rng.uniform(*SATURATION),
        rng.uniform(-HUE, HUE),
    )


def change_picture(picture: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Return a changed (size, size, 3) uint8 RGB picture of the same size."""
    size = picture.shape[0]
    side = int(size * math.sqrt(CROP_AREA))
    left, top = round(change.left * (size - side)), round(change.top * (size - side))
    bilinear = Image.Resampling.BILINEAR
    image = Image.fromarray(picture).crop((left, top, left + side, top + side))
    image = image.resize((size, size), bilinear).rotate(change.turn_deg, bilinear)
    image = ImageEnhance.Brightness(image).enhance(change.brightness)
    image = ImageEnhance.Contrast(image).enhance(change.contrast)
    image = ImageEnhance.Color(image).enhance(change.saturation)
    hsv = np.array(image.convert('HSV'))
    hsv[..., 0] = (hsv[..., 0].astype(np.int64) + round(change.hue * 256)) % 256
    return np.array(Image.fromarray(hsv, 'HSV').convert('RGB'))
