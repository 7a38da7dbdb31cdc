# SPDX-License-Identifier: Apache-2.0
"""How the two diffusers networks are called, the same way for training and for inference.

Source: NVlabs/cosmos-policy ``tokenizers/wan2pt1`` (posterior mean, then per-channel mean and
deviation) and ``policy_video2world_model.denoise`` (one timestep per latent frame, condition
mask as an input channel, no fps, no attention mask).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
import torch
from torch import Tensor
from torch.nn import functional


def encode_video(vae: AutoencoderKLWan, video: Tensor) -> Tensor:
    """Return (B, C, 1 + (F - 1) / 4, h, w) normalised latents of (B, 3, F, H, W) in [-1, 1]."""
    mean, std = _latent_stats(vae, video)
    posterior = vae.encode(video, return_dict=False)[0]
    return (posterior.mode() - mean) / std


def decode_video(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Return (B, 3, 1 + 4 (T - 1), H, W) in [-1, 1] of (B, C, T, h, w) normalised latents."""
    mean, std = _latent_stats(vae, latents)
    return vae.decode(latents * std + mean, return_dict=False)[0]


def predict_velocity(
    transformer: CosmosTransformer3DModel,
    latents: Tensor,
    timestep: Tensor,
    text: Tensor,
    mask: Tensor,
    frames: Sequence[int] | None = None,
) -> Tensor:
    """Return (B, C, T, h, w) the velocity, noise minus clean latents.

    Networks without a padding-mask input of their own get that always-zero channel beside the
    condition mask, which is the same computation.

    Args:
        transformer: The network.
        latents: (B, C, T, h, w) known frames clean, others mixed with noise.
        timestep: (B, T) float, sigma / (1 + sigma), 0 at known frames.
        text: (B, L, D) task embeddings.
        mask: (B, T) float, 1 at known frames.
        frames: T positions of these frames in a sequence that others were left out of, rising;
            None is 0 … T - 1.
    """
    b, _, t, h, w = latents.shape
    condition = mask[:, None, :, None, None].to(latents.dtype).expand(b, 1, t, h, w)
    padding: Tensor | None = None
    if transformer.config.concat_padding_mask:
        padding = latents.new_zeros(1, 1, h, w)  # the network repeats it over the batch
    else:
        condition = torch.cat([condition, torch.zeros_like(condition)], dim=1)
    with _placed(transformer, range(t) if frames is None else frames):
        return transformer(
            hidden_states=latents,
            timestep=timestep[:, None, :, None, None],
            encoder_hidden_states=text,
            condition_mask=condition,
            padding_mask=padding,
            fps=None,
            return_dict=False,
        )[0]


@contextmanager
def _placed(transformer: CosmosTransformer3DModel, frames: Sequence[int]) -> Iterator[None]:
    """Embed the frames of sequences at the given positions while this block runs.

    The network knows no other positions than 0, 1, 2 …, so the modules that embed positions get
    the given ones.

    Args:
        transformer: The network.
        frames: Positions of the frames of a sequence, rising.
    """
    modules = [transformer.rope, transformer.learnable_pos_embed]
    gaps = list(frames) != list(range(len(frames)))
    embedding = [module for module in modules if gaps and module is not None]
    for module in embedding:
        vars(module).setdefault('forward', MethodType(_embed_positions, module))
        module.frames = tuple(frames)
    try:
        yield
    finally:
        for module in embedding:
            module.frames = None


def _embed_positions(module: Any, latents: Tensor, **rate: Any) -> Any:
    """Return the module's own embedding of a whole sequence, at ``module.frames`` alone."""
    original = type(module).forward
    if module.frames is None:
        return original(module, latents, **rate)
    length = module.frames[-1] + 1
    whole = original(module, latents[:, :, :1].expand(-1, -1, length, -1, -1), **rate)

    def pick(rows: Tensor) -> Tensor:
        """Return (…, F S, D) of (…, T S, D)."""
        return rows.unflatten(-2, (length, -1))[..., list(module.frames), :, :].flatten(-3, -2)

    return tuple(pick(rows) for rows in whole) if isinstance(whole, tuple) else pick(whole)


def spatial_stride(vae: AutoencoderKLWan) -> int:
    """Return the width of one latent [px]."""
    return int((vae.config.patch_size or 1) * 2 ** (len(vae.config.dim_mult) - 1))


def temporal_stride(vae: AutoencoderKLWan) -> int:
    """Return the number of images that one latent frame holds."""
    return int(2 ** sum(vae.config.temperal_downsample))


@torch.no_grad()
def make_frame_independent(vae: AutoencoderKLWan) -> None:
    """Cut every connection through time, in place.

    Afterwards the latent of an image depends on that image alone and each latent frame decodes
    alone, so images are encoded and decoded one by one, four times cheaper, with equal results.
    The past taps of the causal convolutions become 0 and the temporal resampling passes the
    newest frame on. Call it on a new autoencoder and again before saving it: training on single
    frames leaves the cut taps without a gradient.
    """
    for name, module in vae.named_modules():
        if not isinstance(module, WanCausalConv3d) or module.kernel_size[0] == 1:
            continue
        module.weight[:, :, :-1] = 0.0
        if name.endswith('time_conv'):
            channels = module.in_channels
            copies = module.out_channels // channels  # 2 where time is upsampled
            eye = torch.eye(channels, dtype=module.weight.dtype, device=module.weight.device)
            module.weight[:, :, -1, 0, 0] = eye.repeat(copies, 1)
            if module.bias is not None:
                module.bias.zero_()


def use_image_convolutions(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """Let single frames go through two-dimensional convolutions, a third of the work; in place.

    A causal convolution pads a single frame with two frames of zeros, so only its newest tap
    counts. Videos still take the original path.
    """
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d):
            module.forward = MethodType(_convolve, module)
    return vae


def _convolve(module: WanCausalConv3d, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
    if x.shape[2] > 1 or cache_x is not None:
        return WanCausalConv3d.forward(module, x, cache_x)
    left, _, top, _, _, _ = module._padding
    newest = module.weight[:, :, -1]
    return functional.conv2d(x[:, :, 0], newest, module.bias, padding=(top, left))[:, :, None]


def is_frame_independent(vae: AutoencoderKLWan) -> bool:
    """Return whether no convolution of the autoencoder depends on an earlier frame."""
    return all(
        not bool(module.weight[:, :, :-1].any())
        for module in vae.modules()
        if isinstance(module, WanCausalConv3d)
    )


def _latent_stats(vae: AutoencoderKLWan, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the per-channel mean and deviation of the latents, shaped (1, C, 1, 1, 1)."""
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean, dtype=like.dtype, device=like.device)
    std = torch.tensor(vae.config.latents_std, dtype=like.dtype, device=like.device)
    return mean.view(shape), std.view(shape)
