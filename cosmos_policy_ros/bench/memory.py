# SPDX-License-Identifier: Apache-2.0
"""How much memory the network of the paper takes, from its shapes alone: nothing is computed.

For queries the network is built without numbers (device ``meta``), and its weights and what a
token takes are added up; for training a step is gone through without numbers, see
``training_memory``. It is what torch holds at its peak, without its fragments and the driver's own
memory, for which a tenth and 0.6 GB are added on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from typing import Any

from cosmos_policy_ros.bench.random_weights import Sizes
from cosmos_policy_ros.bench.training_memory import state_bytes, step_bytes
from cosmos_policy_ros.core.denoiser import mixed_layers, text_layers
from cosmos_policy_ros.core.official.checkpoint import empty_network
from cosmos_policy_ros.progress import track
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
from rich.console import Console
from rich.table import Table
from torch import nn

GPUS = (1, 2, 4, 8)
QUERY_ROWS = (1, 8, 24)  # of one network call
FRAGMENTS, DRIVER_BYTES = 1.1, 0.6e9
FLOAT, HALF = 4, 2  # bytes
IMAGE_BYTES = 20e3  # of the autoencoder's widest layers, for one pixel of one image
# Attention and feed-forward of a token, times the width of the network [bytes]: the stream and
# what is shown of it in float32, queries, keys and values, and four times the width before and
# after the activation. The plain network also spreads the modulation over all tokens, in float32.
TOKEN_BYTES = {'float32': 52, 'bfloat16': 34, 'float16': 34}
PLAIN_TOKEN_BYTES = 24
LORA_RANK = 16
TRAININGS = (  # what is trained, checkpointing, rank of the adapters
    ('all weights', False, 0),
    ('all weights, checkpointing', True, 0),
    (f'LoRA of rank {LORA_RANK}, checkpointing', True, LORA_RANK),
)
STATES = ('weights', 'averages', 'optimizer')  # what is there all the time
PARTS = (*STATES, 'gradients', 'activations')


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
        and how with ``gb``, what each GPU needs at the most, by their number, and ``parts_gb``,
        see ``state_bytes`` and ``step_bytes``, for one sample on each.
    """
    queries = []
    for backend, precision in (
        ('torch', 'float32'), ('torch', 'bfloat16'), ('diffusers', 'bfloat16'),
        ('tensorrt', 'bfloat16'),
    ):  # fmt: skip
        needs = {n: needed_bytes(sizes, backend, precision, n, 'cuda') for n in rows}
        queries.append({'backend': backend, 'precision': precision, 'gb': _gb(needs)})
    beside = FLOAT * _numbers(empty_network(AutoencoderKLWan, sizes.vae))
    states = {
        (rank, n): state_bytes(sizes, n, rank) for rank in {r for *_, r in TRAININGS} for n in gpus
    }
    training: list[dict[str, Any]] = [
        {'what': what, 'gb': {}, 'parts_gb': {}} for what, _, _ in TRAININGS
    ]
    steps = [(row, *how, n) for row, how in zip(training, TRAININGS, strict=True) for n in gpus]
    for row, _, checkpointing, rank, n in track(steps, 'training', transient=True):
        parts = states[rank, n] | step_bytes(sizes, n, 1, checkpointing, rank)
        peak = sum(parts[name] for name in STATES) + parts['step'] + beside
        row['gb'] |= _gb({n: round(FRAGMENTS * peak + DRIVER_BYTES)})
        row['parts_gb'][n] = _gb(parts)
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
    for row in figures['training']:
        title = f'GB of every GPU that trains in bfloat16, one sample on each: {row["what"]}'
        table = Table('GPUs', *PARTS, 'needed', title=title)
        for n, parts in row['parts_gb'].items():
            numbers = (*(parts[part] for part in PARTS), row['gb'][n])
            table.add_row(str(n), *map(str, numbers))
        console.print(table)
    console.print(
        'from shapes: states and a step of the training without numbers, as one of so many '
        'processes; needed is the most at a time and the autoencoder, with a tenth for fragments '
        'and 0.6 GB for the driver',
        highlight=False,
    )


def _numbers(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _width(sizes: Sizes) -> int:
    return int(sizes.transformer['num_attention_heads'] * sizes.transformer['attention_head_dim'])


def _tokens(sizes: Sizes) -> int:
    shape = sizes.config.latent_shape
    return math.prod(shape[1:]) // math.prod(sizes.transformer['patch_size'])


def _gb(numbers: Mapping[Any, int]) -> dict[Any, float]:
    return {name: round(number / 1e9, 2) for name, number in numbers.items()}
