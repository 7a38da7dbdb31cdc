# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy embed``: new tasks for official weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Teach an imported checkpoint the words of new tasks.

    The text of official weights was made by T5-11B. This runs its encoder, which you have
    downloaded, on an instruction and writes what it says into the checkpoint, so that the task can
    be trained and played. In bfloat16 the encoder needs 10 GB of memory, once.

    Example: cosmos-policy embed "fold the shirt" --encoder downloads/t5-11b
    --out models/cosmos_aloha
    """

    tasks: tyro.conf.Positional[tuple[str, ...]]
    """Instructions, as they will be given."""
    encoder: Path
    """Folder of T5-11B: config.json, weights and tokenizer."""
    out: Path
    """Checkpoint folder that they are added to."""
    device: str = 'cpu'
    """cpu or cuda."""
    precision: Literal['bfloat16', 'float32'] = 'bfloat16'
    """Arithmetic and memory of the encoder."""


def run(options: Embed) -> int:
    """Add the embeddings and print what the checkpoint knows now."""
    # late: torch and transformers load slowly
    from cosmos_policy_ros.core.official.text_encoder import add_tasks

    add_tasks(options.out, options.tasks, options.encoder, options.device, options.precision)
    for task in options.tasks:
        print(f'{options.out}: knows {task!r}')
    return 0
