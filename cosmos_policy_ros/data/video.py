# SPDX-License-Identifier: Apache-2.0
"""Camera images in MP4 files: H.264 that every player opens, counted by decoding.

H.264 in 4:2:0 is lossy: the tests want 320x240 images back at 35 dB PSNR or more. Frames are in
presentation order without B-frames and a key frame comes every tenth of them, so that one episode
of a long file is found quickly.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from cosmos_policy_ros.data.image_rows import ImageRows
import numpy as np
from numpy.typing import NDArray

CODEC, PIXELS = 'h264', 'yuv420p'
VideoError = av.error.FFmpegError
DRIFT = 0.2  # of a frame, by which its time may differ; more, and a neighbour may be meant
OPTIONS = {'crf': '18', 'g': '10', 'bf': '0'}  # crf: 12 is 40 % larger for 1 dB, 23 loses 1.5 dB


class VideoWriter:
    """Write one MP4 file; a context manager.

    Attributes:
        path: The file.
        n_frames: Frames written so far.
        n_bytes: Bytes of those that left the encoder; the file appears with the first of them.
    """

    def __init__(self, path: Path, rate_hz: float, height: int, width: int) -> None:
        """Create the file and its folder.

        Raises:
            ValueError: A side is odd, which 4:2:0 cannot hold.
        """
        if height % 2 or width % 2:
            msg = f'a video needs even sides, got {width}x{height} px'
            raise ValueError(msg)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.n_frames, self.n_bytes = path, 0, 0
        self._rate = Fraction(rate_hz).limit_denominator(1000)
        self._file = av.open(_url(path), 'w')
        self._stream = self._file.add_stream('libx264', rate=self._rate, options=OPTIONS)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = PIXELS

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append a (height, width, 3) uint8 RGB frame."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
        frame.pts, frame.time_base = self.n_frames, 1 / self._rate
        packets = self._stream.encode(frame)
        self._file.mux(packets)
        self.n_frames += 1
        self.n_bytes += sum(packet.size for packet in packets)

    def close(self) -> None:
        """Finish the file."""
        self._file.mux(self._stream.encode())
        self._file.close()

    def __enter__(self) -> VideoWriter:
        """Return the open writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the file; after an error it is only closed."""
        if kind is None:
            self.close()
        else:
            self._file.close()


def video_rate(path: Path) -> float:
    """Return the frames per second of a file [Hz]."""
    with av.open(_url(path)) as file:
        return float(file.streams.video[0].average_rate)


def read_video(path: Path, start_s: float = 0.0) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield time after ``start_s`` [s] and frame, not yet RGB, of every frame from there.

    Raises:
        ValueError: The file is missing, damaged or no video.
    """
    try:
        with av.open(_url(path)) as file:
            stream = file.streams.video[0]
            tolerance_s = 0.5 / float(stream.average_rate)
            file.seek(round(start_s / stream.time_base), stream=stream)  # to the key frame before
            for frame in file.decode(stream):
                time_s = float(frame.pts * stream.time_base) - start_s
                if time_s > -tolerance_s:
                    yield time_s, frame
    except (VideoError, LookupError) as error:
        msg = f'{path} cannot be read: {error}'
        raise ValueError(msg) from error


def pick_frames(
    path: Path,
    rows: NDArray[np.int64],
    n: int,
    start_s: float | None = None,
    rate_hz: float = 1.0,
) -> ImageRows:
    """Return some frames of an episode whose n frames follow each other in a file.

    They are counted by decoding them, and decoded again when they are looked at.

    Args:
        path: File.
        rows: (U,) rising numbers of the wanted frames, counted from the episode's first.
        n: Frames of the episode.
        start_s: Where the episode starts in the file [s]; None when it is the whole file.
        rate_hz: Rate of the frames, used with ``start_s`` [Hz].

    Returns:
        (U, height, width, 3) uint8 RGB.

    Raises:
        ValueError: The file is missing, damaged or no video, does not have n frames there, or they
            are not at the rate.
    """
    count, size = 0, (0, 0)
    for time_s, frame in read_video(path, start_s or 0.0):
        if start_s is not None and count == n:
            break
        if start_s is not None and abs(time_s - count / rate_hz) > DRIFT / rate_hz:
            msg = f'{path}: frame {count} is at {time_s:.3f} s, expected {count / rate_hz:.3f} s'
            raise ValueError(msg)
        size = frame.height, frame.width
        count += 1
    if count != n:
        place = '' if start_s is None else f' from {start_s:.3f} s on'
        msg = f'{path} has {count} frames{place}, the episode has {n} rows'
        raise ValueError(msg)

    def read(wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        numbers = set(wanted.tolist())
        for number, (_, frame) in enumerate(read_video(path, start_s or 0.0)):
            if number in numbers:
                yield frame.to_ndarray(format='rgb24')
            if number == wanted[-1]:
                return

    return ImageRows(size, read, rows)


def count_frames(path: Path) -> int:
    """Return the number of frames of a file, found by decoding them."""
    with av.open(_url(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def _url(path: Path) -> str:
    """Return a file as the library takes it, for which ``10:30/a.mp4`` is of protocol 10."""
    return f'file:{path}'
