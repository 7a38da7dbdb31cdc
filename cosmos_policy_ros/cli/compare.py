# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy compare``: evaluations side by side, as a table to paste and a picture."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.metrics import mcnemar, wilson_interval
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.types import ConfigError
import tyro


@dataclass(frozen=True)
class Compare:
    """Print evaluations as a Markdown table with 95 % intervals, the others against the first.

    Evaluations of the same scenes are compared scene by scene: how many only one of the two
    solved, and how likely a difference this large is by chance (McNemar's exact test).

    Example: cosmos-policy compare base.json best_of_8.json planning.json --plot values.png
    """

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files that evaluate --json wrote."""
    plot: Path | None = None
    """PNG: success rates, and how often the value at mid-episode came true."""


def run(options: Compare) -> int:
    """Print the table and write the picture."""
    if not options.files:
        msg = 'give at least one file of cosmos-policy evaluate --json'
        raise ConfigError(msg)
    check_output('--plot', options.plot)
    rows = [read_evaluation(file) for file in options.files]
    print(
        '| evaluation | episodes | success | 95 % interval | AUC | query p50 | against the first |'
    )
    print('|---|---|---|---|---|---|---|')
    for file, row in zip(options.files, rows, strict=True):
        low, high = wilson_interval(row['successes'], row['episodes'])
        auc = '–' if row['value_auc'] is None else f'{row["value_auc"]:.2f}'
        against = '' if row is rows[0] else describe_difference(rows[0], row)
        print(
            f'| {file.stem} | {row["episodes"]} | {100 * row["success_rate"]:.1f} % | '
            f'{100 * low:.1f}–{100 * high:.1f} % | {auc} | {row["query_ms"]["p50"]:.0f} ms | '
            f'{against} |'
        )
    if options.plot:
        from cosmos_policy_ros.report.comparison_plot import (
            draw,  # matplotlib takes a while to load
        )

        draw([file.stem for file in options.files], rows, options.plot)
        print(f'{options.plot} written')
    return 0


def read_evaluation(file: Path) -> dict[str, Any]:
    """Return what an evaluation wrote.

    Raises:
        ConfigError: The file is missing or was not written by one.
    """
    try:
        row = json.loads(file.read_text(encoding='utf-8'))
        row['episodes'], row['successes'], row['query_ms']['p50'], row['value_auc']
        [(r['seed'], r['success'], r['middle_value']) for r in row['results']]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f'{file} is no file of cosmos-policy evaluate --json ({error!r})'
        raise ConfigError(msg) from error
    return row


def describe_difference(first: dict[str, Any], other: dict[str, Any]) -> str:
    """Return how another evaluation differs from the first."""
    points = 100 * (other['success_rate'] - first['success_rate'])
    a, b = (scenes(row) for row in (first, other))
    if a.keys() != b.keys() or not a:
        return f'{points:+.1f} points, other scenes'
    lost = sum(a[s] and not b[s] for s in a)
    won = sum(b[s] and not a[s] for s in a)
    return f'{points:+.1f} points: {won} won, {lost} lost, p = {mcnemar(won, lost):.3f}'


def scenes(row: dict[str, Any]) -> dict[tuple[Any, ...], bool]:
    """Return task, states and seed of every episode, and whether it succeeded."""
    told = row.get('options', {})
    kind = told.get('task', ''), told.get('states', 'normal')
    return {(*kind, r['seed']): bool(r['success']) for r in row['results']}
