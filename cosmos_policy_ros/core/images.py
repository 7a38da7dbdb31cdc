# SPDX-License-Identifier: Apache-2.0
"""Camera images to the video that goes into the autoencoder, and back.

The video starts with one black frame, then holds every image four times, because the causal
autoencoder turns the first pixel frame into one latent frame and every further four into one.

Source: NVlabs/cosmos-policy ``cosmos_utils.prepare_images_for_model``,
``cosmos_utils.apply_image_transforms`` and
``text2world_model._normalize_video_databatch_inplace``.
Differs: where a checkpoint says nothing else, an image goes to the model's size in one bicubic
step; the ALOHA client of the reference stops at 256 pixels in between because its videos have that
size, and the images of its two simulators are flipped and go through a JPEG first.
"""

from __future__ import annotations

import io
import math

from cosmos_policy_ros.core.config import CROP_AREA, ImageRecipe
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import torch
from torch import Tensor

COPIES = 4  # pixel frames per latent frame: the temporal stride of the Wan autoencoder

Pixels = NDArray[np.uint8]


def prepare_image(image: Pixels, recipe: ImageRecipe) -> Pixels:
    """Return the (size, size, 3) uint8 RGB image that a policy is shown, before a crop.

    The aspect ratio is not kept, as in the reference. An image that has the size already is not
    resized.

    Args:
        image: (height, width, 3) uint8 RGB as the camera or the simulator has it.
        recipe: What is done to it.
    """
    if recipe.flip:
        image = np.flipud(image)
    pil = Image.fromarray(np.ascontiguousarray(image))
    if recipe.jpeg_quality:
        file = io.BytesIO()
        pil.save(file, 'JPEG', quality=recipe.jpeg_quality)
        pil = Image.open(file)
    if pil.size != (recipe.size, recipe.size):
        for side in filter(None, (recipe.resize_first, recipe.size)):
            pil = pil.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(pil)


def crop_image(image: Pixels) -> Pixels:
    """Return the middle 0.9 of the area of a square image, resized back.

    Source: NVlabs/cosmos-policy, at test time.

    Args:
        image: (size, size, 3) uint8 RGB.
    """
    size = len(image)
    side = int(size * math.sqrt(CROP_AREA))
    start = round((size - side) / 2)
    crop = torch.from_numpy(image[start : start + side, start : start + side].copy())
    back = torch.nn.functional.interpolate(
        crop.permute(2, 0, 1)[None], (size, size), mode='bilinear', antialias=True
    )
    return np.ascontiguousarray(back[0].permute(1, 2, 0).numpy())


def scale_pixels(images: Pixels | Tensor) -> Tensor:
    """Return (..., 3, H, W) float32 in [-1, 1] from (..., H, W, 3) uint8 RGB."""
    pixels = torch.as_tensor(images).movedim(-1, -3)
    return pixels.to(torch.float32) / 127.5 - 1.0


def unscale_pixels(frames: Tensor) -> Pixels:
    """Return (..., H, W, 3) uint8 RGB from (..., 3, H, W) float in [-1, 1]."""
    pixels = ((frames.to(torch.float32) + 1.0) * 127.5).round().clamp(0.0, 255.0)
    return np.ascontiguousarray(pixels.to(torch.uint8).movedim(-3, -1).cpu().numpy())


def frames_to_video(slots: Tensor) -> Tensor:
    """Return (B, 3, 1 + 4 S, H, W): one black frame, then every slot four times.

    Args:
        slots: (B, S, 3, H, W) float in [-1, 1], what the latent frames 1 … S show; frames that
            are no image show ``black_like``.
    """
    video = slots.repeat_interleave(COPIES, dim=1)
    video = torch.cat([black_like(slots[:, :1]), video], dim=1)  # (B, 1 + 4 S, 3, H, W)
    return video.movedim(2, 1)


def black_like(frames: Tensor) -> Tensor:
    """Return a black frame, -1 everywhere, of the same shape."""
    return torch.full_like(frames, -1.0)


def pixel_frame(latent_index: int) -> int:
    """Return which pixel frame shows the image of a latent frame."""
    return (latent_index - 1) * COPIES + 1
