# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows of a demo: a moving line, a line per episode and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cosmos_policy_ros.event_log import Event
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table


@contextmanager
def show_demo(
    console: Console, episodes: int, episode_s: float
) -> Iterator[Callable[[Event], None]]:
    """Yield what shows events of the operator: a moving line, and a line for every episode.

    Args:
        console: Where.
        episodes: How many are played.
        episode_s: Length of one [s].
    """
    columns = (
        TextColumn('{task.description}'),
        BarColumn(bar_width=20),
        TextColumn('{task.fields[figures]}'),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield DemoView(progress, episodes, episode_s).show


class DemoView:
    """The moving line of a demo and the lines above it."""

    def __init__(self, progress: Progress, episodes: int, episode_s: float) -> None:
        """Show that nothing has started yet."""
        self._progress, self._console = progress, progress.console
        self._episodes, self._episode_s = episodes, episode_s
        self._number = 0
        self._bar = progress.add_task('searching for other stacks', total=None, figures='')

    def show(self, event: Event) -> None:
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
        total = None if seconds is None else self._episode_s
        self._progress.reset(
            self._bar,
            total=total,
            completed=int(seconds or 0),
            description=description,
            figures=figures,
        )

    def _describe_episode(self, event: Event) -> str:
        if event['success']:
            outcome = f'[green]success[/green], done after {event["success_at_s"]:.1f} s'
        else:
            outcome = '[red]no success[/red]'
        fault = f', fault: {event["fault"]}' if event['fault'] else ''
        answered = f'{event["answers"]} of {event["queries"]} queries answered'
        return f'episode {self._number}: {outcome}, {answered}{fault}'


def describe_progress(event: Event) -> str:
    """Return time, newest value, latency and executor state of an event of progress as a line."""
    figures = [f'{event["seconds"]:4.1f} s']
    if event['value'] is not None:
        figures.append(f'value {event["value"]:.2f}')
    if event['query_ms'] is not None:
        figures.append(f'{event["query_ms"]:4.0f} ms')
    figures.append(event['state'])
    if event['success']:
        figures.append('[green]done[/green]')
    return '  '.join(figures)


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print a table of the episodes, and success, latencies and warnings of all of them.

    Args:
        report: What ``make_report`` returned.
        console: Where.
    """
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
    lines = [
        f'{successes} of {n} episodes succeeded; queries took '
        f'{_number(query_ms["p50"], 0)} ms (p50), {_number(query_ms["p99"], 0)} ms (p99)',
        f'arms waited {report["standstill_s"]:.2f} s after the first answers; '
        f'{_describe_seams(report)}; {_describe_interventions(report)}',
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    for warning in report['warnings']:
        console.print(f'[yellow]{warning}[/yellow]', highlight=False, soft_wrap=True)


def _describe_seams(report: dict[str, Any]) -> str:
    """Return seam jumps and the rows that queries committed to."""
    if report['seam_jump_rad_p99'] is None:
        return 'no chunk took over from another'
    p99, largest = report['seam_jump_rad_p99'], report['seam_jump_rad_max']
    rows = {name: _number(rows['p50'], 0) for name, rows in report['committed_rows'].items()}
    return (
        f'seam jumps {p99:.2f} rad (p99), {largest:.2f} (largest), with {rows["conditioned"]} '
        f'rows committed and {rows["real"]} passed (p50)'
    )


def _describe_interventions(report: dict[str, Any]) -> str:
    """Return how many commands safety changed in an episode, and the most frequent reason."""
    text = f'safety changed {report["interventions_per_episode"]:.1f} commands an episode'
    most = next(iter(report['intervention_reasons']), None)
    return text if most is None else f'{text}, most often as {most}'


def _number(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'
