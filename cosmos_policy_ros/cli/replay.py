# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy replay``: the joint commands of a bag, played again through the executor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cosmos_policy_ros.cli.robot_options import Namespace
from cosmos_policy_ros.terminal.replay import replay_bag
from cosmos_policy_ros.types import ConfigError
import tyro


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
    namespace: Namespace = ''
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
    whole = replay_bag(
        options.bag,
        options.robot,
        robot_running=options.robot_running,
        speed=options.speed,
        out=options.out,
        namespace=options.namespace,
        domain=options.domain,
        render=options.render,
    )
    return 0 if whole else 1
