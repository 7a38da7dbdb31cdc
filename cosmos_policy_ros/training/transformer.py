# SPDX-License-Identifier: Apache-2.0
"""The transformer of a run: built or taken over before the first step, finished after the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.sizes import LoraConfig
from cosmos_policy_ros.types import ConfigError
from diffusers import CosmosTransformer3DModel
import torch
from torch import Tensor


def _build(policy: PolicyConfig, config: TrainConfig) -> CosmosTransformer3DModel:
    """Return a new transformer whose output is zero, since its last layers are."""
    size = config.transformer
    transformer = CosmosTransformer3DModel(
        # the condition mask, and a padding mask that the network may add by itself
        in_channels=policy.latent_channels + (1 if size.padding_mask else 2),
        out_channels=policy.latent_channels,
        num_attention_heads=size.heads,
        attention_head_dim=size.head_dim,
        num_layers=size.layers,
        mlp_ratio=4.0,
        text_embed_dim=size.text_dim,
        adaln_lora_dim=size.adaln_dim,
        max_size=size.max_size if any(size.max_size) else policy.latent_shape[1:],
        patch_size=(1, size.patch, size.patch),
        rope_scale=size.rope_scale,
        concat_padding_mask=size.padding_mask,
        extra_pos_embed_type='learnable' if size.learnable_positions else None,
    )
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if 'pos_emb_' in name:
                weight.normal_(0.0, 1.0)  # zeros have no direction to normalise
            if name.endswith(('linear_2.weight', 'proj_out.weight')):
                weight.zero_()
    return transformer


def prepare_transformer(
    policy: PolicyConfig, config: TrainConfig, start: CosmosTransformer3DModel | None
) -> CosmosTransformer3DModel:
    """Return the transformer at the start of a run, in training mode, with adapters if any.

    Args:
        policy: Channels and sizes of the latents.
        config: Size of a new transformer, and its adapters.
        start: Transformer that is trained on, itself and not a copy; None builds a new one.

    Raises:
        ConfigError: ``start`` is for other latents, or ``peft`` is missing.
    """
    if start is None:
        model = _build(policy, config)
    elif start.config.out_channels == policy.latent_channels:
        model = start
    else:
        have, want = start.config.out_channels, policy.latent_channels
        msg = f'the transformer of --init is for latents of {have} channels, these have {want}'
        raise ConfigError(msg)
    set_trained(model, config.lora)
    return model


def set_trained(model: CosmosTransformer3DModel, lora: LoraConfig) -> None:
    """Set a transformer to training, in place: all weights, or adapters alone.

    Args:
        model: The transformer.
        lora: Its adapters, if any.

    Raises:
        ConfigError: ``peft`` is missing.
    """
    model.train()
    if lora.rank:
        try:
            from peft import LoraConfig as Adapters
        except ImportError as error:
            msg = 'lora needs the package peft; run: .venv/bin/pip install peft'
            raise ConfigError(msg) from error
        model.requires_grad_(False)
        model.add_adapter(
            Adapters(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.layers))
        )


def finish_transformer(
    sizes: Mapping[str, Any], lora: LoraConfig, weights: dict[str, Tensor]
) -> CosmosTransformer3DModel:
    """Return the transformer at the end of a run, in evaluation mode, adapters merged into it.

    Args:
        sizes: Configuration of the trained transformer.
        lora: Its adapters, if any.
        weights: Name -> weight, all of them; they become those of the transformer.
    """
    with torch.device('meta'):  # without numbers of its own
        model = CosmosTransformer3DModel.from_config(sizes)
        set_trained(model, lora)
    model.load_state_dict(weights, assign=True)
    if lora.rank:
        model.fuse_lora()
        model.unload_lora()
    return model.eval()
