# SPDX-License-Identifier: Apache-2.0
"""The state of a training run on disk, from which an interrupted run goes on."""

from __future__ import annotations

import logging
from pathlib import Path

from cosmos_policy_ros.types import ConfigError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def save_state(
    file: Path,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    """Write the state of a run, whole or not at all."""
    moments = optimizer.state_dict()['state']
    state = {
        **{f'model/{k}': v for k, v in model.state_dict().items()},
        **{f'average/{k}': v for k, v in average.state_dict().items()},
        **{f'optimizer/{i}/{k}': v for i, row in moments.items() for k, v in row.items()},
        'step': torch.tensor(step),
    }
    partial = file.with_suffix('.partial')
    save_file(state, partial)
    partial.rename(file)


def load_state(
    file: Path,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Return the step an interrupted run had reached, 0 for a new one, after loading its state.

    Raises:
        ConfigError: The state is damaged or of another network.
    """
    if not file.exists():
        return 0
    try:
        state = load_file(file)
        model.load_state_dict(_part(state, 'model'))
        average.load_state_dict(_part(state, 'average'))
    except (SafetensorError, RuntimeError) as error:
        msg = f'{file} does not fit this run ({error}); train into another folder or remove it'
        raise ConfigError(msg) from error
    moments: dict[int, dict[str, Tensor]] = {}
    for key, moment in _part(state, 'optimizer').items():
        index, name = key.split('/')
        moments.setdefault(int(index), {})[name] = moment
    optimizer.load_state_dict(
        {'state': moments, 'param_groups': optimizer.state_dict()['param_groups']}
    )
    step = int(state['step'])
    logger.info('continuing at step %d', step)
    return step


def _part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f'{name}/'): v for k, v in state.items() if k.startswith(f'{name}/')}
