# SPDX-License-Identifier: Apache-2.0
"""Three updates of toy networks and what they leave, on one process or on those of torchrun.

As a program it takes the work folder of a finished toy run and a folder to write to.
"""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import sys

from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.distributed import join_ranks, Ranks
from cosmos_policy_ros.training.sizes import LoraConfig
from cosmos_policy_ros.training.state import load_state, save_state, TrainingState
from cosmos_policy_ros.training.training_data import (
    load_autoencoder,
    load_training_data,
    TrainingData,
)
from cosmos_policy_ros.training.training_loop import new_state, update
from cosmos_policy_ros.training.transformer import finish_transformer
from safetensors.torch import save_file
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from toy_training import TOY

CONFIGS = {
    'all': replace(TOY, precision='float32'),
    'adapters': replace(
        TOY, precision='bfloat16', checkpointing=True, lora=LoraConfig(rank=2), learning_rate=0.1
    ),
}


def train_three(work: Path, folder: Path, config: TrainConfig, ranks: Ranks) -> None:
    """Do three updates, write the states after two and three, and the latter of a resumed run.

    Args:
        work: Work folder of a finished run; adapters begin with its checkpoint.
        folder: Folder for ``two``, ``three``, ``resumed`` and ``finished`` as safetensors, and
            ``held.json``, the bytes of the first rank.
        config: Configuration of the updates.
        ranks: The ranks that do them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, state = _start(work, config, ranks)
    for _ in range(2):
        update(state.model, state, data, config, ranks)
    save_state(folder / 'two.safetensors', state, ranks)
    update(state.model, state, data, config, ranks)
    save_state(folder / 'three.safetensors', state, ranks)
    weights = state.gather_weights(frozen=True)
    if ranks.first:
        finished = finish_transformer(state.model.config, config.lora, weights)
        save_file(finished.state_dict(), folder / 'finished.safetensors')
        (folder / 'held.json').write_text(json.dumps(_held(state)), encoding='utf-8')
    resume_third(work, folder / 'two.safetensors', folder / 'resumed.safetensors', config, ranks)


def resume_third(work: Path, two: Path, three: Path, config: TrainConfig, ranks: Ranks) -> None:
    """Do the third update from a state after two, and write the state.

    Args:
        work: See ``train_three``.
        two: State after two updates.
        three: File for that after three.
        config: Configuration of the update.
        ranks: The ranks that do it.
    """
    data, state = _start(work, config, ranks)
    load_state(two, state)
    update(state.model, state, data, config, ranks)
    save_state(three, state, ranks)


def _start(work: Path, config: TrainConfig, ranks: Ranks) -> tuple[TrainingData, TrainingState]:
    """Return the data of a finished run and the state before the first update."""
    files = sorted((work / 'episodes').glob('*.npz'))
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    vae = load_autoencoder(files, work, config)
    data = load_training_data(files, vae, work, robot, config)
    first = load_checkpoint(work.parent).transformer if config.lora.rank else None
    return data, new_state(data.policy, config, first, ranks)


def _held(state: TrainingState) -> dict[str, int]:
    """Return the bytes that this rank holds between two updates."""
    moments = [n for row in state.optimizer.state.values() for n in row.values()]
    parts = {'weights': [*state.model.parameters()], 'averages': state.average}
    return {name: _bytes(part) for name, part in (*parts.items(), ('optimizer', moments))}


def _bytes(tensors: list[Tensor]) -> int:
    shards = (t.to_local() if isinstance(t, DTensor) else t for t in tensors)
    return sum(shard.numel() * shard.element_size() for shard in shards)


if __name__ == '__main__':
    torch.set_num_threads(1)
    with join_ranks() as joined:
        for name, one in CONFIGS.items():
            train_three(Path(sys.argv[1]), Path(sys.argv[2]) / name, one, joined)
