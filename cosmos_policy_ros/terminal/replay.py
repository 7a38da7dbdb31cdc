# SPDX-License-Identifier: Apache-2.0
"""A replay: the joint commands of a bag, played again and compared with the recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, ExitStack
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.bags.files import is_bag, read_metadata
from cosmos_policy_ros.data.bags.gripper_scale import find_other_scale
from cosmos_policy_ros.data.bags.series import read_commands
from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.resources import find_robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.domain import choose_domain, choose_domain_of_running_robot
from cosmos_policy_ros.stack.node_list import REPLAY, REPLAY_STACK, Value
from cosmos_policy_ros.terminal.live import follow_stack, prepare_folder
from cosmos_policy_ros.types import ConfigError
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

OUTPUTS = ('logs', 'events.jsonl')
AGREES_RAD = 0.02  # [rad; gripper 0..1] the spline through the rows differs by less than this
ENABLE = 'ros2 service call {} std_srvs/srv/SetBool "{{data: {}}}"'


def replay_bag(
    bag: Path,
    robot_file: Path | None = None,
    *,
    robot_running: bool = False,
    speed: float = 1.0,
    out: Path | None = None,
    namespace: str = '',
    domain: int | None = None,
    render: bool = False,
) -> bool:
    """Play the joint commands of a bag again and print how what was sent compares with them.

    They go through the command executor with all its limits.

    Args:
        bag: Bag folder.
        robot_file: Robot YAML, by default that of the robot that the bag names.
        robot_running: Start neither simulator nor executor; both arms and the executor run
            already, and nothing moves until a person enables the executor.
        speed: 1 plays as recorded, 0.5 takes twice as long.
        out: Folder for logs and events, by default one named after date and time.
        namespace: Namespace of the running robot, or of the simulator.
        domain: ROS domain; None takes ``ROS_DOMAIN_ID``, and where that is not set one of its own
            for the simulator and 0 for a running robot.
        render: Show the simulator in a window; needs a display.

    Returns:
        Whether the bag was played to its end.

    Raises:
        ConfigError: The bag or the robot file cannot be used, or a node ended.
    """
    if bag.exists() and not is_bag(bag):
        msg = f'{bag} is no bag, and one is expected; files and data sets become bags by '
        msg += 'cosmos-policy convert SRC DST --to bag'
        raise ConfigError(msg)
    file = robot_file or _robot_of(bag)
    robot = read_robot(file)
    read_commands(bag, robot)  # a mistake shows before anything starts
    domain = choose_domain_of_running_robot(domain) if robot_running else choose_domain(domain)
    out = prepare_folder(out, OUTPUTS)
    console = Console()
    if other := find_other_scale(read_metadata(bag), robot):
        console.print(f'[yellow]{other}[/yellow]', highlight=False, soft_wrap=True)
    values: dict[str, Value] = {
        'robot': str(file.resolve()),
        'bag': str(bag.resolve()),
        'speed': speed,
        'simulate': not robot_running,
        'namespace': namespace,
        'render': render,
    }
    others = () if robot_running else REPLAY_STACK
    events, trouble = follow_stack(
        values, out, domain, console, show_replay(console), REPLAY, others
    )
    if trouble:
        raise ConfigError(trouble)
    results = [event for event in events if event['event'] == 'replayed']
    if results:
        print_result(results[-1], console)
    return bool(results)


@contextmanager
def show_replay(console: Console) -> Iterator[Callable[[Event], None]]:
    """Yield what shows events of the replay node: one moving line, and when to enable.

    Where a person is to enable, it says at the end how to disable, whatever the end is.
    """
    service = ''  # by which a person enables
    with ExitStack() as end:
        end.callback(lambda: _tell_how_to_disable(service, console))
        columns = TextColumn('{task.description}'), BarColumn(bar_width=30)
        progress = end.enter_context(Progress(*columns, console=console, transient=True))
        bar = progress.add_task('searching for other stacks', total=None)

        def show(event: Event) -> None:
            nonlocal service
            kind = event['event']
            if kind == 'clear':
                progress.update(bar, description='waiting for the executor')
            elif kind == 'waiting':
                console.print('The arms move as soon as you enable the executor:')
                service = event['service']
                call = ENABLE.format(service, 'true')
                console.print(f'  {call}', highlight=False, soft_wrap=True)
            elif kind == 'started':
                recorded_s = event['total_s'] - event['lead_s']
                console.print(
                    f'{event["lead_s"]:.1f} s to the first pose, then {recorded_s:.1f} s of '
                    'recording',
                    highlight=False,
                )
                description = 'going to the first pose'
                progress.update(bar, total=event['total_s'], description=description)
            elif kind == 'progress':
                played_s = max(0.0, event['seconds'])
                progress.update(bar, completed=played_s, description='playing')

        yield show


def _tell_how_to_disable(service: str, console: Console) -> None:
    """Print what ends motion that a person enabled; nothing without the name of the service."""
    if service:
        console.print('The executor may still be enabled and hold the arms; this disables it:')
        call = ENABLE.format(service, 'false')
        console.print(f'  {call}', highlight=False, soft_wrap=True)


def print_result(result: dict[str, Any], console: Console) -> None:
    """Print the difference between what was sent and the recording, joint by joint.

    Args:
        result: Last event of the replay node: ``max_error`` and ``rms_error`` by joint
            [rad; gripper 0..1], ``commands``, ``interventions`` and ``success``.
        console: Where.
    """
    table = Table('joint', box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in ('largest', 'rms'):
        table.add_column(name, justify='right')
    for joint, largest in result['max_error'].items():
        table.add_row(joint, f'{largest:.4f}', f'{result["rms_error"][joint]:.4f}')
    console.print('sent minus recorded, rad (gripper 0..1)', highlight=False)
    console.print(table)
    worst = max(result['max_error'], key=lambda joint: float(result['max_error'][joint]))
    error = result['max_error'][worst]
    agrees = (
        'agree'
        if error <= AGREES_RAD
        else f'[yellow]differ[/yellow] by up to {error:.3f} at {worst}'
    )
    console.print(
        f'{result["commands"]} commands {agrees}; safety changed {result["interventions"]}',
        highlight=False,
        soft_wrap=True,
    )
    if result['success'] is not None:
        outcome = '[green]success[/green]' if result['success'] else '[red]no success[/red]'
        console.print(f'simulator: {outcome}')


def _robot_of(bag: Path) -> Path:
    """Return the file of the robot that a bag names.

    Raises:
        ConfigError: There is none, or the bag cannot be read.
    """
    name = read_metadata(bag).get('robot')
    file = find_robot_file(name or '')
    if file is None:
        what = f'the robot {name!r}, for which there is no file in config/robots'
        msg = f'{bag} names {what if name else "no robot"}; give it with --robot FILE'
        raise ConfigError(msg)
    return file
