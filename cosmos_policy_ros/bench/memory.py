# SPDX-License-Identifier: Apache-2.0
"""How much memory the network of the paper takes, from its shapes alone: nothing is computed.

The network is built without numbers (device ``meta``), one call of it is traced by tensors that
have shapes and types only, and what would lie in memory is added up. It is what torch holds at its
peak, without its fragments and the driver's own memory, for which a tenth and 0.6 GB are added on
a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from typing import Any

from cosmos_policy_ros.bench.random_weights import Sizes
from cosmos_policy_ros.core.denoiser import mixed_layers, text_layers
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.official.checkpoint import empty_network
from cosmos_policy_ros.training.sizes import LoraConfig
from cosmos_policy_ros.training.transformer import set_trained
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
from rich.console import Console
from rich.table import Table
import torch
from torch import nn, Tensor

GPUS = (1, 2, 4, 8)
QUERY_ROWS = (1, 8, 24)  # of one network call
FRAGMENTS, DRIVER_BYTES = 1.1, 0.6e9
FLOAT, HALF = 4, 2  # bytes
STATES = 5  # of a trained weight, all float32: itself, gradient, average, two moments of AdamW
IMAGE_BYTES = 20e3  # of the autoencoder's widest layers, for one pixel of one image
# Attention and feed-forward of a token, times the width of the network [bytes]: the stream and
# what is shown of it in float32, queries, keys and values, and four times the width before and
# after the activation. The plain network also spreads the modulation over all tokens, in float32.
TOKEN_BYTES = {'float32': 52, 'bfloat16': 34, 'float16': 34}
PLAIN_TOKEN_BYTES = 24
LORA_RANK = 16


def query_bytes(sizes: Sizes, backend: str, precision: str, rows: int) -> dict[str, int]:
    """Return the memory of a loaded policy that answers a query, by what takes it.

    Args:
        sizes: Sizes of the networks.
        backend: ``diffusers``, ``torch``, ``compiled`` or ``tensorrt``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        rows: Rows of one network call.

    Returns:
        ``transformer``, ``autoencoder``, ``text`` (keys and values of a task) and ``rows``
        [bytes].
    """
    transformer = empty_network(CosmosTransformer3DModel, sizes.transformer)
    weights = _numbers(transformer)
    mixed = sum(_numbers(layer) for layer in mixed_layers(transformer))
    half = precision != 'float32'
    if backend == 'tensorrt':
        read = sum(_numbers(layer) for layer in text_layers(transformer))
        held = (HALF if half else FLOAT) * weights + FLOAT * read
    elif backend == 'diffusers':  # autocast keeps a copy of every weight that it has used
        held = FLOAT * weights + half * HALF * weights
    else:
        held = FLOAT * (weights - mixed) + (HALF if half else FLOAT) * mixed
    wide, tokens = _width(sizes), _tokens(sizes)
    token = TOKEN_BYTES[precision] + PLAIN_TOKEN_BYTES * (backend == 'diffusers')
    return {
        'transformer': held,
        'autoencoder': FLOAT * _numbers(empty_network(AutoencoderKLWan, sizes.vae)),
        'text': 2 * FLOAT * sizes.transformer['num_layers'] * sizes.tokens * wide,
        'rows': token * wide * tokens * rows + round(IMAGE_BYTES * sizes.config.image_size**2),
    }


def needed_bytes(sizes: Sizes, backend: str, precision: str, rows: int, device: str) -> int:
    """Return the memory that has to be free on a device for ``query_bytes``."""
    held = sum(query_bytes(sizes, backend, precision, rows).values())
    return round(FRAGMENTS * held + DRIVER_BYTES) if device.startswith('cuda') else held


def training_bytes(
    sizes: Sizes, gpus: int, samples: int = 1, checkpointing: bool = False, rank: int = 0
) -> dict[str, int]:
    """Return the memory of one GPU of a training in bfloat16, by what takes it.

    Weights, gradients, averages and the optimiser's state are divided over the GPUs, as
    ``Ranks.shard`` does, tensor by tensor along their first axis.

    Args:
        sizes: Sizes of the networks.
        gpus: How many there are.
        samples: Samples of a microbatch of one GPU.
        checkpointing: Whether what a block computed is computed again for its gradients.
        rank: Rank of the adapters that are trained; 0 trains all weights.

    Returns:
        ``states``; ``gathered``, two blocks and the gradients of one, whole; ``activations``
        [bytes].
    """
    model = empty_network(CosmosTransformer3DModel, sizes.transformer)
    with torch.device('meta'):
        set_trained(model, LoraConfig(rank=rank))
    states = sum(
        FLOAT * _shard(weight, gpus) * (STATES if weight.requires_grad else 1)
        for weight in model.parameters()
    )
    block = model.transformer_blocks[0]
    trained = sum(w.numel() for w in block.parameters() if w.requires_grad)
    gathered = FLOAT * (2 * _numbers(block) + trained) if gpus > 1 else 0
    outside, inside = traced_bytes(sizes)
    layers = sizes.transformer['num_layers']
    shown = FLOAT * _width(sizes) * _tokens(sizes)  # what goes into a block
    kept = layers * shown + inside if checkpointing else layers * inside
    return {'states': states, 'gathered': gathered, 'activations': samples * (outside + kept)}


def traced_bytes(sizes: Sizes) -> tuple[int, int]:
    """Return what a call of the network keeps for its gradients, for one sample [bytes].

    All weights are trained; adapters alone need hardly less.

    Args:
        sizes: Sizes of the networks.

    Returns:
        Outside of the blocks, and in each of them; copies of weights in bfloat16 among it.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        one, two = (_trace(sizes, layers) for layers in (1, 2))
    return 2 * one - two, two - one


