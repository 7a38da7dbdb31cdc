# SPDX-License-Identifier: Apache-2.0
"""Images as JPEG files."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Return a (height, width, 3) uint8 RGB image as a JPEG file.

    Args:
        image: The image.
        quality: 1 to 100.
    """
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()
