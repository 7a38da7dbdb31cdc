# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows of a demo: a moving line, a line per episode and a table."""

from __future__ import annotations

from typing import Any

from cosmos_policy_ros.sim.tasks import EPISODE_S
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table


class View:
    """Show events while they come; a context manager."""

    def __init__(self, console: Console, episodes: int) -> None:
        """Show nothing yet."""
        self._console, self._episodes = console, episodes
        self._number = 0
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(bar_width=20),
            TextColumn('{task.fields[figures]}'),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task('looking for other stacks', total=None, figures='')

    def __enter__(self) -> View:
        """Start to draw."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the moving line."""
        self._progress.stop()

    def show(self, event: dict[str, Any]) -> None:
        """Show an event of the operator."""
        kind = event['event']
        if kind == 'clear':
            self._update('starting the nodes', None, '')
        elif kind == 'ready':
            self._console.print(f'task: {event["task"]}', highlight=False)
        elif kind == 'started':
            self._number += 1
            self._update(f'episode {self._number} of {self._episodes}', 0.0, '')
        elif kind == 'progress':
            self._progress.update(
                self._bar, completed=event['seconds'], figures=describe_progress(event)
            )
        elif kind == 'episode':
            self._console.print(self._describe_episode(event), highlight=False)

    def _update(self, description: str, seconds: float | None, figures: str) -> None:
        total = None if seconds is None else EPISODE_S
        self._progress.reset(
            self._bar,
            total=total,
            completed=int(seconds or 0),
            description=description,
            figures=figures,
        )

    def _describe_episode(self, event: dict[str, Any]) -> str:
        if event['success']:
            outcome = f'[green]success[/green], done after {event["success_at_s"]:.1f} s'
        else:
            outcome = '[red]no success[/red]'
        fault = f', fault: {event["fault"]}' if event['fault'] else ''
        asked = f'{event["answers"]} of {event["queries"]} queries answered'
        return f'episode {self._number}: {outcome}, {asked}{fault}'


def describe_progress(event: dict[str, Any]) -> str:
    """Return the figures of a moment on one line."""
    figures = [f'{event["seconds"]:4.1f} s']
    if event['value'] is not None:
        figures += [f'value {event["value"]:.2f}', f'{event["query_ms"]:4.0f} ms']
    figures.append(event['state'])
    if event['success']:
        figures.append('[green]done[/green]')
    return '  '.join(figures)


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print the episodes as a table and what they come to."""
    table = Table('episode', 'success', box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in ('seconds', 'queries', 'value mid/mean', 'ms p50/p99', 'waited s'):
        table.add_column(name, justify='right')
    for i, episode in enumerate(report['episodes'], 1):
        value, query_ms = episode['value'], episode['query_ms']
        table.add_row(
            str(i),
            '[green]yes[/green]' if episode['success'] else '[red]no[/red]',
            f'{episode["seconds"]:.1f}',
            str(episode['queries']),
            f'{_number(value["middle"], 2)} / {_number(value["mean"], 2)}',
            f'{_number(query_ms["p50"], 0)} / {_number(query_ms["p99"], 0)}',
            f'{episode["standstill_s"]:.2f}',
        )
    console.print(table)
    n = len(report['episodes'])
    successes = sum(episode['success'] for episode in report['episodes'])
    query_ms = report['query_ms']
    jump_rad, changed = report['seam_jump_rad_max'], report['interventions']
    lines = [
        f'{successes} of {n} episodes succeeded; queries took '
        f'{_number(query_ms["p50"], 0)} ms (p50), {_number(query_ms["p99"], 0)} ms (p99)',
        f'arms waited {report["standstill_s"]:.2f} s after the first answers; '
        f'largest seam jump {jump_rad:.2f} rad; safety changed {changed} commands',
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    for warning in report['warnings']:
        console.print(f'[yellow]{warning}[/yellow]', highlight=False, soft_wrap=True)


def _number(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'
