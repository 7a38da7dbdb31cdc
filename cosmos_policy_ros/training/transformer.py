# SPDX-License-Identifier: Apache-2.0
"""The transformer before the first step of a run and after the last."""

from __future__ import annotations

from cosmos_policy_ros.training.autoencoder import LATENT_CHANNELS
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.types import ConfigError
from diffusers import CosmosTransformer3DModel
import torch
from torch import Tensor


def _build(config: TrainConfig, latent_side: int) -> CosmosTransformer3DModel:
    """Return a new transformer that starts as the zero function."""
    size = config.transformer
    transformer = CosmosTransformer3DModel(
        in_channels=LATENT_CHANNELS + 2,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=size.heads,
        attention_head_dim=size.head_dim,
        num_layers=size.layers,
        mlp_ratio=4.0,
        text_embed_dim=size.text_dim,
        adaln_lora_dim=size.adaln_dim,
        max_size=(2 * len(config.cameras) + 5, latent_side, latent_side),
        patch_size=(1, size.patch, size.patch),
        rope_scale=(1.0, 1.0, 1.0),
        concat_padding_mask=False,
        extra_pos_embed_type='learnable',
    )
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if 'pos_emb_' in name:
                weight.normal_(0.0, 1.0)  # zeros have no direction to normalise
            if name.endswith(('linear_2.weight', 'proj_out.weight')):
                weight.zero_()
    return transformer


def prepare_transformer(
    config: TrainConfig, latent_side: int, start: CosmosTransformer3DModel | None
) -> CosmosTransformer3DModel:
    """Return the transformer at the start of a run, with adapters if any."""
    model = _build(config, latent_side).train()
    if start is not None:
        try:
            model.load_state_dict(start.state_dict())
        except RuntimeError as mismatch:
            msg = f'init has a transformer of another size than this run: {mismatch}'
            raise ConfigError(msg) from mismatch
    if config.lora.rank:
        try:
            from peft import LoraConfig as Adapters
        except ImportError as error:
            msg = 'lora needs the package peft; run: .venv/bin/pip install peft'
            raise ConfigError(msg) from error
        model.requires_grad_(False)
        lora = config.lora
        model.add_adapter(
            Adapters(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.layers))
        )
    return model


def finish_transformer(
    config: TrainConfig,
    latent_side: int,
    start: CosmosTransformer3DModel | None,
    weights: dict[str, Tensor],
) -> CosmosTransformer3DModel:
    """Return the transformer with trained weights, adapters merged into it."""
    torch.manual_seed(config.seed)
    model = prepare_transformer(config, latent_side, start)
    model.load_state_dict(weights, strict=False)
    if config.lora.rank:
        model.fuse_lora()
        model.unload_lora()
    return model.eval()
