# SPDX-License-Identifier: Apache-2.0
"""Whether an image shows what is there now: new, of the right form, not black and not frozen.

Only a few rows are looked at, and a serialized message is never unpacked: the images of four VGA
cameras at 60 Hz are watched beside the control loop, 30 µs each.
"""

from __future__ import annotations

from dataclasses import dataclass
import struct

from cosmos_policy_ros.image_decoder import check_encoding, ENCODINGS
from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.stream_judge import UNSTAMPED
import numpy as np

LOOKED_AT = 8  # rows of an image, evenly spread; any noise of the sensor shows in them
BLACK_LEVEL = 4.0  # mean of 255 below which an image is black; a dark room is brighter
AHEAD_NS = 100_000_000  # how far ahead of this clock an image may be stamped, on another machine
FILES = (b'\xff\xd8', b'\x89PNG')  # how JPEG and PNG begin


@dataclass(frozen=True)
class ImageForm:
    """What a serialized sensor_msgs/Image says about its pixels.

    Attributes:
        stamp_ns: When it was taken [ns, ROS clock].
        width: Width [px].
        height: Height [px].
        encoding: Pixel format, such as ``rgb8``.
        step: Length of a row [bytes].
        first: Where the pixels begin [bytes from the start of the message].
        n_bytes: How many bytes they are.
    """

    stamp_ns: int
    width: int
    height: int
    encoding: str
    step: int
    first: int
    n_bytes: int


def read_form(data: bytes) -> ImageForm:
    """Return what a serialized sensor_msgs/Image (CDR) says about its pixels.

    Raises:
        ValueError: The message is cut off or not one.
    """
    try:
        order = '<' if data[1] & 1 else '>'
        sec, nanosec, n = struct.unpack_from(order + 'iII', data, 4)
        at = _aligned(16 + n)  # behind the frame id
        height, width, n = struct.unpack_from(order + 'III', data, at)
        encoding = data[at + 12 : at + 12 + n].rstrip(b'\0').decode('ascii')
        at = _aligned(at + 12 + n + 1)  # behind encoding and byte order
        step, n_bytes = struct.unpack_from(order + 'II', data, at)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        msg = f'message of {len(data)} bytes is no image: {error}'
        raise ValueError(msg) from error
    return ImageForm(sec * 10**9 + nanosec, width, height, encoding, step, at + 8, n_bytes)


def read_compressed(data: bytes) -> tuple[int, bytes]:
    """Return the stamp [ns, ROS clock] and the file of a serialized sensor_msgs/CompressedImage.

    Raises:
        ValueError: The message is cut off, is none, or its file is neither JPEG nor PNG.
    """
    try:
        order = '<' if data[1] & 1 else '>'
        sec, nanosec, n = struct.unpack_from(order + 'iII', data, 4)
        at = _aligned(16 + n)  # behind the frame id
        (n,) = struct.unpack_from(order + 'I', data, at)
        at = _aligned(at + 4 + n)  # behind the format
        (n,) = struct.unpack_from(order + 'I', data, at)
    except (IndexError, struct.error) as error:
        msg = f'message of {len(data)} bytes is no compressed image: {error}'
        raise ValueError(msg) from error
    file = bytes(data[at + 4 : at + 4 + n])
    if len(file) < n or not file.startswith(FILES):
        msg = f'compressed image of {len(file)} of {n} bytes is neither JPEG nor PNG'
        raise ValueError(msg)
    return sec * 10**9 + nanosec, file


def brightness(rows: bytes, encoding: str) -> float:
    """Return how bright the pixels of a raw image are in the mean, of 255."""
    pixels = np.frombuffer(rows, np.uint8).reshape(-1, ENCODINGS[encoding])
    if ENCODINGS[encoding] == 2:  # black has luma 16 there
        return float(pixels[:, int(encoding in ('yuv422', 'uyvy'))].mean()) - 16.0
    return float(pixels[:, :3].mean())


