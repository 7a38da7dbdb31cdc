# SPDX-License-Identifier: Apache-2.0
"""Facts of a device: its name, its memory in use and its peak arithmetic."""

from __future__ import annotations

from pathlib import Path
import platform
import resource
import time
from typing import Any

import psutil
import torch

# Part of a GPU's name -> dense bfloat16 operations per second in NVIDIA's data sheet, with float32
# sums. The first that fits counts.
DATA_SHEET = (
    ('H100 PCIe', 756e12),
    ('H100 NVL', 835e12),
    ('H100', 989e12),
    ('H200 NVL', 835e12),
    ('H200', 989e12),
    ('GH200', 989e12),
    ('A100', 312e12),
    ('L40S', 362e12),
    ('RTX 6000 Ada', 364e12),
    ('RTX A6000', 155e12),
    ('RTX 5090', 209e12),
    ('RTX 4090', 165e12),
    ('RTX 3090', 71e12),
)
GEMM_SIDE = {'cuda': 8192, 'cpu': 1024}


def has_device(device: str) -> bool:
    """Return whether torch can use a device."""
    return not device.startswith('cuda') or torch.cuda.is_available()


def describe_device(device: str) -> dict[str, Any]:
    """Return the name of a device and its bfloat16 arithmetic.

    Returns:
        ``device``, the name; ``gemm_tflops`` of a large matrix product, and ``data_sheet_tflops``,
        None where that is not known [TFLOP/s].
    """
    if device.startswith('cuda'):
        name = torch.cuda.get_device_name(device)
    else:
        name = platform.processor() or platform.machine()
    promised = data_sheet_flops(name)
    return {
        'device': name,
        'gemm_tflops': round(gemm_flops(device) / 1e12, 3),
        'data_sheet_tflops': promised and promised / 1e12,
    }


def data_sheet_flops(name: str) -> float | None:
    """Return the dense bfloat16 operations per second of a GPU by its name, None if unknown."""
    return next((flops for part, flops in DATA_SHEET if part in name), None)


def gemm_flops(device: str, repeats: int = 20) -> float:
    """Return the operations per second of the fastest of some bfloat16 matrix products."""
    side = GEMM_SIDE[torch.device(device).type]
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best_s = float('inf')
    for _ in range(repeats + 3):  # the first ones are slower
        wait(device)
        start_s = time.perf_counter()
        torch.mm(a, b)
        wait(device)
        best_s = min(best_s, time.perf_counter() - start_s)
    return 2.0 * side**3 / best_s


def wait(device: str) -> None:
    """Wait until the device has finished all calls."""
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def free_bytes(device: str) -> int:
    """Return the memory of a device that nobody uses, or of this machine."""
    if device.startswith('cuda'):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def memory_bytes(device: str) -> int:
    """Return the memory in use, of the whole GPU or of this process.

    What torch has reserved counts as in use, so after a query this is its peak.
    """
    if device.startswith('cuda'):
        free, total = torch.cuda.mem_get_info(device)
        return total - free
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    return pages * resource.getpagesize()
