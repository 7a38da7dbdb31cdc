# SPDX-License-Identifier: Apache-2.0
"""Several cameras in the one image that a Cosmos 3 policy is shown, and back.

Source: NVIDIA/cosmos-framework ``scripts/action_policy_server_robolab.py``
``_compose_roboarena_views``: bilinear, without antialiasing, rounded down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cosmos_policy_ros.core.cosmos3.facts import View
import numpy as np
from numpy.typing import NDArray
import torch

Pixels = NDArray[np.uint8]


def compose_views(
    images: Mapping[str, Pixels], views: Sequence[View], size: tuple[int, int]
) -> Pixels:
    """Return the (height, width, 3) uint8 RGB image with every camera in its place.

    Args:
        images: Camera -> (height, width, 3) uint8 RGB.
        views: The places.
        size: Height and width [px].
    """
    whole = np.zeros((*size, 3), np.uint8)
    for view in views:
        image = _resize(images[view.camera], (view.height, view.width))
        bottom, right = view.top + view.height, view.left + view.width
        whole[view.top : bottom, view.left : right] = image
    return whole


def cut_views(
    whole: Pixels, views: Sequence[View], scale: tuple[float, float]
) -> dict[str, Pixels]:
    """Return camera -> the part of an image in its place, or what is left of it.

    Args:
        whole: (height, width, 3) uint8 RGB, which may end before the last places do.
        views: The places.
        scale: Height and width of a pixel of the places in the image.
    """
    down, across = scale
    found = {}
    for view in views:
        top, bottom = (round(down * row) for row in (view.top, view.top + view.height))
        left, right = (round(across * n) for n in (view.left, view.left + view.width))
        found[view.camera] = np.ascontiguousarray(whole[top:bottom, left:right])
    return found


def _resize(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image of a height and width; one that has them is left as it is."""
    if image.shape[:2] == size:
        return image
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(pixels, size, mode='bilinear', align_corners=False)
    return resized[0].permute(1, 2, 0).to(torch.uint8).numpy()
