# SPDX-License-Identifier: Apache-2.0
"""Camera images into the latent sequence and predicted images out of it, through a backend.

Source: NVlabs/cosmos-policy ``cosmos_utils.get_action``, ``undo_latent_injection`` and
``get_future_images_from_generated_samples``.
Differs: only the frames that are known are encoded and only frames up to the last image decoded,
which the causality of the autoencoder makes exact; a frame-independent autoencoder takes every
image once.
"""

from __future__ import annotations

from collections.abc import Mapping

from cosmos_policy_ros.core.backend import Autoencoder
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.images import (
    black_like,
    crop_image,
    frames_to_video,
    pixel_frame,
    prepare_image,
    scale_pixels,
    unscale_pixels,
)
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor


class Vision:
    """Camera images to latent frames and predicted frames to images, for one latent layout.

    Args:
        backend: What runs it.
        config: Cameras and sizes.
    """

    def __init__(self, backend: Autoencoder, config: PolicyConfig) -> None:
        """Keep the parts; nothing is computed yet."""
        self._backend, self._config = backend, config
        self._blank: Tensor | None = None  # latent of a black image, the same in every query

    def prepare(self, images: Mapping[str, NDArray[np.uint8]]) -> Tensor:
        """Return (cameras, 3, H, W) float32 in [-1, 1] in the order of the latent frames.

        Args:
            images: Camera -> (height, width, 3) uint8 RGB.
        """
        config = self._config
        pixels = [prepare_image(images[camera], config.recipe) for camera in config.cameras]
        if config.centre_crop:
            pixels = [crop_image(image) for image in pixels]
        return scale_pixels(np.stack(pixels))

    def encode_current(self, images: Tensor) -> Tensor:
        """Return (1, C, 2 + cameras, h, w) latents of the blank, proprio and camera frames.

        The proprio frame is a placeholder that its vector overwrites.

        Args:
            images: (cameras, 3, H, W) float32 in [-1, 1].
        """
        black = black_like(images[:1])
        if not self._config.independent_frames:
            slots = torch.cat([black, images])  # proprio, cameras
            return self._backend.encode(frames_to_video(slots[None]))
        blank = self.encode_blank()
        frames = self._backend.encode(images[:, :, None])  # (cameras, C, 1, h, w)
        return torch.cat([blank, blank, frames.transpose(0, 2)], dim=2)

    def encode_blank(self) -> Tensor:
        """Return the (1, C, 1, h, w) latent of the blank frame, a black image."""
        if self._blank is None:
            size = self._config.image_size
            black = black_like(torch.zeros(1, 3, size, size, device=self._backend.device))
            self._blank = self._backend.encode(black[:, :, None])
        return self._blank

    def decode_futures(self, latents: Tensor, images: Tensor) -> dict[str, NDArray[np.uint8]]:
        """Return camera -> (R, H, W, 3) uint8 RGB predicted images.

        A causal autoencoder decodes a frame from all frames before it, so frames that hold
        vectors are replaced by the black images whose place they took.

        Args:
            latents: (R, C, T, h, w) denoised latents.
            images: (cameras, 3, H, W) float32 current images in [-1, 1].
        """
        cameras = self._config.cameras
        n, first = len(cameras), self._config.layout.index(f'future_{cameras[0]}')
        futures = latents[:, :, first : first + n]  # (R, C, cameras, h, w)
        if self._config.independent_frames:
            single = futures.transpose(1, 2).flatten(0, 1)[:, :, None]  # (R*cameras, C, 1, h, w)
            decoded = self._backend.decode(single)[:, :, 0]  # (R*cameras, 3, H, W)
            frames = decoded.reshape(-1, n, *decoded.shape[1:])
        else:
            black = black_like(images[:1])
            slots = torch.cat([black, images, black, black])  # proprio, …, action, future proprio
            before = self._backend.encode(frames_to_video(slots[None]))
            shown = [pixel_frame(first + i) for i in range(n)]
            videos = [self._backend.decode(torch.cat([before, f[None]], 2)) for f in futures]
            frames = torch.cat(videos)[:, :, shown].transpose(1, 2)
        pixels = unscale_pixels(frames)  # (R, cameras, H, W, 3)
        return {c: np.ascontiguousarray(pixels[:, i]) for i, c in enumerate(cameras)}
