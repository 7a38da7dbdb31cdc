# SPDX-License-Identifier: Apache-2.0
"""Cameras of Video4Linux, such as USB cameras, through OpenCV, by their device file."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
import time

from cosmos_policy_ros.drivers.frame import Device, expect_size, Frame
from cosmos_policy_ros.robot import CameraSpec
import cv2
import numpy as np

KERNEL = Path('/sys/class/video4linux')  # a folder for each device file
DEVICES = Path('/dev')
OLDEST_NS = 1_000_000_000  # a stamp of the kernel that is older is of another clock
MANUAL, AUTOMATIC = 1, 3  # V4L2's modes of exposure
EXPOSURE_UNIT_US = 100.0  # of V4L2


def list_devices(kernel: Path = KERNEL, devices: Path = DEVICES) -> list[Device]:
    """Return the cameras that are plugged in, by a name that a change of ports leaves.

    Args:
        kernel: Where the kernel lists them.
        devices: Where the device files are.
    """
    by_id = {link.resolve(): link for link in sorted(devices.glob('v4l/by-id/*'))}
    found = []
    for folder in sorted(kernel.glob('video*'), key=lambda f: (len(f.name), f.name)):
        if (folder / 'index').read_text('ascii').strip() != '0':
            continue  # metadata of the camera before
        file = devices / folder.name
        name = (folder / 'name').read_text('utf-8').strip()
        if 'RealSense' in name:
            continue  # that driver lists it once, not a file for each of its sensors
        found.append(Device('v4l2', str(by_id.get(file.resolve(), file)), name, str(file)))
    return found


def frames(camera: CameraSpec) -> Generator[Frame, None, None]:
    """Yield the images of a camera until it is unplugged; closing the generator closes it.

    Args:
        camera: Size, rate and exposure; its device is a file such as ``/dev/video0``.

    Raises:
        ConfigError: The camera gives images of another size.
        ConnectionError: There is no such camera, or it sends no images any more.
    """
    capture = cv2.VideoCapture(camera.device, cv2.CAP_V4L2)
    try:
        if not capture.isOpened():
            there = [device.device for device in list_devices()]
            msg = f'{camera.name}: no camera {camera.device}; plugged in: {there}'
            raise ConnectionError(msg)
        _set_up(capture, camera)
        while True:
            came, image = capture.read()
            if not came:
                msg = f'{camera.name}: {camera.device} sends nothing any more'
                raise ConnectionError(msg)
            taken_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
            stamp_ns = taken_ns(taken_ms, time.monotonic_ns(), time.time_ns())
            expect_size(camera, image)
            yield Frame(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)), stamp_ns)
    finally:
        capture.release()


def taken_ns(taken_ms: float, monotonic_ns: int, system_ns: int) -> int:
    """Return when an image was taken [ns, system clock].

    Args:
        taken_ms: The kernel's stamp of it [ms, monotonic clock]; of no use if it is not of the
            last second, and the image then counts as taken now.
        monotonic_ns: Now [ns, monotonic clock].
        system_ns: Now [ns, system clock].
    """
    age_ns = monotonic_ns - round(taken_ms * 1e6)
    return system_ns - age_ns if 0 <= age_ns < OLDEST_NS else system_ns


def _set_up(capture: cv2.VideoCapture, camera: CameraSpec) -> None:
    """Ask for size, rate and exposure; whatever the camera makes of it shows in its images."""
    _set_form(capture, camera)
    if capture.get(cv2.CAP_PROP_FPS) < 0.9 * camera.rate_hz:
        # USB 2 carries no more uncompressed images
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*'MJPG'))
        _set_form(capture, camera)
    automatic = camera.exposure_us is None
    capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, AUTOMATIC if automatic else MANUAL)
    if camera.exposure_us is not None:
        capture.set(cv2.CAP_PROP_EXPOSURE, round(camera.exposure_us / EXPOSURE_UNIT_US))


def _set_form(capture: cv2.VideoCapture, camera: CameraSpec) -> None:
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, camera.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, camera.height)
    capture.set(cv2.CAP_PROP_FPS, camera.rate_hz)
