# SPDX-License-Identifier: Apache-2.0
"""Evaluations side by side: files read back, differences tested scene by scene, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.metrics import mcnemar, wilson_interval
from cosmos_policy_ros.types import ConfigError


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

    Args:
        names: What the evaluations are called, at least one.
        evaluations: Figures of each, as ``read_evaluation`` returns them.
    """
    lines = [
        '| evaluation | episodes | success | 95 % interval | AUC | query p50 '
        '| against the first |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, figures in zip(names, evaluations, strict=True):
        low, high = wilson_interval(figures['successes'], figures['episodes'])
        auc = '–' if figures['value_auc'] is None else f'{figures["value_auc"]:.2f}'
        is_first = figures is evaluations[0]
        against = '' if is_first else describe_difference(evaluations[0], figures)
        lines.append(
            f'| {name} | {figures["episodes"]} | {100 * figures["success_rate"]:.1f} % | '
            f'{100 * low:.1f}–{100 * high:.1f} % | {auc} | {figures["query_ms"]["p50"]:.0f} ms | '
            f'{against} |'
        )
    return '\n'.join(lines)


def describe_difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return how another evaluation differs from the first, for people.

    Evaluations of the same scenes are paired: how many scenes only one of the two solved, and how
    likely so uneven a split is by chance.

    Args:
        first: Figures as ``read_evaluation`` returns them.
        other: Those that are compared with it.
    """
    points = 100 * (other['success_rate'] - first['success_rate'])
    a, b = outcomes(first), outcomes(other)
    if a.keys() != b.keys() or not a:
        return f'{points:+.1f} points, other scenes'
    lost = sum(a[scene] and not b[scene] for scene in a)
    won = sum(b[scene] and not a[scene] for scene in a)
    return f'{points:+.1f} points: {won} won, {lost} lost, p = {mcnemar(won, lost):.3f}'


def outcomes(figures: Mapping[str, Any]) -> dict[tuple[Any, ...], bool]:
    """Return (task, start states, seed) of every scene -> whether it succeeded."""
    options = figures.get('options', {})
    task, states = options.get('task', ''), options.get('states', 'normal')
    return {
        (result.get('task', task), states, result['seed']): bool(result['success'])
        for result in figures['results']
    }
