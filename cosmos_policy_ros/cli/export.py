# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy export``: the network of a checkpoint for a faster runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from cosmos_policy_ros.resources import COMMITTED, share_path
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.table import Table
import tyro

if TYPE_CHECKING:
    from cosmos_policy_ros.backends.tensorrt_build import EnginePrecision

PRECISIONS: dict[str, EnginePrecision] = {
    'bf16': 'bfloat16',
    'fp16': 'float16',
    'float32': 'float32',
}


@dataclass(frozen=True)
class Export:
    """Write the network of checkpoints for a faster runtime, compared with the original.

    The result lies in CHECKPOINT/engines and is taken by itself from then on (backend auto); it is
    made again when the checkpoint changes. onnx: a file with any batch size for OpenVINO and ONNX
    Runtime on a CPU, in float32 and, for OpenVINO where the CPU computes in it, in bf16. tensorrt:
    an engine for TensorRT or TensorRT-RTX, whichever is installed. TensorRT-RTX builds one without
    a GPU, which is then not compared.

    Example: cosmos-policy export
    Example: cosmos-policy export runs/my_task
    Example: cosmos-policy export --backend tensorrt runs/my_task --rows 1 8 24
    """

    checkpoints: tyro.conf.Positional[tuple[Path, ...]] = field(
        default_factory=lambda: tuple(share_path('models', name) for name in COMMITTED)
    )
    """Checkpoint folders; by default the committed ones."""
    backend: Literal['onnx', 'tensorrt'] = 'onnx'
    """What the network is exported for."""
    precision: Literal['bf16', 'fp16', 'float32'] | None = None
    """Arithmetic of attention and feed-forward in a TensorRT engine, bf16 by default; ONNX files
    are written in float32 and, where the CPU computes in it, in bf16."""
    rows: tuple[int, ...] = ()
    """Numbers of candidates, futures and values in one call that a TensorRT engine is tuned for,
    rising; more than the last are divided. By default 1 8 24 120, for a query of 8 candidates, 3
    futures of each and 5 values of each; fewer need less memory."""
    queries: int = 8
    """Made-up queries that the exported network and the original are compared on."""
    max_error: float | None = None
    """Largest difference of an action that is accepted [rad; gripper 0..1]; by default 0.001 in
    float32, 0.01 in fp16, 0.02 in bf16."""
    again: bool = False
    """Export even if the checkpoint was exported before."""


def run(options: Export) -> int:
    """Export, compare, print a table."""
    _check(options)
    # late: torch loads slowly
    from cosmos_policy_ros.backends.export_all import export_all

    console = Console()
    with console.status('exporting') as status:
        for folder, precision, note, took_s in export_all(
            options.checkpoints,
            options.backend,
            precision=PRECISIONS[options.precision or 'bf16'],
            rows=options.rows,
            queries=options.queries,
            max_error_rad=options.max_error,
            again=options.again,
            show=status.update,
        ):
            made = f'{folder}: {precision}'
            if options.backend == 'tensorrt':
                facts = note['facts']
                made += f' for {facts["library"]} on {facts["gpu"]}; rows {facts["rows"]}'
            console.print(f'{made} ({took_s:.0f} s)', highlight=False, soft_wrap=True)
            if isinstance(note['parity'], dict):
                console.print(_table(note['parity']))
            else:
                console.print(f'comparison with the original {note["parity"]}', highlight=False)
    return 0


def _check(options: Export) -> None:
    """Refuse options that are out of range or have no effect.

    Raises:
        ConfigError: One is.
    """
    limit = options.max_error
    if options.queries < 1 or not (limit is None or limit > 0.0):
        msg = (
            f'--queries must be at least 1 and --max-error above 0, got {options.queries} and '
            f'{limit}'
        )
        raise ConfigError(msg)
    if options.backend == 'onnx' and (options.precision or options.rows):
        msg = (
            '--precision and --rows are for --backend tensorrt; ONNX files take any rows and '
            'are written in float32 and, where the CPU computes in it, bf16'
        )
        raise ConfigError(msg)
    if not options.rows:
        return
    from cosmos_policy_ros.backends.onnx_backend import MOST_ROWS  # loads torch

    steps = zip((0, *options.rows), (*options.rows, MOST_ROWS + 1), strict=True)
    if not all(a < b for a, b in steps):
        msg = f'--rows must rise, from at least 1 to at most {MOST_ROWS}, got {options.rows}'
        raise ConfigError(msg)


def _table(report: dict[str, Any]) -> Table:
    """Return a table of the differences from the original."""
    table = Table('', 'largest difference', title='beside the original in float32')
    for joint, error in report['action_error_rad'].items():
        table.add_row(joint, f'{error:.1e}')
    table.add_row('value', f'{report["max_value_error"]:.1e}')
    table.add_row('same best of eight', f'{100 * report["same_choice"]:.0f} %')
    return table
