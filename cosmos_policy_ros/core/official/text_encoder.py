# SPDX-License-Identifier: Apache-2.0
"""Embeddings of new tasks for official weights: T5's encoder on an instruction.

The encoder is a folder that its owner has downloaded; nothing is fetched.

Source: NVlabs/cosmos-policy ``t5_embedding_utils`` (google-t5/t5-11b, last hidden state, 512
tokens, zeros beyond the last one).
Differs: the network is given the tokens of the instruction alone, not the padding that its mask
hides from them.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import Any, Literal

from cosmos_policy_ros.core.checkpoint import CONFIG, TEXT
from cosmos_policy_ros.core.config import read_config
from cosmos_policy_ros.core.text import load_text_embeddings
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.types import ConfigError
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def add_tasks(
    checkpoint: Path,
    tasks: Sequence[str],
    encoder: Path,
    device: str = 'cpu',
    precision: Literal['bfloat16', 'float32'] = 'bfloat16',
) -> None:
    """Write the embeddings of new tasks into a checkpoint, beside those that it has.

    Args:
        checkpoint: Checkpoint folder whose text was made by such an encoder.
        tasks: Instructions.
        encoder: Folder of T5's weights and tokenizer.
        device: Torch device.
        precision: Arithmetic and memory of the encoder.

    Raises:
        ConfigError: The checkpoint knows a task already, or its text is not of an encoder of this
            width; or the encoder cannot be loaded.
    """
    config, text = read_config(checkpoint / CONFIG), load_text_embeddings(checkpoint / TEXT)
    if not config.text_encoder:
        msg = (
            f'{checkpoint} was not trained on an encoder, its embeddings are random numbers: an '
            'embedding would mean nothing to it; train it on demonstrations of the task'
        )
        raise ConfigError(msg)
    known = [task for task in tasks if task in text.tasks]
    if known or not tasks or len(set(tasks)) < len(tasks) or not all(map(str.strip, tasks)):
        msg = f'wanted are new tasks, each once, got {list(tasks)}; {checkpoint} has {text.tasks}'
        raise ConfigError(msg)
    n_tokens, width = text.shape
    found = encode_tasks(tasks, encoder, n_tokens, device, precision)
    got = found[tasks[0]].shape[1]
    if got != width:
        msg = (
            f'{encoder} makes embeddings of width {got}, those of {checkpoint} have {width}; give '
            f'the encoder that it was trained with, {config.text_encoder}'
        )
        raise ConfigError(msg)
    tensors = load_file(checkpoint / TEXT)
    kind = next(iter(tensors.values())).dtype
    tensors |= {task: embedding.to(kind) for task, embedding in found.items()}
    with whole_file(checkpoint / TEXT) as partial:
        save_file(tensors, partial)


def encode_tasks(
    tasks: Sequence[str],
    encoder: Path,
    n_tokens: int = 512,
    device: str = 'cpu',
    precision: Literal['bfloat16', 'float32'] = 'bfloat16',
) -> dict[str, Tensor]:
    """Return task -> (n_tokens, D) float32 embedding, zeros beyond its last token.

    Args:
        tasks: Instructions.
        encoder: Folder of T5's weights and tokenizer.
        n_tokens: Length L of an embedding; an instruction of more tokens is cut off.
        device: Torch device.
        precision: Arithmetic and memory of the encoder.

    Raises:
        ConfigError: The folder is not there, holds something else, or the device cannot be used.
    """
    tokenizer, network = _load(encoder, device, getattr(torch, precision))
    embeddings = {}
    for task in tasks:
        words = tokenizer(task, truncation=True, max_length=n_tokens, return_tensors='pt')
        ids = words.input_ids.to(device)
        with torch.inference_mode():
            states = network(input_ids=ids).last_hidden_state[0].float().cpu()
        if len(states) == n_tokens:
            logger.warning('%r has %d tokens or more; what follows is cut off', task, n_tokens)
        embeddings[task] = torch.zeros(n_tokens, states.shape[1])
        embeddings[task][: len(states)] = states
    return embeddings


def _load(encoder: Path, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return tokenizer and network of a folder, without asking anybody else for a file."""
    if not (encoder / 'config.json').is_file():
        msg = (
            f'no T5 in {encoder}; give the folder of a download of google-t5/t5-11b, with '
            'config.json, the weights and the tokenizer'
        )
        raise ConfigError(msg)
    from transformers import AutoTokenizer, T5EncoderModel  # loads slowly

    load: Any = T5EncoderModel.from_pretrained
    try:
        tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
        network = load(encoder, dtype=dtype, local_files_only=True).to(device)
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        msg = f'{encoder} does not hold the encoder of a T5 ({reason}); copy it again'
        raise ConfigError(msg) from error
    return tokenizer, network.eval()
