# SPDX-License-Identifier: Apache-2.0
"""How large the networks are and how the autoencoder is trained: parts of a ``TrainConfig``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AutoencoderConfig:
    """Size and training of the image autoencoder.

    With ``updates: 0`` the one of ``--init`` is kept as it is.

    Attributes:
        base_dim: Channels at the highest resolution.
        dim_mult: Channel factor of every resolution; each after the first halves the image.
        res_blocks: Residual blocks per resolution.
        patch: Pixels per side that one position holds before the first convolution.
        frames_per_episode: Images per episode and camera it is trained on.
        updates: Optimiser steps.
        batch_size: Images per step.
        learning_rate: Peak learning rate.
        colour_weight: Extra weight of coloured pixels: the scene is grey, the objects are not.
        latent_noise: Noise added to the latents in training, which makes them smooth.
    """

    base_dim: int = 32
    dim_mult: tuple[int, ...] = (1, 2, 2, 2)
    res_blocks: int = 1
    patch: int = 4
    frames_per_episode: int = 12
    updates: int = 1500
    batch_size: int = 32
    learning_rate: float = 2e-3
    colour_weight: float = 8.0
    latent_noise: float = 0.1


@dataclass(frozen=True)
class TransformerConfig:
    """Size of the diffusion transformer.

    Attributes:
        heads: Attention heads.
        head_dim: Width of a head; the model is heads x head_dim wide.
        layers: Blocks.
        patch: Latent positions per side that one token holds.
        adaln_dim: Inner width of the noise-level modulation.
        text_tokens: Tokens of a task embedding.
        text_dim: Width of a task embedding.
        rope_scale: How far the rotary positions in time, height and width are stretched.
        learnable_positions: Whether learned position embeddings are added to the rotary ones.
        padding_mask: Whether the network has a padding-mask input of its own, as the 2B one.
        max_size: Largest latents in time, height and width; zeros take those of the run.
    """

    heads: int = 4
    head_dim: int = 64
    layers: int = 6
    patch: int = 2
    adaln_dim: int = 32
    text_tokens: int = 2
    text_dim: int = 32
    rope_scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    learnable_positions: bool = True
    padding_mask: bool = False
    max_size: tuple[int, ...] = (0, 0, 0)


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters, trained instead of the transformer's own weights (needs ``peft``).

    Attributes:
        rank: Rank of the adapters; 0 trains all weights.
        alpha: Scale of the adapters, divided by the rank.
        layers: Name endings of the linear layers that get one.
    """

    rank: int = 0
    alpha: int = 16
    layers: tuple[str, ...] = ('to_q', 'to_k', 'to_v', 'to_out.0', 'ff.net.0.proj', 'ff.net.2')
