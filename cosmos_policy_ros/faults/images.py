# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with images: none, old, frozen, black, of another form, swapped."""

from __future__ import annotations

from collections.abc import Callable
import struct

from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.fault import Act, Fault, fault
from cosmos_policy_ros.faults.proxy import SpoilImage
from cosmos_policy_ros.ros.image_check import read_form

HOLD_S = 0.45  # max_image_age_s, a period of the camera and some of the executor
STAMP = struct.Struct('<iI')  # behind the encapsulation


def on_first(make: Callable[[], SpoilImage]) -> Act:
    """Return what spoils the images of the first camera; ``make`` is called each time."""
    return lambda bench: bench.proxy.spoil_image(bench.robot.cameras[0].topic, make())


def on_all(make: Callable[[], SpoilImage]) -> Act:
    """Return what spoils the images of all cameras."""

    def begin(bench: FaultBench) -> None:
        for camera in bench.robot.cameras:
            bench.proxy.spoil_image(camera.topic, make())

    return begin


def silent() -> SpoilImage:
    """Drop every image."""
    return lambda _data, _since_s: None


def frozen() -> SpoilImage:
    """Repeat the first image with new stamps."""
    kept: list[bytes] = []

    def spoil(data: bytes, _since_s: float) -> bytes:
        kept.append(data)
        return _stamped(kept[0], *STAMP.unpack_from(data, 4))

    return spoil


def standing_stamps() -> SpoilImage:
    """Let every image have the stamp of the first."""
    kept: list[bytes] = []

    def spoil(data: bytes, _since_s: float) -> bytes:
        kept.append(data)
        return _stamped(data, *STAMP.unpack_from(kept[0], 4))

    return spoil


def black() -> SpoilImage:
    """Return images that are black but for their last bits."""

    def spoil(data: bytes, _since_s: float) -> bytes:
        form = read_form(data)
        pixels = bytes(b & 1 for b in data[form.first : form.first + form.n_bytes])
        return data[: form.first] + pixels

    return spoil


def smaller() -> SpoilImage:
    """Return images of half the height."""

    def spoil(data: bytes, _since_s: float) -> bytes:
        form = read_form(data)
        n_bytes = form.step * (form.height // 2)
        start = data.index(struct.pack('<II', form.height, form.width))
        head = bytearray(data[: form.first])
        struct.pack_into('<I', head, start, form.height // 2)
        struct.pack_into('<I', head, form.first - 4, n_bytes)
        return bytes(head) + data[form.first : form.first + n_bytes]

    return spoil


def recoded() -> SpoilImage:
    """Say that the pixels are of an encoding that nobody reads."""
    return lambda data, _since_s: data.replace(b'rgb8', b'rgb9', 1)


def cut_off() -> SpoilImage:
    """Announce all pixels and send half of them."""

    def spoil(data: bytes, _since_s: float) -> bytes:
        form = read_form(data)
        head = bytearray(data[: form.first])
        struct.pack_into('<I', head, form.first - 4, form.n_bytes // 2)
        return bytes(head) + data[form.first : form.first + form.n_bytes // 2]

    return spoil


def once_ahead() -> SpoilImage:
    """Stamp the first image a minute ahead."""
    sent: list[bool] = []

    def spoil(data: bytes, _since_s: float) -> bytes:
        seconds, nanoseconds = STAMP.unpack_from(data, 4)
        sent.append(True)
        return data if len(sent) > 1 else _stamped(data, seconds + 60, nanoseconds)

    return spoil


def slow() -> SpoilImage:
    """Let one image a second through."""
    last: list[float] = []

    def spoil(data: bytes, since_s: float) -> bytes | None:
        if last and since_s - last[-1] < 1.0:
            return None
        last.append(since_s)
        return data

    return spoil


def _stamped(data: bytes, seconds: int, nanoseconds: int) -> bytes:
    return data[:4] + STAMP.pack(seconds, nanoseconds) + data[4 + STAMP.size :]


FAULTS: tuple[Fault, ...] = (
    fault('camera_silent', 'one camera is silent', 'hold', HOLD_S, on_first(silent)),
    fault('cameras_silent', 'all cameras are silent', 'hold', HOLD_S, on_all(silent)),
    fault(
        'camera_frozen',
        'one image again and again, with new stamps',
        'hold',
        HOLD_S,
        on_first(frozen),
    ),
    fault('camera_black', 'images are black', 'hold', HOLD_S, on_first(black)),
    fault(
        'camera_stamps_stand', 'stamps do not advance', 'hold', HOLD_S, on_first(standing_stamps)
    ),
    fault('camera_smaller', 'images have half the height', 'hold', HOLD_S, on_first(smaller)),
    fault('camera_recoded', 'images have another encoding', 'hold', HOLD_S, on_first(recoded)),
    fault('camera_cut_off', 'half of the pixels are missing', 'hold', HOLD_S, on_first(cut_off)),
    fault(
        'camera_once_ahead', 'one stamp is a minute ahead', 'ignored', 0.0, on_first(once_ahead)
    ),
    fault('camera_1_hz', 'one image a second', 'hold', HOLD_S, on_first(slow), 1.5),
)
