# SPDX-License-Identifier: Apache-2.0
"""How many rows of a network call fit into what is free of a GPU, found with a single row."""

from __future__ import annotations

from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.types import ConfigError
import torch

SHARE = 0.9  # of what is free; the rest is for fragments and for decoding images


def rows_that_fit(policy: CosmosPolicy, device: str) -> int | None:
    """Return the most rows of one network call that the free memory of a device takes.

    A row goes through the network twice. With the first one libraries take what they keep, the
    second one shows what a row takes.

    Args:
        policy: Policy whose networks are on the device, as are all others that will share it.
        device: Torch device.

    Returns:
        At least 1; None on a CPU, where nothing bounds them.

    Raises:
        ConfigError: There is no room for a single row.
    """
    if not device.startswith('cuda'):
        return None
    try:
        policy.warm_up()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        policy.warm_up()
    except torch.OutOfMemoryError as error:
        free = torch.cuda.mem_get_info(device)[0]
        msg = (
            f'{device} has no room for a single row of the network beside its weights, '
            f'{free / 1e9:.1f} GB are free; end what else runs there or take a lower precision'
        )
        raise ConfigError(msg) from error
    row = torch.cuda.max_memory_allocated(device) - before
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + reserved  # torch gives it to the next that asks
    return max(1, int(SHARE * free / max(row, 1)))
