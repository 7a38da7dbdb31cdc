# SPDX-License-Identifier: Apache-2.0
"""The camera drivers by their names in robot files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
import contextlib
from dataclasses import dataclass
import threading

from cosmos_policy_ros.drivers import file, realsense, v4l2
from cosmos_policy_ros.drivers.frame import Device, Frame
from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.types import ConfigError

RETRY_S = 1.0  # [s] between two tries to open a camera


@dataclass(frozen=True)
class Driver:
    """One way to reach cameras.

    Attributes:
        frames: Yields the images of a camera until it is lost; closing it closes the camera.
        list_devices: Returns the cameras that are plugged in.
    """

    frames: Callable[[CameraSpec], Generator[Frame, None, None]]
    list_devices: Callable[[], list[Device]]


DRIVERS = {  # what they are is told in ``robot.CAMERA_DRIVERS``
    'realsense': Driver(realsense.frames, realsense.list_devices),
    'v4l2': Driver(v4l2.frames, v4l2.list_devices),
    'file': Driver(file.frames, file.list_devices),
}


def keep_frames(
    camera: CameraSpec, on_loss: Callable[[str], None], stop: threading.Event
) -> Iterator[Frame]:
    """Yield the images of a camera for as long as wanted, also after it was unplugged.

    Args:
        camera: The camera, with a driver.
        on_loss: Called with the reason whenever it cannot be opened or is lost.
        stop: Ends the images when set, within the time that a driver waits for one.
    """
    while not stop.is_set():
        for frame in _frames_until_lost(camera, on_loss):
            yield frame
            if stop.is_set():
                return
        stop.wait(RETRY_S)


def _frames_until_lost(camera: CameraSpec, on_loss: Callable[[str], None]) -> Iterator[Frame]:
    try:
        with contextlib.closing(DRIVERS[camera.driver].frames(camera)) as frames:
            yield from frames
    except (ConnectionError, ConfigError) as error:
        on_loss(str(error))
