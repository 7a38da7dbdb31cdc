# SPDX-License-Identifier: Apache-2.0
"""Image messages as RGB arrays, live and from a bag alike: raw, compressed and video.

Raw images are sensor_msgs/Image in any encoding of ``ENCODINGS``, compressed ones JPEG or PNG in a
sensor_msgs/CompressedImage, and video is H.264 or H.265, a packet per message, as
foxglove_msgs/CompressedVideo or FFMPEGPacket have it. Depth is refused: it is no colour.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from cosmos_policy_ros.video_packets import FrameNumbers, has_key_frame
import numpy as np
from numpy.typing import NDArray

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
COMPRESSED_VIDEO = 'foxglove_msgs/msg/CompressedVideo'
VIDEO_PACKET = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE, COMPRESSED_VIDEO, VIDEO_PACKET)
ENCODINGS = {  # name in sensor_msgs/Image -> bytes per pixel
    'rgb8': 3,
    'bgr8': 3,
    '8UC3': 3,
    'rgba8': 4,
    'bgra8': 4,
    '8UC4': 4,
    'mono8': 1,
    '8UC1': 1,
    'yuv422_yuy2': 2,
    'yuyv': 2,
    'yuv422': 2,  # uyvy
    'uyvy': 2,
}
ORDERS = {  # RGB as channels of the pixels
    'rgb8': (0, 1, 2),
    'rgba8': (0, 1, 2),
    'bgr8': (2, 1, 0),
    'bgra8': (2, 1, 0),
    'mono8': (0, 0, 0),
    '8UC1': (0, 0, 0),
}
UNNAMED = ('8UC3', '8UC4')  # that name no order of colours; OpenCV's is that of bgr8
COLOURS = ('bgr', 'rgb')
DEPTH = ('16UC1', 'mono16', '32FC1')
VIDEO_FORMATS = {'h264': 'h264', 'libx264': 'h264', 'h265': 'hevc', 'hevc': 'hevc'}
JPEG, JPEG_SCAN, JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'  # markers
IMAGE_MODES = ('RGB', 'RGBA', 'L', 'P')  # of a decoded file that can be shown as RGB


class ImageDecoder:
    """Decodes the messages of one topic in their order; a frame of video needs those before it."""

    def __init__(self) -> None:
        """Start before the first message."""
        self._video: Any = None
        self._n_packets = 0  # of video, decoded so far
        self._numbers = FrameNumbers()
        self._lost = False  # whether a packet was, or was damaged, since the last key frame

    def decode(self, message: Any, colours: str = 'bgr') -> NDArray[np.uint8] | None:
        """Return the (height, width, 3) uint8 RGB image of a message.

        Args:
            message: Image, CompressedImage, CompressedVideo or FFMPEGPacket.
            colours: Order of the colours where the encoding names none, one of ``COLOURS``.

        Returns:
            The image, a view of the message where that is possible; None for video before its
            first key frame, and from a packet that is lost to the next key frame.

        Raises:
            ValueError: It is depth, of a format that is not known, damaged, or of other sizes than
                it says.
        """
        if hasattr(message, 'step'):
            return image_array(message, colours)
        if (codec := video_codec(message)) is not None:
            return self._decode_video(codec, bytes(message.data))
        form = _format(message)
        if 'compresseddepth' in form.lower() or form.partition(';')[0] in DEPTH:
            msg = f'format {form!r} is depth, a colour image is expected'
            raise ValueError(msg)
        try:
            image = decode_file(bytes(message.data))
        except ValueError as error:
            if not hasattr(message, 'timestamp') and not hasattr(message, 'pts'):
                raise  # a CompressedImage
            msg = f'video of format {form!r} is not read, one of {", ".join(VIDEO_FORMATS)} is '
            msg += f'expected: encode it anew ({error})'
            raise ValueError(msg) from error
        mosaic = form.startswith('bayer') and not form.rstrip().endswith(('rgb8', 'bgr8'))
        if mosaic and (image == image[:, :, :1]).all():
            msg = f'format {form!r} is the mosaic of a sensor, whose colours nobody has computed; '
            msg += 'a colour image is expected: debayer it first'
            raise ValueError(msg)
        return image

    def _decode_video(self, codec: str, data: bytes) -> NDArray[np.uint8] | None:
        import av  # late: most topics have no video

        if codec == 'h264' and self._numbers.miss_one(data):
            self._lost = True  # a decoder would go on with the images before, and smear them
        if self._lost and not has_key_frame(data, codec):
            return None
        self._lost = False
        if self._video is None:
            self._video = av.CodecContext.create(codec, 'r')
            self._video.flags |= 0x80000  # low delay: a packet in, its frame out
            self._video.thread_count = 1  # several do not notice that a slice is missing
        packet = av.Packet(data)
        packet.pts = self._n_packets
        self._n_packets += 1
        try:
            frames = self._video.decode(packet)
        except av.error.FFmpegError as error:
            if not has_key_frame(data, codec) and not self._video.width:
                return None  # a recording that begins between two key frames
            self._lost = True
            msg = f'{codec} packet of {len(data)} bytes cannot be decoded ({error})'
            raise ValueError(msg) from error
        if any(frame.is_corrupt for frame in frames):
            self._lost = True  # what follows is built on it
            msg = f'{codec} packet of {len(data)} bytes is damaged: the decoder made up some of '
            msg += 'its pixels'
            raise ValueError(msg)
        if frames and frames[-1].pts != packet.pts:
            msg = (
                f'{codec} frames come out in another order than their packets (B-frames), so that '
            )
            msg += 'nobody can tell which message an image is of; encode without them (bf=0)'
            raise ValueError(msg)
        return frames[-1].to_ndarray(format='rgb24') if frames else None


def video_codec(message: Any) -> str | None:
    """Return the codec of a message that is a packet of video, None for another.

    Args:
        message: As of ``ImageDecoder.decode``.
    """
    return VIDEO_FORMATS.get(_format(message).lower().partition(';')[0].partition('/')[0].strip())


def _format(message: Any) -> str:
    return str(getattr(message, 'format', None) or getattr(message, 'encoding', ''))


def image_of(message: Any, colours: str = 'bgr') -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 RGB image of a message that needs no other.

    Args:
        message: As of ``ImageDecoder.decode``, and so is the other.
        colours: Order of the colours where the encoding names none.

    Raises:
        ValueError: As ``ImageDecoder.decode``, or it is video without a key frame.
    """
    image = ImageDecoder().decode(message, colours)
    if image is None:
        msg = 'video without a key frame shows nothing'
        raise ValueError(msg)
    return image


