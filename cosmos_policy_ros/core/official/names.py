# SPDX-License-Identifier: Apache-2.0
"""The two networks of NVIDIA's release: their sizes, and what its files call each weight.

Source: NVlabs/cosmos-policy ``predict2/networks/minimal_v4_dit``, ``minimal_v1_lvg_dit`` and
``predict2/tokenizers/wan2pt1`` (names of modules and parameters); the released sizes as diffusers
publishes them for Cosmos-Predict2-2B-Video2World and Wan 2.1.
Differs: the always-zero padding mask is an eighteenth input channel instead of an input of its
own, which is the same computation with the same weights (``networks.predict_velocity``); the
other way needs torchvision at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import re
from typing import Any

TRANSFORMER_2B: Mapping[str, Any] = {
    'in_channels': 18,  # 16 of the latents, condition mask, padding mask
    'out_channels': 16,
    'num_attention_heads': 16,
    'attention_head_dim': 128,
    'num_layers': 28,
    'mlp_ratio': 4.0,
    'text_embed_dim': 1024,
    'adaln_lora_dim': 256,
    'max_size': (128, 240, 240),
    'patch_size': (1, 2, 2),
    'rope_scale': (1.0, 3.0, 3.0),
    'concat_padding_mask': False,
    'extra_pos_embed_type': None,
}

VAE_WAN: Mapping[str, Any] = {
    'base_dim': 96,
    'z_dim': 16,
    'dim_mult': (1, 2, 4, 4),
    'num_res_blocks': 2,
    'attn_scales': (),
    'temperal_downsample': (False, True, True),
    'latents_mean': (
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
    ),
    'latents_std': (
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
    ),
}  # fmt: skip

PREFIX = 'net.'  # of the transformer in a consolidated checkpoint

# What a consolidated checkpoint holds beside the weights: buffers that follow from the sizes,
# counters of the training, states of TransformerEngine, and the averaged copy of the weights,
# which the reference does not load either.
_BESIDE = re.compile(
    r'_extra_state$'
    r'|^net\.pos_embedder\.(seq|dim_spatial_range|dim_temporal_range)$'
    r'|^net\.accum_(video_sample_counter|image_sample_counter|iteration|train_in_hours)$'
    r'|^net_ema\.'
)

_Rule = tuple[str, 'str | Callable[[re.Match[str]], str]']

# diffusers name -> official name, applied in this order.
_TRANSFORMER: tuple[_Rule, ...] = (
    (r'^time_embed\.t_embedder\.', 't_embedder.1.'),
    (r'^time_embed\.norm\.', 't_embedding_norm.'),
    (r'^patch_embed\.proj\.', 'x_embedder.proj.1.'),
    (r'^norm_out\.linear_', 'final_layer.adaln_modulation.'),
    (r'^proj_out\.', 'final_layer.linear.'),
    (r'^transformer_blocks\.', 'blocks.'),
    (r'\.norm1\.linear_', '.adaln_modulation_self_attn.'),
    (r'\.norm2\.linear_', '.adaln_modulation_cross_attn.'),
    (r'\.norm3\.linear_', '.adaln_modulation_mlp.'),
    (r'\.attn1\.', '.self_attn.'),
    (r'\.attn2\.', '.cross_attn.'),
    (r'\.to_([qkv])\.', r'.\1_proj.'),
    (r'\.norm_([qk])\.', r'.\1_norm.'),
    (r'\.to_out\.0\.', '.output_proj.'),
    (r'\.ff\.net\.0\.proj\.', '.mlp.layer1.'),
    (r'\.ff\.net\.2\.', '.mlp.layer2.'),
    (r'^', PREFIX),
)


def transformer_names(ours: Iterable[str]) -> dict[str, str]:
    """Return official name -> diffusers name for the weights of a transformer."""
    return {_rename(name, _TRANSFORMER): name for name in ours}


def vae_names(ours: Iterable[str], num_res_blocks: int) -> dict[str, str]:
    """Return official name -> diffusers name for the weights of a Wan 2.1 autoencoder.

    Args:
        ours: Names of the diffusers network.
        num_res_blocks: Residual blocks of a stage of the encoder; the decoder has one more.
    """

    def upsampled(match: re.Match[str]) -> str:
        stage, kind, number = match.groups()
        place = int(number) if kind == 'resnets' else num_res_blocks + 1
        return f'decoder.upsamples.{int(stage) * (num_res_blocks + 2) + place}.'

    def residual(match: re.Match[str]) -> str:
        part = {'norm1': 0, 'conv1': 2, 'norm2': 3, 'conv2': 6}[match[2]]
        return f'{match[1]}.residual.{part}.'

    rules: tuple[_Rule, ...] = (
        (r'(\.resnets\.\d+|\.down_blocks\.\d+)\.(norm[12]|conv[12])\.', residual),
        (r'\.conv_shortcut\.', '.shortcut.'),
        (r'\.mid_block\.resnets\.0\.', '.middle.0.'),
        (r'\.mid_block\.attentions\.0\.', '.middle.1.'),
        (r'\.mid_block\.resnets\.1\.', '.middle.2.'),
        (r'^encoder\.down_blocks\.', 'encoder.downsamples.'),
        (r'^decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.', upsampled),
        (r'\.conv_in\.', '.conv1.'),
        (r'\.norm_out\.', '.head.0.'),
        (r'\.conv_out\.', '.head.2.'),
        (r'^quant_conv\.', 'conv1.'),
        (r'^post_quant_conv\.', 'conv2.'),
    )
    return {_rename(name, rules): name for name in ours}


def is_beside_weights(name: str) -> bool:
    """Return whether a key of a consolidated checkpoint is none of the network's weights."""
    return _BESIDE.search(name) is not None


def _rename(name: str, rules: Iterable[_Rule]) -> str:
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name
