# SPDX-License-Identifier: Apache-2.0
"""The pictures of the prepared episodes: found by row, drawn, encoded and decoded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.images import (
    black_like,
    frames_to_video,
    prepare_image,
    scale_pixels,
)
from cosmos_policy_ros.core.layout import LatentLayout
from cosmos_policy_ros.core.networks import decode_video, encode_video
from cosmos_policy_ros.core.vision import Vision
from cosmos_policy_ros.training.augment import change_picture, draw_change
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import chunk_end, Track
from diffusers import AutoencoderKLWan
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
import torch
from torch import Tensor

TICKS_AT_ONCE = 8  # videos of 41 frames in one call of a causal autoencoder


def load_pictures(
    files: Iterable[Path], config: TrainConfig, rows: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return the (*rows.shape, size, size, 3) uint8 RGB pictures of some image rows.

    Args:
        files: The cache files, in the order they had for ``load_tracks``.
        config: Cameras and sizes.
        rows: Image rows as in ``Track.image_row``.
    """
    size = config.image_size
    pictures = np.zeros((*rows.shape, size, size, 3), np.uint8)
    first = 0
    for file in files:
        with np.load(file) as data:
            for camera in config.cameras:
                n = int(data[f'index/{camera}'].max()) + 1
                here = (rows >= first) & (rows < first + n)
                if here.any():
                    found = data[f'images/{camera}'][rows[here] - first]
                    pictures[here] = _as_seen(found, config)
                first += n
    return pictures


def pick_pictures(files: list[Path], config: TrainConfig) -> NDArray[np.uint8]:
    """Return (n, size, size, 3) uint8 RGB pictures drawn from every episode and camera."""
    rng = np.random.default_rng(config.seed)
    picked = []
    for file in track(files, 'picking pictures'):
        with np.load(file) as data:
            for camera in config.cameras:
                images = data[f'images/{camera}']
                n = min(config.autoencoder.frames_per_episode, len(images))
                picked.append(images[rng.choice(len(images), n, replace=False)])
    return np.concatenate(picked)


def _as_seen(pictures: NDArray[np.uint8], config: TrainConfig) -> NDArray[np.uint8]:
    """Return pictures as the policy will see them."""
    if not config.augment:
        return pictures
    return np.stack([prepare_image(p, config.image_size, True) for p in pictures])


@torch.inference_mode()
def encode_all(
    files: list[Path],
    tracks: list[Track],
    vae: AutoencoderKLWan,
    config: TrainConfig,
    version: int = 0,
) -> Tensor:
    """Return (n, C, h, w) float16 latents of all pictures, in the rows the tracks tell.

    Args:
        files: The cache files.
        tracks: Their tracks.
        vae: Autoencoder.
        config: Cameras, horizon and augmentation.
        version: 0 for the pictures as the policy will see them, above for altered ones.
    """
    latents = []
    device = next(vae.parameters()).device
    what = f'encoding pictures, version {version}' if version else 'encoding pictures'
    for number, (file, one) in enumerate(track(list(zip(files, tracks, strict=True)), what)):
        # One change for a whole episode: current and future pictures must fit each other.
        change = draw_change(np.random.default_rng((config.seed, number, version)))
        cameras, index = [], []
        with np.load(file) as data:
            for camera in config.cameras:
                pictures = data[f'images/{camera}']
                if version:
                    pictures = np.stack([change_picture(p, change) for p in pictures])
                else:
                    pictures = _as_seen(pictures, config)
                cameras.append(scale_pixels(pictures))
                index.append(data[f'index/{camera}'])
        if one.latent_row is None:
            for part in torch.cat(cameras).split(128):
                found = encode_video(vae, part[:, :, None].to(device))
                latents.append(found[:, :, 0].half().cpu())
            continue
        now = np.arange(len(one.actions))
        then = chunk_end(now, len(now), config.horizon, config.stride)
        for ticks in np.array_split(np.arange(len(now)), -(-len(now) // TICKS_AT_ONCE)):
            shown = [[c[i[at[ticks]]] for c, i in zip(cameras, index, strict=True)]
                     for at in (now, then)]  # fmt: skip
            videos = (torch.stack(s, 1).to(device) for s in shown)
            latents.append(_encode_sequences(vae, config.cameras, *videos))
    return torch.cat(latents).contiguous()


def _encode_sequences(
    vae: AutoencoderKLWan, cameras: tuple[str, ...], now: Tensor, then: Tensor
) -> Tensor:
    """Return (B * 2C, channels, h, w) float16 latents of pictures in their places in the video.

    A causal autoencoder encodes a picture with what the video showed before it: black frames
    where the vectors stand, and the other pictures.

    Args:
        vae: Autoencoder.
        cameras: Camera names.
        now: (B, C, 3, H, W) float32 current pictures in [-1, 1].
        then: (B, C, 3, H, W) float32 pictures when the chunk ends.
    """
    layout, black = LatentLayout(cameras), black_like(now[:, 0])
    pictures = dict(zip(layout.names, [black] * len(layout.names), strict=True))
    for i, camera in enumerate(cameras):
        pictures |= {camera: now[:, i], f'future_{camera}': then[:, i]}
    slots = torch.stack([pictures[name] for name in layout.names[1:-1]], dim=1)
    found = encode_video(vae, frames_to_video(slots)).half().cpu()
    places = [layout.index(c) for c in (*cameras, *(f'future_{c}' for c in cameras))]
    return found[:, :, places].transpose(1, 2).flatten(0, 1)


class _Decoder:
    """The autoencoder of a run as ``Vision`` wants it."""

    def __init__(self, vae: AutoencoderKLWan, device: torch.device) -> None:
        """Keep the network, which is on ``device``."""
        self._vae, self.device = vae, device

    def encode(self, video: Tensor) -> Tensor:
        """Return latents of a video."""
        return encode_video(self._vae, video)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the video of latents."""
        return decode_video(self._vae, latents)


def decode_pictures(
    vae: AutoencoderKLWan,
    latents: Tensor,
    now: NDArray[np.uint8],
    policy: PolicyConfig,
    device: torch.device,
) -> NDArray[np.uint8]:
    """Return (B, C, size, size, 3) uint8 RGB predicted pictures."""
    vision, pictures = Vision(_Decoder(vae, device), policy), []
    for one, current in zip(latents.to(device), now, strict=True):
        futures = vision.decode_futures(one[None], scale_pixels(current).to(device))
        pictures.append(np.stack([futures[c][0] for c in policy.cameras]))
    return np.stack(pictures)