def _trace(sizes: Sizes, layers: int) -> int:
    """Return what a call of a network of few layers keeps for its gradients [bytes]."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    model = CosmosTransformer3DModel(**{**sizes.transformer, 'num_layers': layers})
    own = {weight.untyped_storage()._cdata for weight in model.parameters()}
    shape = sizes.config.latent_shape
    latents, times = torch.zeros(1, *shape), torch.zeros(1, shape[1])
    words = torch.zeros(1, sizes.tokens, sizes.transformer['text_embed_dim'])
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast('cpu', torch.bfloat16, cache_enabled=False),
    ):
        predict_velocity(model, latents, times, words, torch.zeros_like(times))
    return sum(size for storage, size in kept.items() if storage not in own)


def measure_memory(
    sizes: Sizes, gpus: Sequence[int] = GPUS, rows: Sequence[int] = QUERY_ROWS
) -> dict[str, Any]:
    """Print the memory of queries and of training, and return the figures.

    Args:
        sizes: Sizes of the networks.
        gpus: How many GPUs share a training.
        rows: Rows of one network call of a query.

    Returns:
        ``queries``: backend and precision with ``gb`` by rows, and ``training``: what is trained
        and how with ``gb`` of each GPU by their number and ``parts_gb`` for one sample on each.
    """
    queries = []
    for backend, precision in (
        ('torch', 'float32'), ('torch', 'bfloat16'), ('diffusers', 'bfloat16'),
        ('tensorrt', 'bfloat16'),
    ):  # fmt: skip
        needs = {n: needed_bytes(sizes, backend, precision, n, 'cuda') for n in rows}
        queries.append({'backend': backend, 'precision': precision, 'gb': _gb(needs)})
    training = []
    for what, checkpointing, rank in (
        ('all weights', False, 0),
        ('all weights, checkpointing', True, 0),
        (f'LoRA of rank {LORA_RANK}, checkpointing', True, LORA_RANK),
    ):
        parts = {n: training_bytes(sizes, n, 1, checkpointing, rank) for n in gpus}
        whole = {n: round(FRAGMENTS * sum(p.values()) + DRIVER_BYTES) for n, p in parts.items()}
        split = {n: _gb(part) for n, part in parts.items()}
        training.append({'what': what, 'gb': _gb(whole), 'parts_gb': split})
    figures = {'layers': sizes.transformer['num_layers'], 'queries': queries, 'training': training}
    _print(figures)
    return figures


def _print(figures: Mapping[str, Any]) -> None:
    console = Console()
    first = figures['queries'][0]['gb']
    title = f'GB of a GPU that answers queries, {figures["layers"]} layers, by rows of a call'
    table = Table('backend', 'precision', *map(str, first), title=title)
    for row in figures['queries']:
        table.add_row(row['backend'], row['precision'], *map(str, row['gb'].values()))
    console.print(table)
    first = figures['training'][0]['gb']
    title = 'GB of every GPU that trains in bfloat16, one sample on each, by number of GPUs'
    table = Table('trained', *map(str, first), title=title)
    for row in figures['training']:
        table.add_row(row['what'], *map(str, row['gb'].values()))
    console.print(table)
    console.print(
        'computed from shapes; a further sample costs what parts_gb calls activations',
        highlight=False,
    )


def _shard(weight: Tensor, gpus: int) -> int:
    """Return the numbers of a weight that the first of some GPUs holds."""
    if not weight.ndim:
        return 1
    return math.ceil(weight.shape[0] / gpus) * math.prod(weight.shape[1:])


def _numbers(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _width(sizes: Sizes) -> int:
    return int(sizes.transformer['num_attention_heads'] * sizes.transformer['attention_head_dim'])


def _tokens(sizes: Sizes) -> int:
    shape = sizes.config.latent_shape
    return math.prod(shape[1:]) // math.prod(sizes.transformer['patch_size'])


def _gb(numbers: Mapping[Any, int]) -> dict[Any, float]:
    return {name: round(number / 1e9, 2) for name, number in numbers.items()}
