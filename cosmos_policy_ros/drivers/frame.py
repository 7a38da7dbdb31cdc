# SPDX-License-Identifier: Apache-2.0
"""What every camera driver yields, and what it tells of a device."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.types import ConfigError, Intrinsics
import numpy as np
from numpy.typing import NDArray

LOST_S = 1.0  # [s] without an image after which a camera counts as unplugged


@dataclass(frozen=True)
class Frame:
    """One image of a camera.

    Attributes:
        image: (height, width, 3) uint8 RGB.
        stamp_ns: When it was taken [ns, system clock].
        intrinsics: How the camera projects, None where it does not tell.
    """

    image: NDArray[np.uint8]
    stamp_ns: int
    intrinsics: Intrinsics | None = None


@dataclass(frozen=True)
class Device:
    """A camera that is plugged in.

    Attributes:
        driver: Its row of ``CAMERA_DRIVERS``.
        device: What a robot file calls it.
        name: Its model, for people.
        detail: What else is known, such as the speed of its USB port.
    """

    driver: str
    device: str
    name: str
    detail: str = ''


def expect_size(camera: CameraSpec, image: NDArray[np.uint8]) -> None:
    """Refuse an image that is not of the size in the robot file.

    Raises:
        ConfigError: It is not; the message has both sizes.
    """
    height, width = image.shape[:2]
    if (height, width) != (camera.height, camera.width):
        msg = f'{camera.name}: {camera.device} gives {width}x{height} images, the robot file has '
        msg += f'{camera.width}x{camera.height}'
        raise ConfigError(msg)
