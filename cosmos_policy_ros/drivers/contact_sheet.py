# SPDX-License-Identifier: Apache-2.0
"""One picture of what all cameras see now, each under its name."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
from itertools import islice

from cosmos_policy_ros.drivers.table import DRIVERS
from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.types import ConfigError
import cv2
import numpy as np
from numpy.typing import NDArray

WARM_UP = 15  # images that a camera needs to find its exposure
WIDTH, HEIGHT, TITLE = 480, 360, 56  # of a tile, and of the text above it [px]
COLUMNS = 3


@dataclass(frozen=True)
class Shot:
    """What a camera sees, or why it shows nothing.

    Attributes:
        camera: The camera.
        image: (height, width, 3) uint8 RGB; None where there is none.
        reason: Why there is none.
    """

    camera: CameraSpec
    image: NDArray[np.uint8] | None
    reason: str = ''


def take_shot(camera: CameraSpec) -> Shot:
    """Return what a camera sees after its first images, or why it shows nothing."""
    try:
        with contextlib.closing(DRIVERS[camera.driver].frames(camera)) as frames:
            return Shot(camera, next(islice(frames, WARM_UP, None)).image)
    except (ConnectionError, ConfigError) as error:
        return Shot(camera, None, str(error))


def draw_sheet(shots: Sequence[Shot]) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 RGB picture of at least one camera."""
    columns = min(COLUMNS, len(shots))
    tiles = [_draw_tile(shot) for shot in shots]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _draw_tile(shot: Shot) -> NDArray[np.uint8]:
    """Return an image under its camera's name, grey where there is none."""
    tile = np.full((TITLE + HEIGHT, WIDTH, 3), 255, np.uint8)
    picture = np.full((HEIGHT, WIDTH, 3), 160, np.uint8)
    if shot.image is not None:
        height, width = shot.image.shape[:2]
        scale = min(WIDTH / width, HEIGHT / height)
        size = (round(width * scale), round(height * scale))
        small = cv2.resize(shot.image, size, interpolation=cv2.INTER_AREA)
        picture[: size[1], : size[0]] = small
    tile[TITLE:] = picture
    below = 'no image' if shot.image is None else shot.camera.device[-52:]
    for text, y, scale in ((shot.camera.name, 22, 0.7), (below, 46, 0.5)):
        cv2.putText(
            tile, text, (6, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA
        )
    return tile
