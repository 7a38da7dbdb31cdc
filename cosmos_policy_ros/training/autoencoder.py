# SPDX-License-Identifier: Apache-2.0
"""The small image autoencoder whose latents the policy denoises, and its training.

It is the Wan autoencoder of diffusers at a small size, with every connection through time cut, so
that it learns from single images and each latent frame depends on its own image alone.
"""

from __future__ import annotations

from cosmos_policy_ros.core.images import scale_pixels
from cosmos_policy_ros.core.networks import make_frame_independent, use_image_convolutions
from cosmos_policy_ros.metrics import psnr_of_error_db
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.training.sizes import AutoencoderConfig
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify, unpatchify
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

LATENT_CHANNELS = 16


def build_autoencoder(config: AutoencoderConfig) -> AutoencoderKLWan:
    """Return a new frame-independent autoencoder with random weights."""
    halvings = len(config.dim_mult) - 1
    vae = AutoencoderKLWan(
        base_dim=config.base_dim,
        decoder_base_dim=config.base_dim,
        z_dim=LATENT_CHANNELS,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.res_blocks,
        attn_scales=[],
        # Time is halved twice, in the last two levels: four pixel frames to one latent frame.
        temperal_downsample=[level >= halvings - 2 for level in range(halvings)],
        in_channels=3 * config.patch**2,
        out_channels=3 * config.patch**2,
        patch_size=config.patch,
        scale_factor_temporal=4,
        scale_factor_spatial=config.patch * 2**halvings,
    )
    make_frame_independent(vae)
    return use_image_convolutions(vae)


def train_autoencoder(
    vae: AutoencoderKLWan, images: NDArray[np.uint8], config: AutoencoderConfig, seed: int
) -> float:
    """Train an autoencoder in place and return its PSNR on images held out [dB].

    Mean and standard deviation of the latents are set in its configuration. 64 images are held
    out.

    Args:
        vae: Frame-independent autoencoder, on the device to compute on.
        images: (n, size, size, 3) uint8 RGB.
        config: Size and length of the training.
        seed: Seed of the held-out images and of the batches.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    held_out, trained = order[:64], order[64:]
    weights = [p for n, p in vae.named_parameters() if 'time_conv' not in n]
    optimizer = torch.optim.AdamW(weights, config.learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.updates, pct_start=0.2
    )
    device = weights[0].device
    vae.train()
    with Progress() as progress:
        bar = progress.add_task('autoencoder', total=config.updates)
        for _ in range(config.updates):
            drawn = rng.choice(trained, config.batch_size, replace=False)
            x = scale_pixels(images[drawn]).to(device)
            loss = _loss(vae, x, config)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            progress.update(bar, advance=1, description=f'autoencoder, loss {loss.item():.4f}')
    vae.eval()
    make_frame_independent(vae)
    with torch.no_grad():
        sample = scale_pixels(images[trained[:256]]).to(device)
        z = _encode(vae, sample)
        vae.register_to_config(
            latents_mean=z.mean(dim=(0, 2, 3)).tolist(), latents_std=z.std(dim=(0, 2, 3)).tolist()
        )
        x = scale_pixels(images[held_out]).to(device)
        error = (_decode(vae, _encode(vae, x)).clamp(-1, 1) - x).pow(2).mean().item()
    return psnr_of_error_db(error, peak=2.0)


def _loss(vae: AutoencoderKLWan, x: Tensor, config: AutoencoderConfig) -> Tensor:
    """Return the weighted L1 error of (B, 3, H, W) images, decoded from noisy latents."""
    z = _encode(vae, x)
    decoded = _decode(vae, z + config.latent_noise * torch.randn_like(z))
    colour = x.amax(dim=1, keepdim=True) - x.amin(dim=1, keepdim=True)  # (B, 1, H, W) in 0..2
    weight = 1.0 + config.colour_weight * colour
    # The penalty keeps the latents near unit scale; without it they grow past the noise.
    return (weight * (decoded - x).abs()).mean() + 1e-3 * z.pow(2).mean()


def _encode(vae: AutoencoderKLWan, x: Tensor) -> Tensor:
    """Return (B, C, h, w) latents of (B, 3, H, W) images, not normalised."""
    hidden = vae.encoder(patchify(x[:, :, None], vae.config.patch_size))
    return vae.quant_conv(hidden)[:, :LATENT_CHANNELS, 0]


def _decode(vae: AutoencoderKLWan, z: Tensor) -> Tensor:
    """Return (B, 3, H, W) images of (B, C, h, w) latents."""
    hidden = vae.decoder(vae.post_quant_conv(z[:, :, None]))
    return unpatchify(hidden, vae.config.patch_size)[:, :, 0]
