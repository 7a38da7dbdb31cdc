# SPDX-License-Identifier: Apache-2.0
"""The status of a running stack in the terminal, while it changes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
import contextlib
import math
import time

from cosmos_policy_ros.control.policy_status import describe_status
from cosmos_policy_ros.stack.node_list import STATUS, Value
from cosmos_policy_ros.stack.node_pipe import open_pipe
from cosmos_policy_ros.status import from_values, PolicyStatus
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

STYLES = {'ok': 'green', 'warn': 'yellow', 'error': 'bold red'}
START_S = 15.0  # [s] the node that listens may take to start


def follow_status(
    values: Mapping[str, Value],
) -> Generator[tuple[str, PolicyStatus], None, None]:
    """Yield level and status of a running stack, some times a second, until nobody asks.

    Args:
        values: Arguments of the node that listens, such as its namespace.

    Raises:
        ConfigError: That node ends or does not start.
    """
    with open_pipe(STATUS, values) as node:
        end_s = time.monotonic() + START_S
        while True:
            reports = node.read(0.5)
            for found in reports:
                end_s = math.inf
                yield found['level'], from_values(PolicyStatus, found['values'])
            if not reports and time.monotonic() > end_s:
                msg = f'the node that listens has reported nothing for {START_S:.0f} s'
                raise ConfigError(msg)


def listen(values: Mapping[str, Value], seconds: float) -> tuple[str, PolicyStatus]:
    """Return level and status of a running stack after listening for a while.

    Args:
        values: As for ``follow_status``.
        seconds: How long, from the first status on [s].

    Raises:
        ConfigError: As ``follow_status``.
    """
    with contextlib.closing(follow_status(values)) as reports:
        found, end_s = next(reports), time.monotonic() + seconds
        while time.monotonic() < end_s:
            found = next(reports)
        return found


def show_status(values: Mapping[str, Value], domain: int) -> None:
    """Show the status of a running stack until Ctrl-C.

    Args:
        values: As for ``follow_status``.
        domain: ROS domain, for the title.
    """
    with Live(console=Console(), auto_refresh=False, transient=False) as live:
        for level, status in follow_status(values):
            live.update(draw_status(level, status, domain), refresh=True)


def draw_status(level: str, status: PolicyStatus, domain: int) -> Table:
    """Return a status as a table for the terminal.

    Args:
        level: ``ok``, ``warn`` or ``error``.
        status: The status.
        domain: ROS domain, for the title.
    """
    table = Table(title=f'ROS domain {domain}', title_justify='left', show_header=False)
    table.add_column(justify='right', style='dim')
    table.add_column(min_width=60)
    phase = Text(status.phase.upper(), style=STYLES[level])
    table.add_row('phase', phase.append(f'  {status.reason}' if status.reason else ''))
    for name, text in describe_status(status).items():
        table.add_row(name, text)
    return table
