# SPDX-License-Identifier: Apache-2.0
"""Intel RealSense cameras through pyrealsense2, by serial number.

The stream is taken from the sensor that offers it: a D435 has a sensor of its own for colour, a
D405 has its colour in the depth sensor. So no setting of the one is needed for the other.
"""

from __future__ import annotations

from collections.abc import Generator
import contextlib
from functools import cache
from importlib import import_module
import time
from typing import Any

from cosmos_policy_ros.drivers.clock_map import ClockMap
from cosmos_policy_ros.drivers.frame import Device, Frame, LOST_S
from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.types import ConfigError, Intrinsics
import numpy as np

KEPT_FRAMES = 2  # that wait to be taken; an older one is dropped
RGB_SENSOR = 'RGB Camera'  # its exposure is in units of 100 µs, that of others in µs


def library() -> Any:
    """Return the module pyrealsense2.

    Raises:
        ConfigError: It is not installed or does not load.
    """
    try:
        return import_module('pyrealsense2')
    except ImportError as error:
        msg = f'RealSense cameras need pyrealsense2: {error}; pip install pyrealsense2, and '
        msg += 'libusb-1.0-0 of the system'
        raise ConfigError(msg) from error


@cache
def context() -> Any:
    """Return the library's list of devices, one for the process.

    Raises:
        ConfigError: As ``library``.
    """
    return library().context()


def list_devices() -> list[Device]:
    """Return the RealSense cameras that are plugged in.

    Raises:
        ConfigError: As ``library``; or the library cannot look at one, most often for lack of
            permission.
    """
    try:
        return [_describe(device) for device in context().query_devices()]
    except RuntimeError as error:
        msg = f'RealSense cameras: {error}; are the udev rules of librealsense installed?'
        raise ConfigError(msg) from error


def frames(camera: CameraSpec) -> Generator[Frame, None, None]:
    """Yield the images of a camera until it is unplugged; closing the generator closes it.

    Args:
        camera: Size, rate and exposure; its device is a serial number.

    Raises:
        ConfigError: As ``library``; or the camera does not offer that size and rate.
        ConnectionError: No such camera is plugged in, or it sends no images any more.
    """
    try:
        yield from _frames(camera)
    except RuntimeError as error:  # of the library, when the cable goes
        msg = f'{camera.name}: RealSense {camera.device}: {error}'
        raise ConnectionError(msg) from error


def _frames(camera: CameraSpec) -> Generator[Frame, None, None]:
    rs = library()
    sensor, profile = _colour_stream(_find(camera), camera)
    queue, clock = rs.frame_queue(KEPT_FRAMES), ClockMap()
    intrinsics = _read_intrinsics(profile)
    try:
        _set_exposure(sensor, camera.exposure_us)
        sensor.open(profile)
        sensor.start(queue)
        while True:
            came, frame = queue.try_wait_for_frame(round(LOST_S * 1e3))
            arrival_ns = time.time_ns()
            if not came:
                msg = f'{camera.name}: RealSense {camera.device} has sent nothing for {LOST_S} s'
                raise ConnectionError(msg)
            pixels = np.asanyarray(frame.get_data())
            image = pixels[:, :, ::-1] if profile.format() == rs.format.bgr8 else pixels
            # a copy: the library uses the memory for another image
            yield Frame(np.array(image), _taken_ns(rs, frame, clock, arrival_ns), intrinsics)
    finally:
        for end in (sensor.stop, sensor.close):
            with contextlib.suppress(RuntimeError):  # it was unplugged or never started
                end()


def _read_intrinsics(profile: Any) -> Intrinsics | None:
    """Return how a stream projects, None where the device was not calibrated."""
    found = profile.as_video_stream_profile().get_intrinsics()
    if not found.fx:
        return None
    return Intrinsics(found.fx, found.fy, found.ppx, found.ppy, tuple(found.coeffs))


def _taken_ns(rs: Any, frame: Any, clock: ClockMap, arrival_ns: int) -> int:
    """Return when a frame was taken [ns, system clock].

    The library maps the stamps of the sensor by itself where firmware and kernel let it; where it
    hands over the camera's own clock, that is mapped here.
    """
    stamp_ns = round(frame.get_timestamp() * 1e6)
    if frame.get_frame_timestamp_domain() == rs.timestamp_domain.hardware_clock:
        return clock.to_system(stamp_ns, arrival_ns)
    return min(stamp_ns, arrival_ns)


def _find(camera: CameraSpec) -> Any:
    """Return the camera with a serial number.

    Raises:
        ConnectionError: It is not plugged in; the message names those that are.
    """
    info = library().camera_info.serial_number
    there = {device.get_info(info): device for device in context().query_devices()}
    if camera.device not in there:
        msg = f'{camera.name}: no RealSense {camera.device!r}; plugged in: {sorted(there)}'
        raise ConnectionError(msg)
    return there[camera.device]


def _colour_stream(device: Any, camera: CameraSpec) -> tuple[Any, Any]:
    """Return the sensor that offers the colour stream, and the profile of the stream.

    Raises:
        ConfigError: None does; the message has what there is.
    """
    rs = library()
    offered = []
    for sensor in device.query_sensors():
        for profile in sensor.get_stream_profiles():
            formats = (rs.format.rgb8, rs.format.bgr8)
            if profile.stream_type() != rs.stream.color or profile.format() not in formats:
                continue
            video = profile.as_video_stream_profile()
            offered.append(((video.width(), video.height(), video.fps()), sensor, video))
    wanted = (camera.width, camera.height, round(camera.rate_hz))
    for form, sensor, video in offered:
        if form == wanted:
            return sensor, video
    forms = ', '.join(sorted({f'{w}x{h} at {hz} Hz' for (w, h, hz), _, _ in offered}))
    told = _describe(device)
    msg = f'{camera.name}: {told.name} {camera.device} ({told.detail}) offers no '
    msg += f'{wanted[0]}x{wanted[1]} at {wanted[2]} Hz, but {forms or "no colour"}'
    raise ConfigError(msg)


def _set_exposure(sensor: Any, exposure_us: float | None) -> None:
    """Fix the exposure of a sensor [µs]; None lets the camera choose it."""
    rs = library()
    if sensor.supports(rs.option.enable_auto_exposure):
        sensor.set_option(rs.option.enable_auto_exposure, float(exposure_us is None))
    if exposure_us is not None:
        units = 100.0 if sensor.get_info(rs.camera_info.name) == RGB_SENSOR else 1.0
        sensor.set_option(rs.option.exposure, round(exposure_us / units))


def _describe(device: Any) -> Device:
    """Return what is known of a device."""
    info = library().camera_info

    def text(key: Any) -> str:
        return str(device.get_info(key)) if device.supports(key) else ''

    usb, firmware = text(info.usb_type_descriptor), text(info.firmware_version)
    known = [f'USB {usb}' * bool(usb), f'firmware {firmware}' * bool(firmware)]
    detail = ', '.join(part for part in known if part)
    return Device('realsense', text(info.serial_number), text(info.name), detail)
