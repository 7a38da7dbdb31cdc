# SPDX-License-Identifier: Apache-2.0
"""The plot of a comparison: success rates of evaluations, and success against the value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.metrics import wilson_interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

BINS = 8  # of the value


def draw(names: list[str], rows: list[dict[str, Any]], path: Path) -> None:
    """Draw success rates with intervals, and success against the value at mid-episode.

    Args:
        names: What the evaluations are called.
        rows: What ``compare.read_evaluation`` returned for each.
        path: PNG file to write.
    """
    figure = Figure(figsize=(11.0, 4.2), layout='constrained')
    rates, values = figure.subplots(1, 2)
    for i, row in enumerate(rows):
        low, high = wilson_interval(row['successes'], row['episodes'])
        rate = row['success_rate']
        rates.barh(i, rate, color=f'C{i}', alpha=0.8)
        rates.errorbar(rate, i, xerr=[[rate - low], [high - rate]], color='0.2', capsize=3)
    rates.set_yticks(range(len(names)), names)
    rates.invert_yaxis()
    rates.set_xlim(0.0, 1.0)
    rates.set_xlabel('success rate, 95 % interval')
    for i, (name, row) in enumerate(zip(names, rows, strict=True)):
        _draw_values(values, row, f'C{i}', name)
    values.set_xlabel('value of the chosen candidate at mid-episode')
    values.set_ylabel('share of episodes that succeeded')
    values.set_ylim(-0.03, 1.03)
    values.legend(fontsize='small')
    figure.savefig(path, dpi=110)


def _draw_values(axes: Axes, row: dict[str, Any], color: str, name: str) -> None:
    """Draw success rates over bins of equally many episodes, of a policy that has a value."""
    judged = [r for r in row['results'] if r['middle_value'] is not None]
    if not judged:
        return
    value = np.array([r['middle_value'] for r in judged])
    success = np.array([r['success'] for r in judged])
    parts = np.array_split(np.argsort(value), min(BINS, len(value)))
    axes.plot(
        [value[p].mean() for p in parts], [success[p].mean() for p in parts], 'o-', color=color,
        label=name,
    )  # fmt: skip
