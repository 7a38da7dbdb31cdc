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
    columns = [
        np.vstack([_view(c.name, live.get(c.name)), _view(due, predicted.get(c.name))])
        for c in cameras
    ]
    return np.ascontiguousarray(np.hstack(columns))


def _view(caption: str, image: Image | None) -> Image:
    """Return an image of the size of a tile below its caption."""
    view = np.full((STRIP + TILE[1], TILE[0], 3), BACKGROUND, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(view, caption, (6, STRIP - 6), font, 0.45, INK, 1, cv2.LINE_AA)
    if image is not None:
        is_tile = image.shape[1::-1] == TILE
        view[STRIP:] = image if is_tile else cv2.resize(image, TILE)
    return view
