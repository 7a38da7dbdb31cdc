# SPDX-License-Identifier: Apache-2.0
"""What the episodes of an evaluation came to, in figures."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from cosmos_policy_ros.metrics import auc, rounded_percentiles, wilson_interval
import numpy as np
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class EpisodeResult:
    """What one episode came to.

    Attributes:
        seed: Seed of the scene.
        success: Whether the task was done at the end.
        best_reward: Highest reward seen, 0 to 4.
        middle_value: Value of the candidate chosen nearest to the middle of the episode.
        values: Value of the chosen candidate of every query, in order.
        query_ms: Durations of the queries [ms].
        seam_jump_rad: Largest seam jump [rad].
        interventions: Ticks whose target safety changed.
    """

    seed: int
    success: bool
    best_reward: int
    middle_value: float
    values: tuple[float, ...]
    query_ms: tuple[float, ...]
    seam_jump_rad: float
    interventions: int


def summarize(results: list[EpisodeResult]) -> dict[str, object]:
    """Return the figures of a list of episodes."""
    successes = sum(r.success for r in results)
    query_ms = [ms for r in results for ms in r.query_ms]
    return {
        'episodes': len(results),
        'successes': successes,
        'success_rate': successes / len(results),
        'interval_95': wilson_interval(successes, len(results)),
        'value_auc': auc(
            np.array([r.middle_value for r in results]), np.array([r.success for r in results])
        ),
        'query_ms': rounded_percentiles(query_ms),
        'rewards': [sum(r.best_reward >= level for r in results) for level in range(1, 5)],
        'seam_jump_rad_max': max(r.seam_jump_rad for r in results),
        'interventions': sum(r.interventions for r in results),
    }


def write_figures(
    file: Path, figures: dict[str, object], options: object, **details: object
) -> None:
    """Write figures, the options as given and further details to a JSON file."""
    text = json.dumps({**figures, 'options': vars(options), **details}, default=str, indent=2)
    file.write_text(text + '\n', encoding='utf-8')


def print_figures(figures: dict[str, object]) -> None:
    """Print the figures as a table."""
    table = Table('figure', 'value')
    for name, figure in figures.items():
        table.add_row(name, str(figure))
    Console().print(table)
