# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy cameras``: which cameras are plugged in, and what they see, without ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.drivers.contact_sheet import draw_sheet, take_shot
from cosmos_policy_ros.drivers.frame import Device
from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.drivers.table import Driver, DRIVERS
from cosmos_policy_ros.outputs import check_output, whole_file
from cosmos_policy_ros.robot import CameraSpec, read_robot
from cosmos_policy_ros.types import ConfigError

QUALITY = 90  # of the picture
PLAIN_SIZE, PLAIN_HZ = (640, 480), 30.0  # what every camera offers


@dataclass(frozen=True)
class Cameras:
    """List the cameras that are plugged in and show in one picture what they see.

    A line each has the driver and the device, as a robot file names them. With a robot file the
    picture shows the cameras that it has a driver for, at their size, rate and exposure. Nothing
    else may use the cameras meanwhile. Exit status 0 means that each of them gave an image.

    Example: cosmos-policy cameras
    Example: cosmos-policy cameras --robot my_robot.yaml --out my_robot.jpg
    """

    robot: Path | None = None
    """Robot YAML whose cameras are shown; by default all that are plugged in."""
    out: Path = Path('cameras.jpg')
    """Picture to write; replaced when it exists."""


def run(options: Cameras) -> int:
    """Print the list, write the picture and say what is missing."""
    check_output('--out', options.out)
    devices = list_devices()
    cameras = plain_cameras(devices)
    if options.robot is not None:
        cameras = [c for c in read_robot(options.robot).cameras if c.driver]
    if not cameras:
        print('no camera to show' if options.robot else 'no camera is plugged in')
        return 1
    shots = [take_shot(camera) for camera in cameras]
    with whole_file(options.out) as partial:
        partial.write_bytes(encode_jpeg(draw_sheet(shots), QUALITY))
    for shot in shots:
        if shot.image is None:
            print(f'no image: {shot.reason}')
    print(f'wrote {options.out}')
    return 0 if all(shot.image is not None for shot in shots) else 1


def list_devices() -> list[Device]:
    """Print and return the cameras that are plugged in; a driver that cannot tell says why."""
    devices = [device for driver in DRIVERS.values() for device in _devices_of(driver)]
    for device in devices:
        print(f'{device.driver}  {device.device}  {device.name}  {device.detail}'.rstrip())
    return devices


def _devices_of(driver: Driver) -> list[Device]:
    try:
        return driver.list_devices()
    except ConfigError as error:
        print(error)
        return []


def plain_cameras(devices: Sequence[Device]) -> list[CameraSpec]:
    """Return devices as cameras named after their model."""
    return [
        CameraSpec(d.name, '', *PLAIN_SIZE, PLAIN_HZ, driver=d.driver, device=d.device)
        for d in devices
    ]
