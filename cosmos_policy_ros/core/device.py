# SPDX-License-Identifier: Apache-2.0
"""A torch device by its name, tried before networks are moved to it."""

from __future__ import annotations

from cosmos_policy_ros.types import ConfigError
import torch


def open_device(name: str) -> torch.device:
    """Return a device that can be used.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1`` or another that torch knows.

    Raises:
        ConfigError: There is no such device, or its driver is missing.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        msg = f"device {name!r} cannot be used ({reason}); use 'cpu' or install its driver"
        raise ConfigError(msg) from error
    return device