def image_array(message: Any, colours: str = 'bgr') -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 RGB pixels of a sensor_msgs/Image, a view if possible.

    Args:
        message: sensor_msgs/Image.
        colours: Order of the colours where the encoding names none.

    Raises:
        ValueError: It is depth, the encoding is not one of ``ENCODINGS``, or the sizes disagree.
    """
    height, width, step = message.height, message.width, message.step
    check_encoding(message.encoding)
    channels = ENCODINGS[message.encoding]
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size != height * step or step < channels * width or not data.size:
        msg = f'image of {data.size} bytes is not {height} rows of {step} bytes, {width} px'
        raise ValueError(msg)
    pixels = data.reshape(height, step)[:, : channels * width].reshape(height, width, channels)
    if channels == 2:
        if width % 2:
            msg = (
                f'an image of {width} px a row cannot be {message.encoding}, of which two pixels '
            )
            msg += 'share their colour; an even width is expected'
            raise ValueError(msg)
        return _rgb_of_yuv(pixels, message.encoding)
    order = ORDERS[f'{colours}8' if message.encoding in UNNAMED else message.encoding]
    if order == (0, 1, 2):
        return pixels[:, :, :3]
    return pixels[:, :, 2::-1] if order == (2, 1, 0) else pixels.repeat(3, axis=2)


def check_encoding(encoding: str) -> None:
    """Refuse an encoding that is no colour image.

    Raises:
        ValueError: It is depth, or not one of ``ENCODINGS``.
    """
    if encoding in DEPTH:
        msg = f'image encoding {encoding!r} is depth, a colour image is expected'
        raise ValueError(msg)
    if encoding not in ENCODINGS:
        msg = (
            f'image encoding {encoding!r} is not supported; publish one of {", ".join(ENCODINGS)}'
        )
        raise ValueError(msg)


def decode_file(data: bytes) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 RGB image of a JPEG or PNG file, zeros behind it or not.

    Raises:
        ValueError: It is empty, no such file, damaged, has 16 bits per pixel, as depth has, or
            colours of another kind.
    """
    from PIL import Image, UnidentifiedImageError  # late: who only needs raw images waits for none

    if not data.strip(b'\0'):
        msg = 'it is empty'
        raise ValueError(msg)
    # what zeros follow is decoded, as grey or worse, to the end of the image
    if data.startswith(JPEG) and data.rfind(JPEG_END) < data.rfind(JPEG_SCAN):
        msg = f'its {len(data)} bytes are damaged (the JPEG file has no end)'
        raise ValueError(msg)
    try:
        with Image.open(BytesIO(data)) as file:
            if file.mode not in IMAGE_MODES:
                depth = ', as those of depth are' if file.mode[0] in 'IF' else ''
                msg = f'its pixels are {file.mode!r}{depth}; RGB is expected'
                raise ValueError(msg)
            return np.asarray(file.convert('RGB'))
    except UnidentifiedImageError as error:
        msg = f'{len(data)} bytes that begin with {data[:4].hex(" ")} are no JPEG or PNG'
        raise ValueError(msg) from error
    except (OSError, SyntaxError) as error:
        msg = f'its {len(data)} bytes are damaged ({error})'
        raise ValueError(msg) from error


def _rgb_of_yuv(pixels: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """Return RGB of 4:2:2 pixels, by BT.601 in the range of video, as camera drivers mean it."""
    import cv2  # late: most cameras send RGB

    uyvy = encoding in ('yuv422', 'uyvy')
    code = cv2.COLOR_YUV2RGB_UYVY if uyvy else cv2.COLOR_YUV2RGB_YUY2
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)