def expect_form(camera: CameraSpec, form: ImageForm, n_bytes: int) -> None:
    """Refuse an image that is not of the size and format that the robot file promises.

    Args:
        camera: The camera.
        form: What the message says.
        n_bytes: Length of the whole message [bytes].

    Raises:
        ValueError: It is not; the message has both sides.
    """
    check_encoding(form.encoding)
    if (form.width, form.height) != (camera.width, camera.height):
        msg = f'sends {form.width}x{form.height} images, the robot file has '
        msg += f'{camera.width}x{camera.height}'
        raise ValueError(msg)
    there = min(form.n_bytes, n_bytes - form.first)
    row = ENCODINGS[form.encoding] * form.width
    if form.step < row or there < form.step * form.height:
        msg = f'image of {there} bytes is not {form.height} rows of {form.step} bytes'
        raise ValueError(msg)


class ImageCheck:
    """What is wrong with the images of one camera, one after the other."""

    def __init__(self, camera: CameraSpec) -> None:
        """Start without an image."""
        self._camera = camera
        self._stamp_ns = -1
        self._rows = b''
        self._tops = [(2 * i + 1) * camera.height // (2 * LOOKED_AT) for i in range(LOOKED_AT)]

    def refuse_message(self, data: bytes, now_ns: int) -> str:
        """Return why a serialized image of the camera is not believed, empty when it is.

        Args:
            data: The message.
            now_ns: Now [ns, ROS clock].
        """
        try:
            if self._camera.transport == 'compressed':
                stamp_ns, file = read_compressed(data)
                return self._refuse(stamp_ns, file, now_ns)
            form = read_form(data)
            expect_form(self._camera, form, len(data))
        except ValueError as error:
            return str(error)
        starts = [form.first + top * form.step for top in self._tops]
        row = ENCODINGS[form.encoding] * form.width
        rows = b''.join([data[start : start + row] for start in starts])
        return self._refuse(form.stamp_ns, rows, now_ns, brightness(rows, form.encoding))

    def refuse_image(self, image: np.ndarray, stamp_ns: int, now_ns: int) -> str:
        """Return why an image of the camera's size is not believed, empty when it is.

        Args:
            image: (height, width, 3) uint8.
            stamp_ns: When it was taken [ns, ROS clock].
            now_ns: Now [ns, ROS clock].
        """
        rows = image[self._tops]
        return self._refuse(stamp_ns, rows.tobytes(), now_ns, float(rows.mean()))

    def _refuse(self, stamp_ns: int, rows: bytes, now_ns: int, level: float = 255.0) -> str:
        """Return why an image is not believed, by its stamp and the rows that are looked at.

        Args:
            stamp_ns: When it was taken [ns, ROS clock].
            rows: The rows, or the whole file where it is compressed.
            now_ns: Now [ns, ROS clock].
            level: Mean brightness of the rows, of 255; that of a file is not known.
        """
        if stamp_ns > now_ns + AHEAD_NS:
            ahead_s = (stamp_ns - now_ns) * 1e-9
            return f'its stamp is {ahead_s:.1f} s ahead of this clock; synchronise the machines'
        if self._stamp_ns > now_ns + AHEAD_NS:  # it was accepted before the clock was set back
            self._stamp_ns = -1
        if stamp_ns <= self._stamp_ns:
            return 'its stamp is not newer than the last' if stamp_ns else UNSTAMPED
        if level < BLACK_LEVEL:
            return 'it is black; look at lens, light and exposure'
        if self._camera.noise and rows == self._rows:
            return 'it is frozen: the same image again, without the noise of a sensor'
        self._stamp_ns, self._rows = stamp_ns, rows
        return ''


def _aligned(at: int) -> int:
    """Return the next multiple of 4 from a place on; the encapsulation before it is one."""
    return (at + 3) // 4 * 4
