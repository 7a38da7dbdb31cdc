# SPDX-License-Identifier: Apache-2.0
"""RealSense cameras by the real library, with images of a software device."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from dataclasses import replace
import threading
import time

import numpy as np
import pytest

pytest.importorskip('pyrealsense2', exc_type=ImportError)  # or a library that it needs

from cosmos_policy_ros.drivers import realsense
from cosmos_policy_ros.drivers.frame import Device
from cosmos_policy_ros.drivers.table import keep_frames
from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.types import ConfigError
from realsense_device import D405, D435, SERIAL, SoftwareRealSense

CAMERA = CameraSpec(
    'cam_high', '/cam_high/image_raw', 640, 480, 60.0, driver='realsense', device=SERIAL
)
IMAGE = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)


@pytest.fixture(params=[D405, D435])
def plugged(request: pytest.FixtureRequest) -> Iterator[SoftwareRealSense]:
    """Plug a camera in."""
    device = SoftwareRealSense(request.param)
    yield device
    device.unplug()


class Feeder:
    """Sends images at 60 Hz, stamped by a clock that started 1000 s ago."""

    def __init__(self, device: SoftwareRealSense) -> None:
        """Start."""
        self._device, self._stop = device, threading.Event()
        self.taken_ns: list[int] = []
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        begin_s = time.monotonic()
        while not self._stop.wait(1 / 60):
            self.taken_ns.append(time.time_ns())
            hardware_ms = 1e6 + (time.monotonic() - begin_s) * 1e3
            self._device.send(IMAGE, hardware_ms)

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def fed(device: SoftwareRealSense) -> Iterator[Feeder]:
    """Feed a device."""
    feeder = Feeder(device)
    try:
        yield feeder
    finally:
        feeder.stop()


def test_list_has_serial_number_model_and_port(plugged: SoftwareRealSense) -> None:
    """What a person copies into the robot file."""
    (device,) = realsense.list_devices()
    assert device == Device('realsense', SERIAL, device.name, 'USB 3.2, firmware 5.17.0.10')
    assert device.name in (D405, D435)


def test_images_arrive_as_they_were_taken(plugged: SoftwareRealSense) -> None:
    """Pixels as RGB, stamps of the camera's own clock as times of this machine."""
    with fed(plugged) as feeder, contextlib.closing(realsense.frames(CAMERA)) as frames:
        seen = [next(frames) for _ in range(20)]
    np.testing.assert_array_equal(seen[0].image, IMAGE)
    assert seen[0].image.flags.owndata
    stamps = np.array([frame.stamp_ns for frame in seen])
    assert (np.diff(stamps) > 0).all()
    taken = np.array(feeder.taken_ns)
    nearest = np.abs(stamps[:, None] - taken).min(axis=1)
    assert np.median(nearest) < 20e6


def test_stamps_that_the_library_mapped_are_kept(plugged: SoftwareRealSense) -> None:
    """Where firmware and kernel give global time."""
    with contextlib.closing(realsense.frames(CAMERA)) as frames:
        stamp_ms = time.time() * 1e3 - 12.0
        timer = threading.Timer(0.3, plugged.send, (IMAGE, stamp_ms, 'global_time'))
        timer.start()
        frame = next(frames)
    assert frame.stamp_ns == pytest.approx(stamp_ms * 1e6, abs=1e3)


def test_exposure_is_set_in_the_unit_of_the_sensor(plugged: SoftwareRealSense) -> None:
    """The colour sensor of a D435 counts in 100 µs, the depth sensor of a D405 in µs."""
    is_d405 = realsense.list_devices()[0].name == D405
    with (
        fed(plugged),
        contextlib.closing(realsense.frames(replace(CAMERA, exposure_us=8000.0))) as f,
    ):
        next(f)
    assert plugged.option('exposure') == (8000.0 if is_d405 else 80.0)
    assert plugged.option('enable_auto_exposure') == 0.0
    with fed(plugged), contextlib.closing(realsense.frames(CAMERA)) as f:
        next(f)
    assert plugged.option('enable_auto_exposure') == 1.0


def test_size_that_is_not_offered_is_refused_with_those_that_are(
    plugged: SoftwareRealSense,
) -> None:
    """A camera behind USB 2 offers less."""
    with pytest.raises(ConfigError, match='no 1280x720 at 60 Hz, but 640x480 at 60 Hz'):
        next(realsense.frames(replace(CAMERA, width=1280, height=720)))


def test_missing_camera_is_told_with_those_that_are_there(plugged: SoftwareRealSense) -> None:
    """A wrong digit is seen at once."""
    with pytest.raises(ConnectionError, match=rf"no RealSense '999'; plugged in: \['{SERIAL}'\]"):
        next(realsense.frames(replace(CAMERA, device='999')))


def test_error_of_the_library_is_a_loss_that_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cable that goes while the camera is being opened ends no thread."""

    class Busy:
        def query_devices(self) -> None:
            msg = 'failed to set power state'
            raise RuntimeError(msg)

    monkeypatch.setattr(realsense, 'context', Busy)
    with pytest.raises(ConnectionError, match=r'RealSense .*failed to set power state'):
        next(realsense.frames(CAMERA))
    with pytest.raises(ConfigError, match='failed to set power state; are the udev rules'):
        realsense.list_devices()


def test_camera_that_is_unplugged_and_plugged_in_again_goes_on() -> None:
    """The loss is told once per try, and no image is made up meanwhile."""
    losses: list[str] = []
    stop, device = threading.Event(), SoftwareRealSense()
    frames = keep_frames(CAMERA, losses.append, stop)
    with fed(device):
        next(frames)
    device.unplug()
    again: list[SoftwareRealSense] = []

    def plug_in() -> None:
        time.sleep(2.5)
        again.append(SoftwareRealSense())
        while not stop.wait(1 / 60):
            again[0].send(IMAGE, time.monotonic() * 1e3)

    thread = threading.Thread(target=plug_in)
    thread.start()
    last_ns = time.time_ns()
    for frame in frames:  # some wait in the library
        late, last_ns = frame.stamp_ns - last_ns > 1e9, frame.stamp_ns
        if late:
            break
    stop.set()
    thread.join()
    frames.close()
    again[0].unplug()
    assert 'has sent nothing for 1.0 s' in losses[0]
    assert any('no RealSense' in loss for loss in losses[1:])
