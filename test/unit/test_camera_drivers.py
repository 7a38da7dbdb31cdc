# SPDX-License-Identifier: Apache-2.0
"""Cameras without ROS: clocks, films and folders, device files, and the table of drivers."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
import threading
import time

from cosmos_policy_ros.drivers import file, v4l2
from cosmos_policy_ros.drivers.clock_map import ClockMap
from cosmos_policy_ros.drivers.frame import Device
from cosmos_policy_ros.drivers.table import DRIVERS, keep_frames
from cosmos_policy_ros.robot import CAMERA_DRIVERS, CameraSpec, read_robot
from cosmos_policy_ros.types import ConfigError
import cv2
import numpy as np
import pytest
from samples import sample_image
import yaml

MS = 1_000_000
SECOND = 1000 * MS
START_NS = 1_700_000_000 * SECOND
CAMERA = CameraSpec('high', '/high/image_raw', 320, 240, 200.0, driver='file', device='')


def mapped(
    clock: ClockMap, n: int, first: int = 0, drift: float = 0.0, set_by_ns: int = 0
) -> list[float]:
    """Return the errors of the mapped stamps of n images at 60 Hz [ms].

    Args:
        clock: The map.
        n: Number of images.
        first: Number of the first.
        drift: How much faster this machine's clock runs.
        set_by_ns: By how much this machine's clock was set.
    """
    rng = np.random.default_rng(first)
    errors = []
    for k in range(first, first + n):
        hardware_ns = 5 * SECOND + k * SECOND // 60
        taken_ns = START_NS + round(k * SECOND / 60 * (1 + drift)) + set_by_ns
        delay_ns = round((4.0 + rng.exponential(3.0)) * MS)
        errors.append((clock.to_system(hardware_ns, taken_ns + delay_ns) - taken_ns) / MS)
    return errors


def test_stamps_are_late_by_the_shortest_way_of_an_image() -> None:
    """4 ms here, although images are delayed by 7 ms on average and 20 ms at times."""
    errors = mapped(ClockMap(), 1200)
    assert min(errors) > 3.9
    assert max(errors[60:]) < 4.5


def test_drift_of_the_clocks_is_measured() -> None:
    """100 millionths are 6 ms a minute."""
    clock = ClockMap()
    errors = mapped(clock, 60 * 120, drift=100e-6)
    assert clock.drift == pytest.approx(100e-6, abs=5e-6)
    assert 3.9 < min(errors[1200:]) <= max(errors[1200:]) < 4.7


@pytest.mark.parametrize('set_by_s', [-10, -1, 1, 10])
def test_clock_of_this_machine_that_is_set_is_followed(set_by_s: int) -> None:
    """At once when it is set back, within two seconds when it is set ahead."""
    clock = ClockMap()
    mapped(clock, 1200)
    errors = mapped(clock, 600, 1200, set_by_ns=set_by_s * SECOND)
    assert all(3.9 < error < 5.5 for error in errors[180:])


def test_camera_that_starts_anew_is_followed() -> None:
    """Its clock begins at 0 again."""
    clock = ClockMap()
    mapped(clock, 600, 6000)
    errors = mapped(clock, 300)
    assert all(error > 3.9 for error in errors)
    assert max(errors[120:]) < 5.0


def test_no_stamp_is_later_than_the_arrival() -> None:
    """An image that comes earlier than any before moves the offset at once."""
    clock = ClockMap()
    assert clock.to_system(0, START_NS) == START_NS
    assert clock.to_system(10 * MS, START_NS + 8 * MS) == START_NS + 8 * MS


def test_folder_of_images_is_shown_over_and_over_at_the_rate(tmp_path: Path) -> None:
    """In the order of their names, as RGB, stamped now."""
    for k in range(3):
        image = cv2.cvtColor(sample_image(k), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(tmp_path / f'{k}.png'), image)
    (tmp_path / 'notes.txt').write_text('no image', encoding='utf-8')
    began_s, camera = time.time(), replace(CAMERA, rate_hz=50.0, device=str(tmp_path))
    with contextlib.closing(file.frames(camera)) as frames:
        seen = [next(frames) for _ in range(11)]
    assert time.time() - began_s == pytest.approx(0.2, abs=0.15)
    for k in range(11):
        np.testing.assert_array_equal(seen[k].image, sample_image(k % 3))
    assert began_s <= seen[0].stamp_ns * 1e-9 <= time.time()


def test_film_is_shown_over_and_over(tmp_path: Path) -> None:
    """By its frames, not by its own rate."""
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 30.0, (320, 240))
    for k in range(3):
        writer.write(np.full((240, 320, 3), (60 + 50 * k, 50, 50), np.uint8))
    writer.release()
    with contextlib.closing(file.frames(replace(CAMERA, device=str(path)))) as frames:
        blue = [int(next(frames).image[0, 0, 2]) for _ in range(6)]
    assert blue == pytest.approx([60, 110, 160] * 2, abs=6)


@pytest.mark.parametrize('device', ['nothing.avi', 'empty'])
def test_file_without_images_is_told(tmp_path: Path, device: str) -> None:
    """With its path."""
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ConfigError, match=f'no images in .*{device}'):
        next(file.frames(replace(CAMERA, device=str(tmp_path / device))))


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    """Nothing is scaled behind the back of whoever wrote the robot file."""
    cv2.imwrite(str(tmp_path / 'a.png'), sample_image(0))
    with pytest.raises(ConfigError, match='gives 320x240 images, the robot file has 640x480'):
        next(file.frames(replace(CAMERA, width=640, height=480, device=str(tmp_path))))


def test_stamp_of_the_kernel_becomes_one_of_the_system_clock() -> None:
    """One of another clock does not."""
    now_ns = 5000 * SECOND
    assert v4l2.taken_ns(4_999_970.0, now_ns, START_NS) == START_NS - 30 * MS
    assert v4l2.taken_ns(0.0, now_ns, START_NS) == START_NS
    assert v4l2.taken_ns(1.7e12, now_ns, START_NS) == START_NS


def test_device_files_are_listed_by_names_that_stay(tmp_path: Path) -> None:
    """A camera has a second file for its metadata, which is none."""
    kernel, devices = tmp_path / 'kernel', tmp_path / 'dev'
    (devices / 'v4l' / 'by-id').mkdir(parents=True)
    cameras = ((0, 0, 'C920'), (1, 1, 'C920'), (2, 0, 'Brio'), (10, 0, 'Last'))
    for number, index, name in (*cameras, (11, 0, 'Intel(R) RealSense(TM) Depth Ca')):
        folder = kernel / f'video{number}'
        folder.mkdir(parents=True)
        (folder / 'index').write_text(f'{index}\n', encoding='ascii')
        (folder / 'name').write_text(f'{name}\n', encoding='utf-8')
        (devices / f'video{number}').touch()
    link = devices / 'v4l' / 'by-id' / 'usb-046d_C920-video-index0'
    link.symlink_to('../../video0')
    assert v4l2.list_devices(kernel, devices) == [
        Device('v4l2', str(link), 'C920', str(devices / 'video0')),
        Device('v4l2', str(devices / 'video2'), 'Brio', str(devices / 'video2')),
        Device('v4l2', str(devices / 'video10'), 'Last', str(devices / 'video10')),
    ]
    assert v4l2.list_devices(tmp_path / 'nowhere', devices) == []


def test_missing_device_file_is_told() -> None:
    """As a loss, since it may be plugged in later."""
    camera = replace(CAMERA, driver='v4l2', device='/dev/video_nowhere')
    with pytest.raises(ConnectionError, match='no camera /dev/video_nowhere; plugged in'):
        next(v4l2.frames(camera))


def test_loss_is_told_and_tried_again_until_stopped(tmp_path: Path) -> None:
    """Images of a folder that comes late are shown."""
    folder, stop = tmp_path / 'late', threading.Event()
    losses: list[str] = []

    def on_loss(reason: str) -> None:
        losses.append(reason)
        folder.mkdir()
        cv2.imwrite(str(folder / 'a.png'), sample_image(0))

    frames = keep_frames(replace(CAMERA, device=str(folder)), on_loss, stop)
    assert next(frames).image.shape == (240, 320, 3)
    stop.set()
    assert list(frames) == []
    assert len(losses) == 1


def test_every_driver_of_robot_files_exists() -> None:
    """The sentences stand where robot files are checked, the functions here."""
    assert DRIVERS.keys() == CAMERA_DRIVERS.keys()


@pytest.mark.parametrize(
    ('keys', 'reason'),
    [
        ({'driver': 'webcam', 'device': '/dev/video0'}, "driver 'webcam' must be of"),
        ({'driver': 'v4l2'}, 'driver and device must be given both or none'),
        ({'device': '130322270001'}, 'driver and device must be given both or none'),
        ({'driver': 'realsense', 'device': 130322270001}, 'device must be text'),
        ({'exposure_us': 0.0}, 'exposure_us 0.0 must be above 0'),
    ],
)
def test_camera_that_cannot_be_is_refused(
    tmp_path: Path, keys: dict[str, object], reason: str
) -> None:
    """Before anything is opened; a serial number without quotes is a number."""
    source = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
    robot = yaml.safe_load(source.read_text('utf-8'))
    robot['cameras'][0].update(keys)
    path = tmp_path / 'robot.yaml'
    path.write_text(yaml.safe_dump(robot), encoding='utf-8')
    with pytest.raises(ConfigError, match=reason):
        read_robot(path)
