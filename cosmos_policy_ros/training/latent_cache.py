# SPDX-License-Identifier: Apache-2.0
"""The latents of all images of the cached episodes, and images of latents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.images import black_like, frames_to_video, scale_pixels
from cosmos_policy_ros.core.layout import LatentLayout
from cosmos_policy_ros.core.networks import decode_video, encode_video
from cosmos_policy_ros.core.vision import Vision
from cosmos_policy_ros.progress import track
from cosmos_policy_ros.training.augment import augment_image, draw_augmentation
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import CachedEpisode, chunk_end
from cosmos_policy_ros.training.image_cache import crop_as_deployed
from diffusers import AutoencoderKLWan
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

TICKS_AT_ONCE = 8  # videos of 41 frames in one call of a causal autoencoder
IMAGES_AT_ONCE = 128  # images in one call of a frame-independent autoencoder


@dataclass(frozen=True, eq=False)
class LatentCache:
    """The latents of every image of the training data, and the embeddings of the tasks.

    Attributes:
        latents: (n_versions * n, C, h, w) float16, one version of all n images after the other.
        blank: (C, h, w) float32 latent of a black image.
        text: (n_tasks, L, D) float32 embeddings of the tasks.
        n_versions: 1, or more with augmented images.
    """

    latents: Tensor
    blank: Tensor
    text: Tensor
    n_versions: int = 1


@torch.inference_mode()
def encode_images(
    files: list[Path],
    episodes: list[CachedEpisode],
    vae: AutoencoderKLWan,
    config: TrainConfig,
    version: int = 0,
) -> Tensor:
    """Return (n, C, h, w) float16 latents of one version of all images.

    Latents have the order of ``CachedEpisode.image_row``, or ``latent_row`` where there is one.

    Args:
        files: The cache files.
        episodes: The episodes of these files.
        vae: Image autoencoder.
        config: Cameras, horizon and augmentation.
        version: 0 for the images as the policy is shown them, above for augmented ones.
    """
    latents = []
    device = next(vae.parameters()).device
    what = f'encoding images, version {version}' if version else 'encoding images'
    for number, (file, one) in enumerate(track(list(zip(files, episodes, strict=True)), what)):
        # One augmentation for a whole episode: current and future images must fit each other.
        augmentation = draw_augmentation(np.random.default_rng((config.seed, number, version)))
        cameras, index = [], []
        with np.load(file) as data:
            for camera in config.cameras:
                images = data[f'images/{camera}']
                if version:
                    images = np.stack([augment_image(image, augmentation) for image in images])
                else:
                    images = crop_as_deployed(images, config)
                cameras.append(scale_pixels(images))
                index.append(data[f'index/{camera}'])
        if one.latent_row is None:
            for part in torch.cat(cameras).split(IMAGES_AT_ONCE):
                found = encode_video(vae, part[:, :, None].to(device))
                latents.append(found[:, :, 0].half().cpu())
            continue
        now = np.arange(len(one.actions))
        then = chunk_end(now, len(now), config.horizon, config.stride)
        for ticks in np.array_split(np.arange(len(now)), -(-len(now) // TICKS_AT_ONCE)):
            shown = [[c[i[at[ticks]]] for c, i in zip(cameras, index, strict=True)]
                     for at in (now, then)]  # fmt: skip
            current, future = (torch.stack(images, 1).to(device) for images in shown)
            latents.append(_encode_sequences(vae, config.cameras, current, future))
    return torch.cat(latents).contiguous()


def _encode_sequences(
    vae: AutoencoderKLWan, cameras: tuple[str, ...], now: Tensor, then: Tensor
) -> Tensor:
    """Return (B * 2C, channels, h, w) float16 latents of images in their places in the video.

    A causal autoencoder encodes an image with what the video showed before it: black frames
    where the vectors stand, and the other images.

    Args:
        vae: Image autoencoder.
        cameras: Camera names.
        now: (B, C, 3, H, W) float32 current images in [-1, 1].
        then: (B, C, 3, H, W) float32 images when the chunk ends.
    """
    layout, black = LatentLayout(cameras), black_like(now[:, 0])
    images = dict(zip(layout.names, [black] * len(layout.names), strict=True))
    for i, camera in enumerate(cameras):
        images |= {camera: now[:, i], f'future_{camera}': then[:, i]}
    video = torch.stack([images[name] for name in layout.names[1:-1]], dim=1)
    found = encode_video(vae, frames_to_video(video)).half().cpu()
    places = [layout.index(c) for c in (*cameras, *(f'future_{c}' for c in cameras))]
    return found[:, :, places].transpose(1, 2).flatten(0, 1)


def decode_futures(
    vae: AutoencoderKLWan,
    latents: Tensor,
    now: NDArray[np.uint8],
    policy: PolicyConfig,
    device: torch.device,
) -> NDArray[np.uint8]:
    """Return (B, C, size, size, 3) uint8 RGB images of the future frames of latent sequences.

    Args:
        vae: Image autoencoder, on ``device``.
        latents: (B, channels, T, h, w) float32 denoised sequences.
        now: (B, C, size, size, 3) uint8 RGB current images of the sequences.
        policy: Layout and cameras.
        device: Where to compute.
    """
    vision, images = Vision(_Autoencoder(vae, device), policy), []
    for one, current in zip(latents.to(device), now, strict=True):
        futures = vision.decode_futures(one[None], scale_pixels(current).to(device))
        images.append(np.stack([futures[c][0] for c in policy.cameras]))
    return np.stack(images)


class _Autoencoder:
    """The image autoencoder of a run as the codec that ``Vision`` wants."""

    def __init__(self, vae: AutoencoderKLWan, device: torch.device) -> None:
        """Keep the network, which is on ``device``."""
        self._vae, self.device = vae, device

    def encode(self, video: Tensor) -> Tensor:
        """Return the (B, C, T, h, w) latents of a (B, 3, F, H, W) video."""
        return encode_video(self._vae, video)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the (B, 3, F, H, W) video of (B, C, T, h, w) latents."""
        return decode_video(self._vae, latents)
