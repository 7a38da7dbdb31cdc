# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of random weights, for measurements at the size of the released ones.

It answers nonsense, in the time and the memory of the real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.checkpoint import CONFIG, STATS, TEXT, TRANSFORMER, VAE
from cosmos_policy_ros.core.config import PolicyConfig, write_config
from cosmos_policy_ros.core.normalize import NormStats, write_stats
from cosmos_policy_ros.core.official.checkpoint import empty_network
from cosmos_policy_ros.core.official.names import TRANSFORMER_2B, VAE_WAN
from cosmos_policy_ros.core.official.presets import preset
from cosmos_policy_ros.core.official.tensor_files import write_network
from cosmos_policy_ros.core.text import save_text_embeddings, TextEmbeddings
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
import torch
from torch import Tensor

TASK = 'do something'


@dataclass(frozen=True)
class Sizes:
    """A policy whose weights do not matter.

    Attributes:
        config: Frames, chunk, steps.
        transformer: Sizes of the transformer.
        vae: Sizes of the autoencoder.
        tokens: Length of the text.
    """

    config: PolicyConfig
    transformer: Mapping[str, Any]
    vae: Mapping[str, Any]
    tokens: int

    @property
    def flop(self) -> float:
        """Operations of the transformer for one row, a multiplication and an addition being two.

        Linear layers, attention to all frames, attention to the text and its keys and values.
        """
        t, shape = self.transformer, self.config.latent_shape
        seen = math.prod(shape[1:]) // math.prod(t['patch_size'])
        wide = t['num_attention_heads'] * t['attention_head_dim']
        linear = (12 + 4 * t['mlp_ratio']) * wide**2 * seen
        attention = 4 * seen * (seen + self.tokens) * wide
        text = 4 * self.tokens * t['text_embed_dim'] * wide
        return float(t['num_layers'] * (linear + attention + text))


def released_sizes(layers: int | None = None) -> Sizes:
    """Return the sizes of the released ALOHA checkpoints, with fewer layers if wished."""
    transformer = {**TRANSFORMER_2B, 'num_layers': layers or TRANSFORMER_2B['num_layers']}
    return Sizes(preset('aloha-planning'), transformer, VAE_WAN, tokens=512)


def write_random_checkpoint(path: Path, sizes: Sizes) -> None:
    """Make a checkpoint folder of random bfloat16 weights, one tensor at a time.

    Its one task is ``TASK``.
    """
    config = sizes.config
    path.mkdir(parents=True)
    write_config(path / CONFIG, config)
    ranges = (np.array([[-1.0] * n, [1.0] * n]) for n in (config.action_size, config.proprio_size))
    write_stats(path / STATS, NormStats.from_steps(*ranges))
    words = torch.randn(sizes.tokens, sizes.transformer['text_embed_dim'], generator=_seeded(0))
    save_text_embeddings(path / TEXT, TextEmbeddings({TASK: words}))
    networks = (
        (TRANSFORMER, empty_network(CosmosTransformer3DModel, sizes.transformer)),
        (VAE, empty_network(AutoencoderKLWan, sizes.vae)),
    )
    for name, model in networks:
        write_network(path / name, model, _RandomWeights(model.state_dict()), None)


class _RandomWeights(Mapping[str, Tensor]):
    """Numbers for the weights of an empty network, made when they are read.

    Matrices and kernels keep the size of what goes through them, biases are 0, norms 1.
    """

    def __init__(self, empty: Mapping[str, Tensor]) -> None:
        self._shapes = {name: tuple(weight.shape) for name, weight in empty.items()}

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shapes[name]
        if name.endswith('bias'):
            return torch.zeros(shape, dtype=torch.bfloat16)
        if len(shape) == 1 or name.endswith('gamma'):
            return torch.ones(shape, dtype=torch.bfloat16)
        seed = list(self._shapes).index(name)
        numbers = torch.randn(shape, generator=_seeded(seed), dtype=torch.bfloat16)
        return numbers.mul_(numbers[0].numel() ** -0.5)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
