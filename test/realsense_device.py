# SPDX-License-Identifier: Apache-2.0
"""A RealSense of the real library whose images a test makes: its software device."""

from __future__ import annotations

import gc
import time
from typing import Any

from cosmos_policy_ros.drivers import realsense
import numpy as np
from numpy.typing import NDArray

SERIAL = '130322270001'
D405, D435 = 'Intel RealSense D405', 'Intel RealSense D435'


class SoftwareRealSense:
    """A D405 or D435 with a colour stream of 640x480, plugged in until ``unplug``."""

    def __init__(self, model: str = D405, rate_hz: int = 60) -> None:
        """Plug it in.

        Args:
            model: ``D405`` has its colour in the depth sensor, ``D435`` in one of its own.
            rate_hz: Rate of the streams that it offers [Hz].
        """
        import pyrealsense2 as rs

        self._rs, self._frame_number = rs, 0
        self._device: Any = rs.software_device()
        info = rs.camera_info
        for key, text in (
            (info.name, model),
            (info.serial_number, SERIAL),
            (info.usb_type_descriptor, '3.2'),
            (info.firmware_version, '5.17.0.10'),
        ):
            self._device.register_info(key, text)
        depth = self._device.add_sensor('Stereo Module')
        self.sensor = depth if model == D405 else self._device.add_sensor('RGB Camera')
        _stream(rs, depth, rs.stream.depth, rs.format.z16, 2, rate_hz)
        self._profile = _stream(rs, self.sensor, rs.stream.color, rs.format.rgb8, 3, rate_hz)
        longest = 165_000.0 if model == D405 else 10_000.0
        _option(rs, self.sensor, rs.option.exposure, longest)
        _option(rs, self.sensor, rs.option.enable_auto_exposure, 1.0)
        self._events: list[Any] = []  # the library forgets a software device nobody holds
        realsense.context().set_devices_changed_callback(self._events.append)
        self._device.add_to(realsense.context())

    def option(self, name: str) -> float:
        """Return a setting of the colour sensor."""
        return float(self.sensor.get_option(getattr(self._rs.option, name)))

    def send(
        self, image: NDArray[np.uint8], hardware_ms: float, domain: str = 'hardware_clock'
    ) -> None:
        """Let the camera take an image.

        Args:
            image: (480, 640, 3) uint8 RGB.
            hardware_ms: Its stamp [ms, clock of the domain].
            domain: ``hardware_clock``, ``system_time`` or ``global_time``.
        """
        frame = self._rs.software_video_frame()
        frame.pixels, frame.stride, frame.bpp = image, 3 * image.shape[1], 3
        frame.timestamp, frame.domain = hardware_ms, getattr(self._rs.timestamp_domain, domain)
        frame.frame_number, frame.profile = self._frame_number, self._profile
        self._frame_number += 1
        self.sensor.on_video_frame(frame)

    def unplug(self) -> None:
        """Pull the cable."""
        self._events.clear()
        self._device = self.sensor = self._profile = None
        gc.collect()
        time.sleep(0.05)


def _stream(rs: Any, sensor: Any, kind: Any, pixel: Any, n_bytes: int, rate_hz: int) -> Any:
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.bpp = kind, pixel, n_bytes
    stream.uid, stream.width, stream.height, stream.fps = n_bytes, 640, 480, rate_hz
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = 640, 480
    stream.intrinsics = intrinsics
    return sensor.add_video_stream(stream).as_video_stream_profile()


def _option(rs: Any, sensor: Any, option: Any, highest: float) -> None:
    limits = rs.option_range()
    limits.min, limits.max, limits.step, limits.default = 0.0, highest, 1.0, highest
    sensor.add_option(option, limits, True)
