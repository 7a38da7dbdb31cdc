# SPDX-License-Identifier: Apache-2.0
"""Task instructions as stored text embeddings.

The text encoder is larger than the policy and a robot has few tasks, so a checkpoint carries
the embedding of each task instead of the encoder.

Source: NVlabs/cosmos-policy ``t5_embedding_utils`` (L = 512 tokens of width D = 1024 from T5-11B,
zeros after the last token, no attention mask).
Differs: safetensors instead of a pickle; an unknown task is an error instead of a reason to load
the encoder. ``paraphrase.py`` finds the task that other words mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.types import ConfigError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TextEmbeddings:
    """One embedding per task.

    Attributes:
        embeddings: Task instruction -> (L, D) float32, all of one shape.
    """

    embeddings: dict[str, Tensor]

    def __post_init__(self) -> None:
        """Check that there is a task and that all shapes agree."""
        if len({tuple(e.shape) for e in self.embeddings.values()}) != 1 or self.shape[0] < 1:
            shapes = {task: tuple(e.shape) for task, e in self.embeddings.items()}
            msg = f'text embeddings must all have one shape (tokens, width), got {shapes}'
            raise ConfigError(msg)
        for task, embedding in self.embeddings.items():
            if not torch.isfinite(embedding).all():
                msg = f'the text embedding of {task!r} has numbers that are not finite'
                raise ConfigError(msg)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All known tasks."""
        return tuple(self.embeddings)

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens L and width D."""
        shape = next(iter(self.embeddings.values())).shape
        return (int(shape[0]), int(shape[1])) if len(shape) == 2 else (0, 0)

    def lookup(self, task: str) -> Tensor:
        """Return the (L, D) float32 embedding of a task.

        Raises:
            ConfigError: The checkpoint has no embedding of this task.
        """
        if task not in self.embeddings:
            msg = f'no text embedding for the task {task!r}; this checkpoint knows {self.tasks}'
            raise ConfigError(msg)
        return self.embeddings[task]


def load_text_embeddings(path: Path) -> TextEmbeddings:
    """Read embeddings from a safetensors file whose tensor names are the tasks.

    Raises:
        ConfigError: The file is missing, damaged, empty or of mixed shapes.
    """
    if not path.is_file():
        msg = f'no text embeddings {path}; the checkpoint folder is incomplete'
        raise ConfigError(msg)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        msg = f'{path} is damaged ({error}); copy the checkpoint again'
        raise ConfigError(msg) from error
    try:
        return TextEmbeddings({k: v.to(torch.float32) for k, v in tensors.items()})
    except ConfigError as error:
        msg = f'{path}: {error}'
        raise ConfigError(msg) from error


def save_text_embeddings(path: Path, text: TextEmbeddings) -> None:
    """Write embeddings to a safetensors file."""
    save_file({k: v.contiguous() for k, v in text.embeddings.items()}, path)
