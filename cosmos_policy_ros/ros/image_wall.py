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
    predicted: Mapping[str, Image] | None,
    ahead_s: float | None,
    wall: Image | None = None,
) -> Image:
    """Return the (height, width, 3) uint8 RGB image; views that are missing are dark.

    Args:
        cameras: The cameras, from left to right.
        live: Camera -> its newest image.
        predicted: Camera -> its predicted image, of any size: a policy squeezes what it sees. None
            leaves those that are in ``wall``.
        ahead_s: How far ahead the prediction is due [s], negative when it is past; None without.
        wall: An image of these cameras, contiguous, to draw over; None makes a new one.
    """
    due = 'no prediction' if ahead_s is None else f'expected in {ahead_s:+.1f} s'
    (width, height), n = TILE, len(cameras)
    if wall is None:
        wall = np.empty((2 * (STRIP + height), n * width, 3), np.uint8)
    rows = wall.reshape(2, STRIP + height, n * width, 3)  # a view of it
    for i, camera in enumerate(cameras):
        above, below = rows[:, :, i * width : (i + 1) * width]
        _draw_caption(above, camera.name)
        _draw_caption(below, due)
        _draw_image(above, live.get(camera.name))
        if predicted is not None:
            _draw_image(below, predicted.get(camera.name))
    return wall


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


def _draw_caption(view: Image, caption: str) -> None:
    """Draw a caption above the image of a part of the wall."""
    strip, font = view[:STRIP], cv2.FONT_HERSHEY_SIMPLEX
    strip[:] = BACKGROUND
    cv2.putText(strip, caption, (6, STRIP - 6), font, 0.45, INK, 1, cv2.LINE_AA)


def _draw_image(view: Image, image: Image | None) -> None:
    """Draw an image into a part of the wall, dark without one."""
    if image is None:
        view[STRIP:] = BACKGROUND
    else:
        view[STRIP:] = image if image.shape[1::-1] == TILE else cv2.resize(image, TILE)
