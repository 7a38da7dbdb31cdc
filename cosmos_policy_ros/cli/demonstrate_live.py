# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy demonstrate --live``: demonstrations by way of the running stack."""

from __future__ import annotations

from typing import Any

from cosmos_policy_ros.cli.demo import prepare_folder
from cosmos_policy_ros.cli.demonstrate import Demonstrate
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import DEMONSTRATION_STACK, DEMONSTRATOR, Value
from cosmos_policy_ros.stack.running import run_stack
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def run_live(options: Demonstrate) -> int:
    """Record the episodes that are missing in real time and print how many succeeded.

    Raises:
        ConfigError: A node ended.
    """
    domain = choose_domain(options.domain)
    out = prepare_folder(options.out / '.live', ('logs',))
    console = Console()
    console.print(f'ROS_DOMAIN_ID={domain}, logs in {out}/logs', highlight=False, soft_wrap=True)
    values: dict[str, Value] = {
        'robot': str(options.robot.resolve()),
        'task': options.task,
        'seed': options.seed,
        'episodes': options.episodes,
        'operator': 'scripted expert',
        'out': str(options.out.resolve()),
    }
    columns = (
        TextColumn('{task.description}'),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    episodes: list[dict[str, Any]] = []
    try:
        with (
            run_stack(values, out, DEMONSTRATOR, DEMONSTRATION_STACK) as stack,
            Progress(*columns, console=console, transient=True) as progress,
        ):
            bar = progress.add_task('starting the nodes', total=None)
            for event in stack.follow():
                kind = event['event']
                if kind == 'ready':
                    progress.update(bar, total=event['missing'])
                elif kind == 'progress':
                    told = f'{event["phase"]} at {event["seconds"]:.1f} s'
                    progress.update(bar, description=told)
                elif kind == 'episode':
                    progress.advance(bar)
                    episodes.append(event)
                    if not event['whole']:
                        console.print(f'[yellow]{event["told"]}[/yellow]', soft_wrap=True)
    except ChildProcessError as error:
        raise ConfigError(str(error)) from error
    print(
        f'{options.out}: {options.episodes} episodes, {len(episodes)} recorded now, '
        f'{sum(e["success"] for e in episodes)} of those successful'
    )
    return 0
