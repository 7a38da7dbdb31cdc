# SPDX-License-Identifier: Apache-2.0
"""Images of an episode that are read when they are looked at, whatever file they lie in.

2,500 rows of three VGA cameras are 7 GB of pixels. Whoever writes, resizes or shows images goes
through them once and in order, so one at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cosmos_policy_ros.data.reading import note
from cosmos_policy_ros.stream_judge import FROZEN_S
from cosmos_policy_ros.types import Images
import numpy as np
from numpy.typing import DTypeLike, NDArray

MOVED = 0.05  # [rad; gripper 0..1] by which a joint has to move for an image to change
Read = Callable[[NDArray[np.int64]], Iterator[NDArray[np.uint8]]]  # rising rows -> their images


class ImageRows:
    """(U, height, width, 3) uint8 RGB images, indexed like an array; reading in order is fast.

    Attributes:
        shape: As of an array.
        dtype: uint8.
        read: Yields the images of rising rows of a file.
        rows: (U,) int64 rows that these are.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, size: tuple[int, int], read: Read, rows: NDArray[np.int64]) -> None:
        """Read nothing yet.

        Args:
            size: Height and width [px].
            read: Yields the images of rising rows of a file, each (height, width, 3) uint8 RGB.
            rows: (U,) int64 rising rows of the file.
        """
        self.shape = (len(rows), *size, 3)
        self.read, self.rows = read, rows
        self._next = -1  # what comes after the image read last
        self._images: Iterator[NDArray[np.uint8]] = iter(())

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield every image in order."""
        return self.read(self.rows)

    def __getitem__(self, index: Any) -> Any:
        """Return one image, or the images of a slice or of an array of rising numbers unread."""
        if not isinstance(index, int | np.integer):
            return ImageRows(self.shape[1:3], self.read, self.rows[index])
        row = range(len(self))[int(index)]
        if row != self._next:
            self._images = self.read(self.rows[row:])
        image = next(self._images)
        self._next = row + 1
        return image

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Any:
        """Return all images at once, for episodes that are known to be short."""
        return np.array([*self], dtype or self.dtype).reshape(self.shape)


def shown(images: Images, index: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """Yield the (height, width, 3) uint8 image of every tick of a (S,) index, each read once."""
    last, image = -1, np.zeros((0, 0, 3), np.uint8)
    for row in index.tolist():
        if row != last:
            last, image = row, images[row]
        yield image


def swap_colours(images: ImageRows) -> ImageRows:
    """Return images with red and blue exchanged."""

    def read(wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        for image in images.read(wanted):
            yield image[:, :, ::-1]

    return ImageRows(images.shape[1:3], read, images.rows)


def watch_frozen(
    images: ImageRows, proprio: NDArray[np.floating], rate_hz: float, where: str
) -> ImageRows:
    """Return images that log where they stand still while the arms move, when they are read.

    Args:
        images: Those of one camera.
        proprio: (S, P) measured joints of all rows of the file [rad; gripper 0..1].
        rate_hz: Rows per second [Hz].
        where: Episode and camera.
    """

    def log(since: int, last: int) -> None:
        seconds = (last - since) / rate_hz
        if seconds > FROZEN_S and np.ptp(proprio[since : last + 1], axis=0).max() > MOVED:
            what = f'shows the same image for {seconds:.2f} s from {since / rate_hz:.2f} s on'
            note(where, f'{what} while the arms move: frozen')

    def read(wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        before, since, last = None, 0, 0
        for row, image in zip(wanted.tolist(), images.read(wanted), strict=False):
            if before is None or not np.array_equal(before, image):
                log(since, last)
                before, since = image, row
            last = row
            if row == wanted[-1]:  # now: who takes images one by one asks for none behind it
                log(since, last)
            yield image

    return ImageRows(images.shape[1:3], read, images.rows)
