# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy arms``: move the arms slowly by name, through the executor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Annotated, Literal

from cosmos_policy_ros.cli.robot_options import Domain, Namespace
from cosmos_policy_ros.control.arm_motions import check_motion
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.terminal.arms import announce, follows, keep_scales, move_arms
from cosmos_policy_ros.terminal.typed import forget_typed
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
import tyro

Motion = Literal['home', 'park', 'jog', 'calibrate-grippers']


@dataclass(frozen=True)
class Arms:
    """Move the arms of a robot slowly: to the start pose, to rest, or one joint by a step.

    home goes from wherever the arms are to the start pose, the grippers last; Interbotix arms
    first leave the vendor's sleep pose, which lies outside their range. park goes over the start
    pose to the sleep pose of the robot file and, once the arms are there, switches the torque off
    where the driver can. jog moves one joint by a small step and back, and compares what was
    measured: so order and signs of the robot file are tried. calibrate-grippers opens and closes
    the grippers once and writes what their joints measure into the robot file.

    Everything goes through the command executor with all its limits, which is started unless one
    runs; the arm drivers run already. Motion is disabled again however it ends. Keep
    `cosmos-policy estop` open and the switch at hand. Exit status 0 means that it was done as
    asked.

    Example: cosmos-policy arms home --robot my_robot.yaml
    Example: cosmos-policy arms jog --robot my_robot.yaml --joint follower_left/waist --step -0.05
    """

    motion: Annotated[Motion, tyro.conf.Positional]
    """What to do."""
    robot: Path
    """Robot YAML file, or the name of one in config/robots."""
    joint: str = ''
    """Joint that jog moves, as <arm>/<joint>; <arm>/gripper is a gripper."""
    step: float = 0.05
    """How far jog moves it, at most 0.5 [rad; gripper 0..1]."""
    joint_speed: float = 0.3
    """Highest speed of any joint, 0.02 to 1.0 [rad/s; gripper 1/s]."""
    yes: bool = False
    """Move without asking."""
    out: Path | None = None
    """Folder for logs and events, by default runs/<date>-<time>."""
    namespace: Namespace = ''
    domain: Domain = None


def run(options: Arms) -> int:
    """Ask, move, and say what came of it."""
    robot = read_robot(options.robot)
    motion = 'grippers' if options.motion == 'calibrate-grippers' else options.motion
    _check(options, motion, robot)
    console = Console()
    said = announce(motion, robot, options.joint, options.step)
    console.print(said, highlight=False, soft_wrap=True)
    if not options.yes:
        _wait_for_enter()
    events = move_arms(
        {
            'robot': str(options.robot.resolve()),
            'namespace': options.namespace,
            'motion': motion,
            'joint': options.joint,
            'step': options.step,
            'joint_speed': options.joint_speed,
        },
        options.out,
        options.domain,
        console,
    )
    found = {event['event']: event for event in events}
    if motion == 'grippers':
        keep_scales(options.robot, robot, found['measured']['scales'], console)
    return 0 if motion != 'jog' or follows(found['jogged']) else 1


def _check(options: Arms, motion: str, robot: RobotSpec) -> None:
    """Refuse what cannot be moved, before somebody is asked.

    Raises:
        ConfigError: An option does not fit, or the robot cannot do it from its start pose.
    """
    joints = robot.joint_names
    if options.motion == 'jog' and options.joint not in joints:
        msg = f'--joint must be one of {", ".join(joints)}, got {options.joint!r}'
        raise ConfigError(msg)
    if not 0.0 < abs(options.step) <= 0.5:
        msg = f'--step must be up to 0.5 to either side, got {options.step}'
        raise ConfigError(msg)
    if not 0.02 <= options.joint_speed <= 1.0:
        msg = f'--joint-speed must be from 0.02 to 1.0 rad/s, got {options.joint_speed}'
        raise ConfigError(msg)
    check_motion(robot, motion, options.joint, options.step)


def _wait_for_enter() -> None:
    """Let a person look before anything moves.

    Raises:
        ConfigError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        msg = 'no terminal to ask before the arms move; --yes moves them without asking'
        raise ConfigError(msg)
    forget_typed()
    input('Press Enter to move, Ctrl-C to leave. ')
