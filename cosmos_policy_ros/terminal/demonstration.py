# SPDX-License-Identifier: Apache-2.0
"""Live demonstrations: a scripted expert moves leader arms, and the running stack records it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import DEMONSTRATION_STACK, DEMONSTRATOR, Value
from cosmos_policy_ros.terminal.live import counting_bar, follow_stack, prepare_folder
from cosmos_policy_ros.types import ConfigError
from rich.console import Console


def record_live(
    out: Path,
    robot_file: Path,
    *,
    task: str,
    episodes: int,
    seed: int = 0,
    domain: int | None = None,
) -> None:
    """Record the demonstrations that are missing in real time and print how many succeeded.

    Simulator, leader arms, command executor and recorder run as processes, as for a person.

    Args:
        out: Folder of the bags; those that are there already are kept and skipped.
        robot_file: Robot YAML, with leaders.
        task: Simulated task.
        episodes: How many bags the folder has in the end.
        seed: Episode i plays the scene of seed + i.
        domain: ROS domain, None for ``ROS_DOMAIN_ID`` or one of its own.

    Raises:
        ConfigError: The folder cannot be written, or a node ended.
    """
    domain = choose_domain(domain)
    console = Console()
    values: dict[str, Value] = {
        'robot': str(robot_file.resolve()),
        'task': task,
        'seed': seed,
        'episodes': episodes,
        'operator_id': 'scripted expert',
        'out': str(out.resolve()),
    }
    events, trouble = follow_stack(
        values,
        prepare_folder(out / '.live', ('logs',)),
        domain,
        console,
        show_demonstrations(console),
        DEMONSTRATOR,
        DEMONSTRATION_STACK,
    )
    if trouble:
        raise ConfigError(trouble)
    recorded = [event for event in events if event['event'] == 'episode']
    print(
        f'{out}: {episodes} episodes, {len(recorded)} recorded now, '
        f'{sum(event["success"] for event in recorded)} of those successful'
        + describe_unusable(recorded)
    )


def describe_unusable(recorded: Iterable[Event]) -> str:
    """Return how many episodes nobody can learn from, and what to do; empty when all are whole.

    Args:
        recorded: Events ``episode`` of the demonstrator.
    """
    n = sum(not event['whole'] for event in recorded)
    if not n:
        return ''
    return (
        f', {n} unusable, as on a machine that is busy with other things; '
        'the same command plays those scenes again'
    )


@contextmanager
def show_demonstrations(console: Console) -> Iterator[Callable[[Event], None]]:
    """Yield what shows events of the demonstrator: a bar, and what was not recorded whole."""
    with counting_bar(console) as progress:
        bar = progress.add_task('starting the nodes', total=None)

        def show(event: Event) -> None:
            kind = event['event']
            if kind == 'ready':
                progress.update(bar, total=event['missing'])
            elif kind == 'progress':
                description = f'{event["phase"]} at {event["seconds"]:.1f} s'
                progress.update(bar, description=description)
            elif kind == 'episode':
                progress.advance(bar)
                if not event['whole']:
                    console.print(f'[yellow]{event["message"]}[/yellow]', soft_wrap=True)

        yield show
