# SPDX-License-Identifier: Apache-2.0
"""The figures of ``bench latency`` as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

TARGET = 0.1  # of the compiled network's time to the first answer


def print_figures(figures: dict[str, Any]) -> None:
    """Print tables of latencies, errors, starts and the running stack.

    Args:
        figures: What ``latency.measure_latency`` returned.
    """
    console = Console()
    rows = figures['backends']
    for condition in ('quiet', 'loaded'):
        if condition in rows[figures['baseline']]:
            console.print(_latencies(rows, condition))
    console.print(_others(rows))
    if figures['stack']:
        console.print(_stack(figures['stack']))
    load, lines = figures['load'], []
    reasons: dict[str, list[str]] = {}
    for name, reason in figures['left_out'].items():
        reasons.setdefault(reason, []).append(name)
    lines += [f'left out: {", ".join(names)}: {reason}' for reason, names in reasons.items()]
    lines.append(
        f'faster is beside {figures["baseline"]} in the same rounds; auto takes '
        f'{figures["auto"]}; threads {figures["threads"]}, load {load["before"]} before and '
        f'{load["after"]} after, {figures["cores"]} cores, {figures["machine"]}'
    )
    console.print('\n'.join(lines), highlight=False, soft_wrap=True)


def _latencies(rows: dict[str, dict[str, Any]], condition: str) -> Table:
    """Return the latencies under one condition."""
    kinds = {'direct': 'direct', 'best_of_8': 'best of 8'}
    heads = [head for kind in kinds.values() for head in (kind, 'p99', 'faster')]
    table = _table(f'query, {condition} [ms]', heads)
    for name, row in rows.items():
        cells = []
        for kind in kinds:
            one = row[condition][kind]
            cells += [f'{one["ms"]:.1f}', f'{one["p99_ms"]:.1f}', f'{one["ratio"]:.2f} x']
        table.add_row(name, *cells)
    return table


def _others(rows: dict[str, dict[str, Any]]) -> Table:
    """Return errors, memory and start."""
    heads = ('max rad', 'mean rad', 'same', 'regret', 'peak MB', 'start s', 'share')
    table = _table(
        f'errors; a process, its start as a share of compiled (target {TARGET:g})', heads
    )
    for name, row in rows.items():
        share = row.get('start_over_compiled')
        cells = [f'{row[key]:.0e}' for key in ('max_action_error_rad', 'mean_action_error_rad')]
        cells += [f'{100 * row["same_choice"]:.0f} %', f'{row["value_regret"]:.0e}']
        cells += [f'{row["peak_mb"]:.0f}', f'{row["start_s"]:.1f}']
        table.add_row(name, *cells, '' if share is None else f'{share:.3f}')
    return table


def _stack(figures: dict[str, dict[str, Any]]) -> Table:
    """Return the time through the running stack."""
    heads = ('condition', 'p50', 'p99', 'answers', 'queries')
    table = _table('running stack, query to chunk [ms]', heads)
    for condition, backends in figures.items():
        for name, row in backends.items():
            table.add_row(name, condition, *(str(row[head]) for head in heads[1:]))
    return table


def _table(title: str, heads: Iterable[str]) -> Table:
    """Return an empty table whose rows begin with a name."""
    table = Table(title=title)
    table.add_column('', no_wrap=True)
    for head in heads:
        table.add_column(head, justify='right')
    return table
