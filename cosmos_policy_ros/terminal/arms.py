# SPDX-License-Identifier: Apache-2.0
"""Arms moved by name at a terminal: what will happen, one line a step, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.stack.domain import choose_domain_of_running_robot
from cosmos_policy_ros.stack.node_list import ARMS, ARMS_STACK, Value
from cosmos_policy_ros.terminal.gripper_scale import find_changes, scale_lines, write_scales
from cosmos_policy_ros.terminal.live import follow_stack, prepare_folder
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

OUTPUTS = ('logs', 'events.jsonl')
FOLLOWS = 0.7  # of the step: a joint that moves less is held by something


def announce(motion: str, robot: RobotSpec, joint: str = '', step: float = 0.0) -> str:
    """Return what will move, for who is about to let it.

    Args:
        motion: One of ``MOTIONS`` in ``control/arm_motions.py``.
        robot: Robot that moves.
        joint: What jog moves, as <arm>/<joint>.
        step: By how much [rad; gripper 0..1].
    """
    arms = ', '.join(arm.name for arm in robot.arms)
    in_arm = dict(zip(robot.joint_names, robot.arm_joints, strict=True))
    return {
        'home': f'{arms} will move slowly to the start pose, then the grippers',
        'park': (
            f'{arms} will move slowly to the start pose and on to the sleep pose; there those '
            'whose driver can do it lose their torque and sink the rest'
        ),
        'jog': f'{joint} will move by {step:+g}{" rad" * bool(in_arm.get(joint))} and back',
        'grippers': (
            f'the grippers of {arms} will open, close and open once; nothing may be between the '
            'fingers'
        ),
    }[motion]


def move_arms(
    values: Mapping[str, Value], out: Path | None, domain: int | None, console: Console
) -> list[Event]:
    """Run the node that moves the arms, with an executor where none runs, and show its events.

    Args:
        values: Arguments of the node.
        out: Folder for logs and events, by default one named after date and time.
        domain: ROS domain; None takes ``ROS_DOMAIN_ID``, and 0 where that is not set.
        console: Where to show.

    Returns:
        Its events.

    Raises:
        ConfigError: The motion was refused or ended on the way.
    """
    domain = choose_domain_of_running_robot(domain)
    out = prepare_folder(out, OUTPUTS)
    events, trouble = follow_stack(
        values, out, domain, console, show_motion(console), ARMS, ARMS_STACK
    )
    if not trouble and all(event['event'] != 'arrived' for event in events):
        trouble = f'ended by somebody before the arms had arrived; see {out}/logs'
    if trouble:
        raise ConfigError(trouble)
    return events


@contextmanager
def show_motion(console: Console) -> Iterator[Callable[[Event], None]]:
    """Yield what shows events of the node: one moving line, and a line for every step done."""
    columns = TextColumn('{task.description}'), BarColumn(bar_width=30)
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task('searching for an executor and other stacks', total=None)

        def show(event: Event) -> None:
            kind = event['event']
            if kind == 'clear':
                progress.update(bar, description='starting the executor')
            elif kind == 'started':
                progress.update(bar, total=event['total_s'], description='moving')
            elif kind == 'progress':
                progress.update(bar, completed=event['seconds'])
            elif line := describe(event):
                console.print(line, highlight=False, soft_wrap=True)

        yield show


def describe(event: Event) -> str:
    """Return the line of a step that is done, empty for other events."""
    kind = event['event']
    if kind == 'arrived':
        return f'arrived; farthest off is {event["joint"]}, by {event["gap"]:.3f} rad'
    if kind == 'let_go':
        lines = []
        if event['without_torque']:
            lines.append(f'torque is off: {", ".join(event["without_torque"])}')
        if event['kept']:
            lines.append(
                f'torque stays on: {", ".join(event["kept"])}; their driver has no switch for it, '
                'use the one of the arm'
            )
        return '\n'.join(lines)
    return describe_jog(event) if kind == 'jogged' else ''


def describe_jog(event: Mapping[str, Any]) -> str:
    """Return whether the joint that was to move is the one that did."""
    joint, wanted, measured = event['joint'], event['wanted'], event['measured']
    line = f'{joint} was sent {wanted:+.3f} and measured {measured:+.3f}'
    if follows(event):
        return f'{line}; see that the same joint of the arm moved, to the side that is meant'
    return (
        f'[red]{line}; most of all moved {event["most"]}, by {event["most_measured"]:+.3f}[/red]: '
        'compare order and signs of the joints in the robot file with those of the driver'
    )


def follows(event: Mapping[str, Any]) -> bool:
    """Whether a jogged joint followed, and moved most of all."""
    share = event['measured'] / event['wanted']
    return event['most'] == event['joint'] and share > FOLLOWS


def keep_scales(
    path: Path, robot: RobotSpec, scales: Mapping[str, Mapping[str, Any]], console: Console
) -> None:
    """Write measured scales into the robot file, or print them where that cannot be.

    Args:
        path: Robot file.
        robot: What it says.
        scales: Arm -> key of its gripper -> measured value.
        console: Where to show.
    """
    changes = find_changes(robot, scales)
    for line in changes:
        console.print(line, highlight=False, soft_wrap=True)
    if not changes:
        console.print(f'the grippers are as in {path}', highlight=False, soft_wrap=True)
        return
    try:
        write_scales(path, scales)
    except (ConfigError, OSError) as error:
        console.print(f'{path} stays as it is ({error}); write there:', soft_wrap=True)
        console.print('\n'.join(scale_lines(scales)), highlight=False, soft_wrap=True)
        return
    console.print(
        f'wrote {path}; recordings made before keep the scale that they were made with',
        highlight=False,
        soft_wrap=True,
    )
