# SPDX-License-Identifier: Apache-2.0
"""The state of a training run: in memory, and on disk for an interrupted run to go on from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.training.distributed import Ranks
from cosmos_policy_ros.types import ConfigError
from diffusers import CosmosTransformer3DModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
    StateDictOptions,
)

GATHERED = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
SHARDED = StateDictOptions(full_state_dict=True, ignore_frozen_params=True, strict=False)


@dataclass
class TrainingState:
    """Weights, their average and the optimiser of a run; every rank holds its shard.

    Attributes:
        model: The transformer.
        average: Running average of its trained weights, in the order of ``weights``.
        optimizer: AdamW over these weights.
        step: Steps done.
    """

    model: CosmosTransformer3DModel
    average: list[Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0

    @property
    def weights(self) -> list[Tensor]:
        """The weights that are trained."""
        return trained_weights(self.model)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the averaged weights towards the weights, by ``1 - decay`` of the way."""
        torch._foreach_lerp_(self.average, self.weights, 1.0 - decay)

    @contextmanager
    def averaged(self) -> Iterator[CosmosTransformer3DModel]:
        """Yield the model in evaluation mode with the averaged weights, for the block only."""
        kept = [w.detach().clone() for w in self.weights]
        self._copy_to_weights(self.average)
        self.model.eval()
        try:
            yield self.model
        finally:
            self._copy_to_weights(kept)
            self.model.train()

    def gather_weights(self, frozen: bool = False) -> dict[str, Any]:
        """Return name -> weight on the CPU, whole; empty on all ranks but the first.

        Args:
            frozen: Whether those that are not trained are among them.
        """
        options = WHOLE if frozen else GATHERED
        weights: dict[str, Any] = get_model_state_dict(self.model, options=options)
        for name, weight in weights.items():  # one by one, for they may be large
            weights[name] = weight.clone()  # on a CPU it would still be the model's own
        return weights

    @torch.no_grad()
    def _copy_to_weights(self, numbers: list[Tensor]) -> None:
        for weight, number in zip(self.weights, numbers, strict=True):
            weight.copy_(number)


def trained_weights(model: torch.nn.Module) -> list[Tensor]:
    """Return the weights of a network that need a gradient."""
    return [w for w in model.parameters() if w.requires_grad]


def save_state(file: Path, state: TrainingState, ranks: Ranks) -> None:
    """Write the state of a run to a file, whole or not at all; every rank has to call this.

    Args:
        file: Safetensors file.
        state: State of the run, this rank's shard.
        ranks: The ranks of the run; the first one writes.
    """
    parts = {'model': state.gather_weights()}
    with state.averaged():
        parts['average'] = state.gather_weights()
    moments: dict[str, Any] = get_optimizer_state_dict(
        state.model, state.optimizer, options=GATHERED
    )
    if ranks.first:
        numbers = {f'{part}/{k}': v for part, row in parts.items() for k, v in row.items()}
        for name, row in moments['state'].items():
            numbers |= {f'optimizer/{name}/{k}': v for k, v in row.items()}
        numbers['step'] = torch.tensor(state.step)
        with whole_file(file) as partial:
            save_file({k: v.contiguous() for k, v in numbers.items()}, partial)
    ranks.barrier()


def load_state(file: Path, state: TrainingState) -> None:
    """Load the state of an interrupted run in place, this rank's shard of it.

    Args:
        file: Safetensors file of ``save_state``.
        state: State before the first step of the same network.

    Raises:
        ConfigError: The file is missing, damaged or of another network.
    """
    try:
        numbers = load_file(file)
        parts: dict[str, dict[str, Any]] = {'model': {}, 'average': {}, 'optimizer': {}}
        for key, number in numbers.items():
            part, _, name = key.partition('/')
            if name:
                parts[part][name] = number
        _expect_same(parts['model'], state)
        set_model_state_dict(state.model, parts['average'], options=SHARDED)
        state.average = [w.detach().clone() for w in state.weights]
        set_model_state_dict(state.model, parts['model'], options=SHARDED)
        moments: dict[str, dict[str, Tensor]] = {}
        for key, moment in parts['optimizer'].items():
            name, _, kind = key.rpartition('/')
            moments.setdefault(name, {})[kind] = moment
        groups = get_optimizer_state_dict(state.model, state.optimizer, options=SHARDED)
        moved: dict[str, Any] = {'state': moments, 'param_groups': groups['param_groups']}
        set_optimizer_state_dict(state.model, state.optimizer, moved, options=SHARDED)
        state.step = int(numbers['step'])
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
        msg = f'{file} does not fit this run ({error}); train into another folder'
        raise ConfigError(msg) from error


def _expect_same(saved: dict[str, Any], state: TrainingState) -> None:
    """Refuse saved weights of other names or shapes than the state's, with ``ValueError``."""
    wanted = {n: w.shape for n, w in state.model.named_parameters() if w.requires_grad}
    if {n: w.shape for n, w in saved.items()} != wanted:
        different = sorted(n for n in saved.keys() | wanted if _shape(saved, n) != wanted.get(n))
        msg = f'{len(different)} weights have another size, {different[0]} for one'
        raise ValueError(msg)


def _shape(saved: dict[str, Any], name: str) -> torch.Size | None:
    return saved[name].shape if name in saved else None
