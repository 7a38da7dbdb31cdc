# SPDX-License-Identifier: Apache-2.0
"""The ranks of a training run: processes that train one model together, one for each device.

One process needs nothing. Several are started by ``torchrun``, on one machine or many; each of
them then holds a shard of the weights, their gradients and averages and the optimiser's state
(FSDP).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
from torch import distributed, nn, Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard, MixedPrecisionPolicy

TIMEOUT = timedelta(hours=12)  # the other ranks wait while the first one prepares the data
# Layers are gathered in bfloat16, half as much to send and to hold as in float32; what goes into
# them stays as it is, as under autocast, and gradients are added up over the ranks in float32.
HALF = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)


@dataclass(frozen=True)
class Ranks:
    """This rank among those of a run, and what they do together.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        device: Device that this process computes on.
        mesh: The devices of all of them; None for one process.
    """

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh | None = None

    @property
    def first(self) -> bool:
        """Whether this rank writes files and the log."""
        return self.rank == 0

    def shard(
        self,
        model: nn.Module,
        blocks: nn.ModuleList,
        precision: Literal['bfloat16', 'float32'] = 'float32',
    ) -> None:
        """Move a model to the device and shard it over the ranks, block by block.

        A device that has room for the shards has room for this: only one block is whole on it.

        Args:
            model: Network, changed in place; its weights stay float32.
            blocks: The layers of the model that are gathered one at a time.
            precision: Arithmetic of the network, in which the blocks are gathered.
        """
        if self.mesh is None:
            if next(model.parameters()).device != self.device:  # tensors without numbers stay
                model.to(self.device)
            return
        policy = HALF if precision == 'bfloat16' else MixedPrecisionPolicy()
        for block in blocks:
            fully_shard(block, mesh=self.mesh, mp_policy=policy)
        # Otherwise the model's own weights stay whole after a measurement, and the averaged ones
        # cannot be exchanged for them.
        fully_shard(model, mesh=self.mesh, reshard_after_forward=True)

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
    size = distributed.get_world_size()
    mesh = init_device_mesh(device.type, (size,)) if size > 1 else None
    try:
        yield Ranks(distributed.get_rank(), size, device, mesh)
    finally:
        distributed.destroy_process_group()
