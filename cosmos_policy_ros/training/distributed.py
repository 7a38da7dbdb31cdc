# SPDX-License-Identifier: Apache-2.0
"""The ranks of a training run: processes that train one model together, one for each device.

One process needs nothing. Several are started by ``torchrun``, on one machine or many; each of
them then holds a shard of the weights, their averages and the optimiser's state (FSDP).
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

TIMEOUT = timedelta(hours=12)  # the other ranks wait while the first one prepares the data


@dataclass(frozen=True)
class Ranks:
    """This rank among those of a run, and what they do together.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        device: Device that this process computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this rank writes files and the log."""
        return self.rank == 0

    def shard(self, model: nn.Module, blocks: nn.ModuleList) -> None:
        """Move a model to the device and shard it over the ranks, block by block.

        Args:
            model: Network, changed in place.
            blocks: The layers of the model that are gathered one at a time.
        """
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
        """Return the sum of a tensor over all ranks, on the tensor's own device.

        It is computed on the device of the rank, since NCCL adds nothing up on a CPU.
        """
        total = numbers.detach().to(self.device, copy=True)
        if self.size > 1:
            distributed.all_reduce(total)
        return total.to(numbers.device)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on at least one rank."""
        return bool(self.sum(torch.tensor(float(flag))) > 0)

    def barrier(self) -> None:
        """Return when every rank has called this."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Yield this process among those that ``torchrun`` started, or alone."""
    gpu = torch.cuda.is_available()
    if not distributed.is_torchelastic_launched():
        yield Ranks(0, 1, torch.device('cuda' if gpu else 'cpu'))
        return
    distributed.init_process_group('nccl' if gpu else 'gloo', timeout=TIMEOUT)
    device = torch.device('cpu')
    if gpu:
        device = torch.device('cuda', distributed.get_node_local_rank())
        torch.cuda.set_device(device)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()
