# SPDX-License-Identifier: Apache-2.0
"""One image of what all cameras show, above what the policy predicts that they will show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cosmos_policy_ros.robot import CameraSpec
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (height, width, 3) RGB
TILE = (320, 240)  # [px] width and height of one view
STRIP = 20  # [px] height of the caption above each
BACKGROUND, INK = 24, (225, 225, 225)
NOISE_PX, PART_PX = 5, 24  # [px] over which noise is averaged, and the side of a part


def compose_wall(
    cameras: Sequence[CameraSpec],
    live: Mapping[str, Image],
    predicted: Mapping[str, Image],
    ahead_s: float | None,
) -> Image:
    """Return the (height, width, 3) uint8 RGB image; views that are missing are dark.

    Args:
        cameras: The cameras, from left to right.
        live: Camera -> its newest image.
        predicted: Camera -> its predicted image, of any size: a policy squeezes what it sees.
        ahead_s: How far ahead the prediction is due [s], negative when it is past; None without.
    """
    due = 'no prediction' if ahead_s is None else f'expected in {ahead_s:+.1f} s'
    (width, height), n = TILE, len(cameras)
    wall = np.full((2, STRIP + height, n * width, 3), BACKGROUND, np.uint8)
    for i, camera in enumerate(cameras):
        above, below = wall[:, :, i * width : (i + 1) * width]
        _draw_view(above, camera.name, live.get(camera.name))
        _draw_view(below, due, predicted.get(camera.name))
    return wall.reshape(-1, n * width, 3)


def find_differences(cameras: Sequence[CameraSpec], wall: Image, start: Image) -> dict[str, float]:
    """Return camera -> how far what it shows is from what it showed at a start state.

    That is the mean difference in the part of the image where it is largest, in levels of grey
    from 0 to 255: a piece that lies elsewhere fills little of an image and all of such a part.

    Args:
        cameras: As of ``compose_wall``.
        wall: What they show, as of ``compose_wall``.
        start: What they showed then, likewise.

    Raises:
        ValueError: The two are of other cameras.
    """
    if wall.shape != start.shape or wall.shape[1] != len(cameras) * TILE[0]:
        msg = f'images of {wall.shape} and {start.shape} are not both of {len(cameras)} cameras'
        raise ValueError(msg)
    live = slice(STRIP, STRIP + TILE[1])  # above what is predicted
    grey = [cv2.cvtColor(image[live], cv2.COLOR_RGB2GRAY) for image in (wall, start)]
    noiseless = [cv2.blur(image, (NOISE_PX, NOISE_PX)) for image in grey]
    gap = cv2.absdiff(*noiseless)
    views = np.split(gap, len(cameras), axis=1)
    means = [cv2.blur(view, (PART_PX, PART_PX)) for view in views]
    return {c.name: float(mean.max()) for c, mean in zip(cameras, means, strict=True)}


def _draw_view(view: Image, caption: str, image: Image | None) -> None:
    """Draw a caption and below it an image into its part of the wall."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(view, caption, (6, STRIP - 6), font, 0.45, INK, 1, cv2.LINE_AA)
    if image is not None:
        is_tile = image.shape[1::-1] == TILE
        view[STRIP:] = image if is_tile else cv2.resize(image, TILE)
