# SPDX-License-Identifier: Apache-2.0
"""The options of every command that reads recordings: what a person says about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TYPE_CHECKING

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError
import tyro

if TYPE_CHECKING:
    from cosmos_policy_ros.data.reading import Reading


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What recordings leave open, said by a person."""

    task: str | None = None
    """Instruction of episodes that have none."""
    source: Literal['demo', 'rollout'] | None = None
    """Source of episodes that have none."""
    success: Annotated[Literal['yes', 'no'] | None, tyro.conf.arg(metavar='yes|no')] = None
    """Outcome of episodes that have none. Default: not judged."""
    fps: float | None = None
    """Rows per second of HDF5 files that have none [Hz]. Default: that of their videos,
    else the robot's control rate."""
    actions: Literal['command', 'leader', 'state-next'] | None = None
    """What the actions are: commands that were sent, what the leader arms commanded, or the
    measured joints one row later. Default: command, and refused where there is none."""
    map: tuple[str, ...] = ()
    """Topics of bags that have another name than in the robot file, as TOPIC=STREAM; a stream is a
    camera, an arm, action, task, or a topic of the robot file. Cameras of HDF5 files and LeRobot
    data sets likewise, as top=high."""
    contract: Path | None = None
    """Contract by which rosetta recorded bags or made LeRobot data sets. Default: the one in a bag
    or beside a data set."""
    stamps: Literal['header', 'arrival'] | None = None
    """Which time of messages counts. Default: header, and refused where a clock differs."""
    images: Literal['rgb', 'bgr'] | None = None
    """Order of the colours that an ordinary decoder leaves of the images of HDF5 files and LeRobot
    data sets. Default: by the marks of the recorder, with one line that says which was taken; that
    of bags is in their encodings and the robot file."""
    units: Literal['percent', 'degrees'] | None = None
    """Units of the joints of HDF5 files and LeRobot data sets: -100 to 100 per cent of the range,
    from lower to upper of the robot file, or degrees; both with grippers from 0 to 100 per cent
    open. Default: radians, and openings from 0 to 1."""
    drop: tuple[Literal['base', 'padding'], ...] = ()
    """What rows have too much: the two columns of a mobile base behind those of the arms; rows of
    zeros behind the end."""
    robot_type_ok: bool = False
    """Take data sets of a robot of another name that has the same joints."""


def reading_of(options: ReadingOptions, robot: RobotSpec | None) -> Reading:
    """Return the options as the readers take them.

    Args:
        options: The options of a command.
        robot: Robot file, whose streams may be mapped; None where there is none.

    Raises:
        ConfigError: A topic is mapped to a stream that the robot does not have, or of no robot,
            or the contract cannot be read.
    """
    # late: the readers of all formats load slowly
    from cosmos_policy_ros.data.assemble import Labels
    from cosmos_policy_ros.data.bags.sources import stream_topics
    from cosmos_policy_ros.data.reading import Reading
    from cosmos_policy_ros.data.rosetta.contract import read_contract

    known = {} if robot is None else stream_topics(robot)
    if options.map and robot is None:
        msg = '--map names streams of a robot file; give it with --robot'
        raise ConfigError(msg)
    topics: dict[str, str] = {}
    for pair in options.map:
        topic, equals, stream = pair.partition('=')
        if not equals or stream not in known:
            msg = f'--map {pair}: expected TOPIC=STREAM, where the streams are '
            msg += ', '.join(known)
            raise ConfigError(msg)
        if topics.setdefault(known[stream], topic) != topic:
            msg = f'--map {pair}: {stream} is {topics[known[stream]]} already; give it one topic'
            raise ConfigError(msg)
    success = None if options.success is None else options.success == 'yes'
    return Reading(
        labels=Labels(options.task, options.source, success, options.fps),
        images=options.images,
        stamps=options.stamps,
        actions=options.actions,
        topics=topics,
        contract=None if options.contract is None else read_contract(options.contract),
        drop=options.drop,
        units=options.units,
        other_robot=options.robot_type_ok,
    )
