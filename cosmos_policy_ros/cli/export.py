# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy export``: the network of a checkpoint for a faster runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
import time
from typing import Any, Literal

from cosmos_policy_ros.stack import share_path
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.table import Table
import tyro


@dataclass(frozen=True)
class Export:
    """Write the network of checkpoints for a faster runtime, compared with the original.

    The result lies in CHECKPOINT/engines and is taken by itself from then on (backend auto); it is
    made again when the checkpoint changes. onnx: one ONNX file with any batch size,
    which OpenVINO and ONNX Runtime run on a CPU.

    Example: cosmos-policy export
    Example: cosmos-policy export runs/my_task
    """

    checkpoints: tyro.conf.Positional[tuple[Path, ...]] = field(
        default_factory=lambda: (share_path('models', 'aloha_sim_transfer_cube'),)
    )
    """Checkpoint folders."""
    backend: Literal['onnx'] = 'onnx'
    """What the network is exported for."""
    queries: int = 8
    """Made-up queries that the exported network and the original are compared on."""
    max_error: float = 0.001
    """Largest difference of an action that is accepted [rad; gripper 0..1]."""
    again: bool = False
    """Export even if the checkpoint was exported before."""


def run(options: Export) -> int:
    """Export, compare, print a table."""
    if options.queries < 1 or not options.max_error > 0.0:
        msg = (
            f'--queries must be at least 1 and --max-error above 0, got {options.queries} and '
            f'{options.max_error}'
        )
        raise ConfigError(msg)
    from cosmos_policy_ros.backends.export import export

    console = Console()
    for path in options.checkpoints:
        start_s = time.monotonic()
        with console.status(f'exporting {path}'):
            folder, report = export(path, options.queries, options.max_error, options.again)
        took_s = time.monotonic() - start_s
        console.print(f'{folder} ({took_s:.0f} s)', highlight=False, soft_wrap=True)
        console.print(_table(report))
    return 0


def _table(report: dict[str, Any]) -> Table:
    """Return the differences from the original."""
    table = Table('', 'largest difference', title='beside the original in float32')
    for joint, error in report['action_error_rad'].items():
        table.add_row(joint, f'{error:.1e}')
    table.add_row('value', f'{report["max_value_error"]:.1e}')
    table.add_row('same best of eight', f'{100 * report["same_choice"]:.0f} %')
    return table
