# SPDX-License-Identifier: Apache-2.0
"""The picture of the seams: success and the jump at the take-over, over the latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

TITLES = {'transfer_cube': 'cube', 'insert_peg': 'peg'}
SMOOTH_RAD = 0.03  # [rad] that the 99th percentile of the seam jumps shall not pass


def draw(cells: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw a column for each task, with a line for each seam: success above, jumps below.

    Args:
        cells: Cells of ``bench.seams``, at least one.
        path: PNG file to write.
    """
    tasks = list(dict.fromkeys(cell['task'] for cell in cells))
    seams = list(dict.fromkeys(cell['seam'] for cell in cells))
    figure = Figure(figsize=(1.0 + 4.6 * len(tasks), 6.4), layout='constrained')
    axes = figure.subplots(2, len(tasks), sharex=True, sharey='row', squeeze=False)
    for column, task in enumerate(tasks):
        success, jump = axes[:, column]
        for i, seam in enumerate(seams):
            rows = [c for c in cells if (c['task'], c['seam']) == (task, seam)]
            rows.sort(key=lambda cell: float(cell['latency_s']))
            _draw_success(success, rows, seam, f'C{i}')
            _draw_jumps(jump, rows, seam, f'C{i}')
        success.set_title(TITLES.get(task, task))
        jump.axhline(SMOOTH_RAD, color='0.5', lw=1, ls=':')
        jump.set_xlabel('time from query to answer [s]')
        jump.set_xlim(left=0.0)
    axes[0, 0].set_ylabel('success, 95 % interval')
    axes[0, 0].set_ylim(0.0, 1.03)
    axes[1, 0].set_ylabel('seam jump [rad]\nmedian to p99')
    axes[1, 0].set_ylim(bottom=0.0)
    axes[0, 0].legend(loc='lower left')
    for ax in axes.flat:
        ax.grid(color='0.92')
        ax.set_axisbelow(True)
    figure.savefig(path, dpi=110)


def _draw_success(ax: Axes, rows: Sequence[Mapping[str, Any]], seam: str, color: str) -> None:
    """Draw success rates with their intervals as a band."""
    latencies_s = [row['latency_s'] for row in rows]
    low, high = zip(*(row['interval_95'] for row in rows), strict=True)
    ax.fill_between(latencies_s, low, high, color=color, alpha=0.18, lw=0)
    rates = [row['success_rate'] for row in rows]
    ax.plot(latencies_s, rates, 'o-', color=color, label=seam)


def _draw_jumps(ax: Axes, rows: Sequence[Mapping[str, Any]], seam: str, color: str) -> None:
    """Draw the 99th percentile of the seam jumps as a line, down to the median as a band."""
    jumped = [row for row in rows if row['seam_jump_rad']['p99'] is not None]
    latencies_s = [row['latency_s'] for row in jumped]
    median = [row['seam_jump_rad']['p50'] for row in jumped]
    p99 = [row['seam_jump_rad']['p99'] for row in jumped]
    ax.fill_between(latencies_s, median, p99, color=color, alpha=0.18, lw=0)
    ax.plot(latencies_s, p99, 'o-', color=color, label=seam)
