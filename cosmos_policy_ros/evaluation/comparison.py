# SPDX-License-Identifier: Apache-2.0
"""Evaluations side by side: files read back, differences tested scene by scene, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.metrics import difference_interval, mcnemar, wilson_interval
from cosmos_policy_ros.types import ConfigError

HEAD = (
    '| evaluation | episodes | success | 95 % interval | AUC | query p50 | against the first |\n'
    '|---|---|---|---|---|---|---|'
)


def read_evaluation(file: Path) -> dict[str, Any]:
    """Return the figures that ``cosmos-policy evaluate --json`` wrote.

    Raises:
        ConfigError: The file is missing or was not written by it.
    """
    try:
        figures = json.loads(file.read_text(encoding='utf-8'))
        figures['episodes'], figures['successes'], figures['query_ms']['p50'], figures['value_auc']
        [(r['seed'], r['success'], r['middle_value']) for r in figures['results']]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f'{file} is no file of cosmos-policy evaluate --json ({error!r})'
        raise ConfigError(msg) from error
    return figures


def compare_evaluations(names: Sequence[str], evaluations: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table of evaluations, each against the first.

    Those of several tasks or start states get a table of each under its title.

    Args:
        names: What the evaluations are called, at least one.
        evaluations: Figures of each, as ``read_evaluation`` returns them.
    """
    tables: dict[str, list[str]] = {}
    for row in compare_rows(names, evaluations):
        table = tables.setdefault(f'{row["task"]}, {row["states"]}', [HEAD])
        table.append(_table_line(row))
    if len(tables) == 1:
        return '\n'.join(*tables.values())
    return '\n\n'.join('\n'.join([f'### {title}\n', *lines]) for title, lines in tables.items())


def compare_rows(
    names: Sequence[str], evaluations: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what a table says of each evaluation, as JSON has it.

    Args:
        names: What the evaluations are called.
        evaluations: Figures of each, as ``read_evaluation`` returns them.

    Returns:
        ``evaluation``, its name; ``task`` or suite, and ``states``; ``episodes``, ``successes``,
        ``success_rate`` with its Wilson ``interval_95``; ``value_auc``; ``query_ms``, the median;
        and ``against``, None for the first of a task and its states, else what
        ``compare_outcomes`` returns.
    """
    firsts: dict[tuple[str, str], Mapping[str, Any]] = {}
    rows = []
    for name, figures in zip(names, evaluations, strict=True):
        options = figures.get('options', {})
        task, states = options.get('suite') or options.get('task', ''), _states(figures)
        first = firsts.setdefault((task, states), figures)
        rows.append(
            {
                'evaluation': name,
                'task': task,
                'states': states,
                'episodes': figures['episodes'],
                'successes': figures['successes'],
                'success_rate': figures['success_rate'],
                'interval_95': wilson_interval(figures['successes'], figures['episodes']),
                'value_auc': figures['value_auc'],
                'query_ms': figures['query_ms']['p50'],
                'against': None if first is figures else compare_outcomes(first, figures),
            }
        )
    return rows


def compare_outcomes(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return how another evaluation differs from the first.

    Evaluations of the same scenes are paired: how many scenes only one of the two solved, and how
    likely so uneven a split is by chance.

    Args:
        first: Figures as ``read_evaluation`` returns them.
        other: Those that are compared with it.

    Returns:
        ``difference`` of the success rates; where the scenes are the same its ``interval_95``, how
        many the other ``won`` and ``lost``, and the ``p`` of McNemar's exact test.
    """
    found = {'difference': round(other['success_rate'] - first['success_rate'], 6)}
    a, b = outcomes(first), outcomes(other)
    if a.keys() != b.keys() or not a:
        return found
    lost = sum(a[scene] and not b[scene] for scene in a)
    won = sum(b[scene] and not a[scene] for scene in a)
    interval = difference_interval(won, lost, len(a))
    return {**found, 'interval_95': interval, 'won': won, 'lost': lost, 'p': mcnemar(won, lost)}


def outcomes(figures: Mapping[str, Any]) -> dict[tuple[Any, ...], bool]:
    """Return (task, start states, seed) of every scene -> whether it succeeded."""
    task = figures.get('options', {}).get('task', '')
    return {
        (result.get('task', task), _states(figures), result['seed']): bool(result['success'])
        for result in figures['results']
    }


def _states(figures: Mapping[str, Any]) -> str:
    return str(figures.get('options', {}).get('states', 'normal'))


def _table_line(row: Mapping[str, Any]) -> str:
    """Return a line of the table."""
    low, high = row['interval_95']
    auc = '–' if row['value_auc'] is None else f'{row["value_auc"]:.2f}'
    return (
        f'| {row["evaluation"]} | {row["episodes"]} | {100 * row["success_rate"]:.1f} % | '
        f'{100 * low:.1f}–{100 * high:.1f} % | {auc} | {row["query_ms"]:.0f} ms | '
        f'{_describe_difference(row["against"])} |'
    )


def _describe_difference(against: Mapping[str, Any] | None) -> str:
    """Return what ``compare_outcomes`` found, for people; nothing for the first evaluation."""
    if against is None:
        return ''
    points = f'{100 * against["difference"]:+.1f} points'
    if 'p' not in against:
        return f'{points}, other scenes'
    low, high = against['interval_95']
    return (
        f'{points} ({100 * low:+.1f} to {100 * high:+.1f}): {against["won"]} won, '
        f'{against["lost"]} lost, p = {against["p"]:.3f}'
    )
