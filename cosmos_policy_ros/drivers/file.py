# SPDX-License-Identifier: Apache-2.0
"""A film or a folder of images in place of a camera, over and over, to try without hardware."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
import time

from cosmos_policy_ros.drivers.frame import Device, expect_size, Frame
from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.types import ConfigError
import cv2
import numpy as np
from numpy.typing import NDArray

IMAGES = ('.png', '.jpg', '.jpeg')


def list_devices() -> list[Device]:
    """Return nothing: a file is not plugged in."""
    return []


def frames(camera: CameraSpec) -> Generator[Frame, None, None]:
    """Yield the images of a film or a folder at the camera's rate, stamped now, for ever.

    Args:
        camera: Size and rate; its device is the path of a film or of a folder of images, which
            are taken in the order of their names.

    Raises:
        ConfigError: There is no such file, no image in it, or it has another size.
    """
    path = Path(camera.device).expanduser()
    due_s = time.monotonic()
    while True:
        n = 0
        for image in _images(path):
            expect_size(camera, image)
            due_s = max(due_s, time.monotonic() - 1.0)  # a stop is not caught up with
            time.sleep(max(due_s - time.monotonic(), 0.0))
            due_s += 1.0 / camera.rate_hz
            n += 1
            yield Frame(image, time.time_ns())
        if not n:
            msg = f'{camera.name}: no images in {path}; give a film or a folder of {IMAGES}'
            raise ConfigError(msg)


def _images(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield (height, width, 3) uint8 RGB images once; none where there are none."""
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGES)
        for file in files:
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is not None:
                yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return
    if not path.is_file():
        return
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            came, image = capture.read()
            if not came:
                return
            yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    finally:
        capture.release()
