# SPDX-License-Identifier: Apache-2.0
"""The processes that train one model together, one for each device.

One process needs nothing. Several are started by ``torchrun``, on one machine or many; each of
them then holds a share of the weights, their averages and the optimiser's state (FSDP).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn, Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

PATIENCE = timedelta(hours=12)  # how long the others wait while the first one prepares the data


@dataclass(frozen=True)
class Processes:
    """This process among those of a run.

    Attributes:
        rank: Its number, from 0.
        size: Number of processes.
        device: What it computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes files and the log."""
        return self.rank == 0

    def share(self, model: nn.Module, blocks: nn.ModuleList) -> None:
        """Move a model to the device and divide it among the processes, block by block."""
        model.to(self.device)
        if self.size == 1:
            return
        mesh = init_device_mesh(self.device.type, (self.size,))
        for block in blocks:
            fully_shard(block, mesh=mesh)
        # Otherwise the model's own weights stay whole after a measurement, and the averaged ones
        # cannot be exchanged for them.
        fully_shard(model, mesh=mesh, reshard_after_forward=True)

    def sum(self, numbers: Tensor) -> Tensor:
        """Return the sum over all processes, where ``numbers`` are.

        They go by way of the device, since NCCL adds nothing up on a CPU.
        """
        total = numbers.detach().to(self.device, copy=True)
        if self.size > 1:
            distributed.all_reduce(total)
        return total.to(numbers.device)

    def any(self, answer: bool) -> bool:
        """Return whether one process at least says so."""
        return bool(self.sum(torch.tensor(float(answer))) > 0)

    def wait(self) -> None:
        """Return when every process is here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Yield this process among those that ``torchrun`` started, or alone."""
    gpu = torch.cuda.is_available()
    if not distributed.is_torchelastic_launched():
        yield Processes(0, 1, torch.device('cuda' if gpu else 'cpu'))
        return
    distributed.init_process_group('nccl' if gpu else 'gloo', timeout=PATIENCE)
    device = torch.device('cpu')
    if gpu:
        device = torch.device('cuda', distributed.get_node_local_rank())
        torch.cuda.set_device(device)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()
