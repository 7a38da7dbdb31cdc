# SPDX-License-Identifier: Apache-2.0
"""Which arithmetic trains faster on this machine, by measurement.

A processor without bfloat16 instructions emulates them: the same product then takes 50 times as
long. Whether it has them is no question of its flags alone, but of what the library makes of them.
"""

from __future__ import annotations

import time
from typing import Literal

import torch

SIZE = (704, 256, 1024)  # of a matrix product as in the feed-forward of the small network
ROUNDS = 3


def choose_precision(device: torch.device) -> Literal['bfloat16', 'float32']:
    """Return the faster arithmetic of matrix products on a device; takes some milliseconds."""
    times_s = {dtype: _product_s(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return 'bfloat16' if times_s[torch.bfloat16] < times_s[torch.float32] else 'float32'


def _product_s(device: torch.device, dtype: torch.dtype) -> float:
    """Return the shortest time of a product [s], not counting the first."""
    rows, inner, columns = SIZE
    a = torch.ones(rows, inner, device=device, dtype=dtype)
    b = torch.ones(inner, columns, device=device, dtype=dtype)
    times_s = []
    for _ in range(1 + ROUNDS):
        start_s = time.perf_counter()
        (a @ b).sum().item()  # a number on the host: the device is done
        times_s.append(time.perf_counter() - start_s)
    return min(times_s[1:])
