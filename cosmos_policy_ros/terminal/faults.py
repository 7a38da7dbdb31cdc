# SPDX-License-Identifier: Apache-2.0
"""A campaign of faults in the terminal, and its results as a table and a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.outputs import write_json
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import FAULTS, Value
from cosmos_policy_ros.terminal.live import counting_bar, follow_stack, prepare_folder
from cosmos_policy_ros.types import ConfigError
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

OUTPUTS = ('logs', 'events.jsonl', 'driver.yaml')
ROBOTS = {  # what stands for the robot -> the robot file whose stand-in the simulator opens
    'sim': 'aloha_sim',
    'interbotix': 'aloha_sim_interbotix',
    'jtc': 'aloha_sim_trajectory',
}
NEEDED = {'driver', 'fault', 'passed', 'memory_mb'}  # of each case in a file


def run_faults(
    driver: str,
    values: dict[str, Value],
    out: Path | None = None,
    domain: int | None = None,
) -> dict[str, Any]:
    """Inject faults into a stack and return the report.

    Args:
        driver: Row of ``ROBOTS``.
        values: Arguments of the fault node.
        out: Folder for logs and events, by default one named after date and time.
        domain: ROS domain; None chooses one.

    Returns:
        ``cases``, one row each, ``kinds``, how many different faults, and ``unsafe``, how many
        cases did not end as they should.

    Raises:
        ConfigError: There is no such driver, or the campaign broke off.
    """
    if driver not in ROBOTS:
        msg = f'--driver {driver} must be one of {", ".join(ROBOTS)}'
        raise ConfigError(msg)
    robot = robot_file(ROBOTS[driver])
    domain, console = choose_domain(domain), Console()
    out = prepare_folder(out, OUTPUTS)
    given = {**values, 'robot': str(robot)}
    events, trouble = follow_stack(given, out, domain, console, show_cases(console), FAULTS, ())
    if trouble:
        raise ConfigError(trouble)
    rows = [{k: v for k, v in e.items() if k != 'event'} for e in events if e['event'] == 'case']
    for row in rows:
        row['driver'] = driver
    return summarise(rows)


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the report of some cases."""
    return {
        'kinds': len({row['fault'] for row in rows}),
        'unsafe': sum(not row['passed'] for row in rows),
        'memory_mb': {'first': rows[0]['memory_mb'], 'last': rows[-1]['memory_mb']}
        if rows
        else {},
        'cases': list(rows),
    }


def add_to_file(path: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Write a report; cases of other drivers and faults in the file already stay in it.

    Args:
        path: The file.
        report: As of ``run_faults``.

    Returns:
        The report of all cases in the file.

    Raises:
        ConfigError: The file is something else, see ``read_cases``, or cannot be written.
    """
    tried = {(row['driver'], row['fault']) for row in report['cases']}
    kept = [row for row in read_cases(path) if (row['driver'], row['fault']) not in tried]
    whole = summarise([*kept, *report['cases']])
    write_json(path, whole)
    return whole


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Return the cases in a file, one row each; none where there is no file.

    Raises:
        ConfigError: The file is something else.
    """
    if not path.exists():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding='utf-8'))['cases']
        left_out = {name for row in rows for name in NEEDED - set(row)}
        if left_out:
            raise ValueError(f'a case without {", ".join(sorted(left_out))}')
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f'{path} is no report of cosmos-policy faults ({error!r}); give another file'
        raise ConfigError(msg) from error
    return rows


@contextmanager
def show_cases(console: Console) -> Iterator[Callable[[Event], None]]:
    """Yield what shows the cases while they come: one moving line, and what went wrong."""
    with counting_bar(console) as progress:
        bar = progress.add_task('starting the stack', total=None)

        def show(event: Event) -> None:
            if event['event'] == 'ready':
                progress.update(bar, total=event['cases'], completed=0)
            elif event['event'] == 'case':
                progress.update(bar, advance=1, description=event['fault'])
                if not event['passed']:
                    where = f'{event["fault"]}, {event["moment"]}, seed {event["seed"]}'
                    console.print(f'[red]{where}[/red]: {event["wrong"]}', highlight=False)

        yield show


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print a line for every kind of fault: its worst case.

    Args:
        report: As of ``run_faults``.
        console: Where.
    """
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column('fault')
    table.add_column('wanted')
    for name in ('reaction', 'ms', 'limit', 'step rad', 'rad/s', 'passed'):
        table.add_column(name, justify='right')
    for name in dict.fromkeys(row['fault'] for row in report['cases']):
        rows = [row for row in report['cases'] if row['fault'] == name]
        worst = max(rows, key=lambda r: (not r['passed'], r['reaction_ms'] or 0))
        table.add_row(
            name,
            worst['wanted'],
            worst['reaction'],
            '' if worst['reaction_ms'] is None else str(worst['reaction_ms']),
            '' if worst['limit_ms'] is None else str(worst['limit_ms']),
            f'{max(r["max_step_rad"] for r in rows):.3f}',
            f'{max(r["max_speed_rad_s"] for r in rows):.2f}',
            f'{sum(r["passed"] for r in rows)} of {len(rows)}',
        )
    console.print(table)
    memory_mb = report['memory_mb']
    console.print(
        f'{report["kinds"]} kinds of faults, {len(report["cases"])} cases, {report["unsafe"]} of '
        f'them unsafe; the stack held {memory_mb["first"]} MB after the first and '
        f'{memory_mb["last"]} MB after the last',
        highlight=False,
    )
