# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy replay``: the joint commands of a bag, played again through the executor."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
from typing import Annotated, Any

from cosmos_policy_ros.cli.demo import prepare_folder
from cosmos_policy_ros.cli.report import find_robot
from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.series import read_commands
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import REPLAY, REPLAY_STACK, Value
from cosmos_policy_ros.stack.running import run_stack
from cosmos_policy_ros.types import ConfigError
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
import tyro

AGREES_RAD = 0.02  # [rad; gripper 0..1] the spline through the rows differs by less than this
ENABLE = 'ros2 service call /command_executor/enable std_srvs/srv/SetBool "{data: true}"'


@dataclass(frozen=True)
class Replay:
    """Play the joint commands of a bag again, on the simulator or on a running robot.

    They go through the command executor with all its limits. The simulator is started, set up
    with the seed of the bag and enabled by itself. With --robot-running nothing is started but
    the node that reads the bag: the executor runs already, is disabled, and the arms move when
    you enable it. They first go slowly to the first recorded pose. Exit status 0 means that the
    bag was played to its end, whatever came of it.

    Example: cosmos-policy replay data/transfer_cube/episode_000000
    """

    bag: Annotated[Path, tyro.conf.Positional]
    """Bag folder."""
    robot: Path | None = None
    """Robot YAML, by default config/robots/<name>.yaml of the robot that the bag names."""
    robot_running: bool = False
    """Start no simulator and no executor; both arms and the executor run already."""
    speed: float = 1.0
    """1 plays as recorded, 0.5 takes twice as long."""
    out: Path | None = None
    """Folder for logs and events, by default runs/<date>-<time>."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID; where that is not set, one of its own for the
    simulator and 0 for a running robot."""
    render: bool = False
    """Show the simulator in a window; needs a display."""


def run(options: Replay) -> int:
    """Play the bag and print how what was sent compares with what was recorded."""
    if not 0.05 <= options.speed <= 1.0:
        msg = f'--speed must be from 0.05 to 1.0, got {options.speed}'
        raise ConfigError(msg)
    robot = find_file(options)
    read_commands(options.bag, read_robot(robot))  # a mistake shows before anything starts
    domain = _set_domain(options)
    out = prepare_folder(options.out, ('logs', 'events.jsonl'))
    console = Console()
    console.print(f'ROS_DOMAIN_ID={domain}, logs in {out}/logs', highlight=False, soft_wrap=True)
    values: dict[str, Value] = {
        'robot': str(robot.resolve()),
        'bag': str(options.bag.resolve()),
        'speed': options.speed,
        'simulate': not options.robot_running,
        'render': options.render,
    }
    others = () if options.robot_running else REPLAY_STACK
    try:
        with run_stack(values, out, REPLAY, others) as stack, _progress(console) as progress:
            bar = progress.add_task('looking for other stacks', total=None)
            for event in stack.follow():
                _show(event, progress, bar)
            events = stack.events
    except ChildProcessError as error:
        raise ConfigError(str(error)) from error
    results = [event for event in events if event['event'] == 'replayed']
    if results:
        print_result(results[-1], console)
        if options.robot_running:
            console.print('The executor is still enabled and holds the arms.')
    return 0 if results else 1


def find_file(options: Replay) -> Path:
    """Return the robot YAML.

    Raises:
        ConfigError: Nobody named it, or the bag cannot be read.
    """
    if options.robot is not None:
        return options.robot
    metadata = read_metadata(options.bag)
    if find_robot(metadata) is None:
        msg = f'{options.bag} names the robot {metadata.get("robot")!r}, for which there is no '
        msg += 'file in config/robots; give it with --robot FILE'
        raise ConfigError(msg)
    return share_path('config', 'robots', f'{metadata["robot"]}.yaml')


def _set_domain(options: Replay) -> int:
    """Set the domain of the processes to come and return it."""
    if not options.robot_running:
        return choose_domain(options.domain)
    if options.domain is not None:  # a running robot is looked for beyond this machine too
        os.environ['ROS_DOMAIN_ID'] = str(options.domain)
    return int(os.environ.get('ROS_DOMAIN_ID') or 0)


def _progress(console: Console) -> Progress:
    columns = TextColumn('{task.description}'), BarColumn(bar_width=30)
    return Progress(*columns, console=console, transient=True)


def _show(event: dict[str, Any], progress: Progress, bar: Any) -> None:
    """Show an event of the node."""
    kind = event['event']
    if kind == 'clear':
        progress.update(bar, description='waiting for the executor')
    elif kind == 'waiting':
        progress.console.print('The arms move as soon as you enable the executor:')
        progress.console.print(f'  {ENABLE}', highlight=False, soft_wrap=True)
    elif kind == 'started':
        progress.console.print(
            f'{event["lead_s"]:.1f} s to the first pose, then '
            f'{event["total_s"] - event["lead_s"]:.1f} s of recording', highlight=False,
        )  # fmt: skip
        progress.update(bar, total=event['total_s'], description='going to the first pose')
    elif kind == 'progress':
        progress.update(bar, completed=max(0.0, event['seconds']), description='playing')


def print_result(result: dict[str, Any], console: Console) -> None:
    """Print the difference between what was sent and the recording, joint by joint."""
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
