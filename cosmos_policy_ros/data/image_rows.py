# SPDX-License-Identifier: Apache-2.0
"""Images of an episode that are read when they are looked at, whatever file they lie in.

2,500 rows of three VGA cameras are 7 GB of pixels. Whoever writes, resizes or shows images goes
through them once and in order, so one at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cosmos_policy_ros.types import Images
import numpy as np
from numpy.typing import DTypeLike, NDArray

Read = Callable[[NDArray[np.int64]], Iterator[NDArray[np.uint8]]]  # rising rows -> their images


class ImageRows:
    """(U, height, width, 3) uint8 RGB images, indexed like an array; reading in order is fast.

    Attributes:
        shape: As of an array.
        dtype: uint8.
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
        self._read, self._rows = read, rows
        self._next = -1  # what comes after the image read last
        self._images: Iterator[NDArray[np.uint8]] = iter(())

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield every image in order."""
        return self._read(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """Return one image, or the images of a slice or of an array of rising numbers unread."""
        if not isinstance(index, int | np.integer):
            return ImageRows(self.shape[1:3], self._read, self._rows[index])
        row = range(len(self))[int(index)]
        if row != self._next:
            self._images = self._read(self._rows[row:])
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
