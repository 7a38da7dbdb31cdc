# SPDX-License-Identifier: Apache-2.0
"""A recorded bag as an ``Episode`` on the policy's tick grid.

The grid starts when every stream has its first message and ends with the last joint command. At
every tick the newest message of each stream counts (``align.py``); the action of a tick is the
newest ``/joint_command`` stamped at the tick or before, which is the command that was sent then.
Velocities and efforts come from the joint states that the positions come from
(``velocity_effort.py``).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from cosmos_policy_ros.align import (
    arm_pose,
    camera_image,
    push_pose,
    sample_at,
    stamp_of,
    StreamBuffer,
    tick_grid,
)
from cosmos_policy_ros.data.bags.files import (
    Messages,
    open_bag,
)
from cosmos_policy_ros.data.bags.gripper_scale import find_other_scale
from cosmos_policy_ros.data.bags.writer import typestore
from cosmos_policy_ros.data.velocity_effort import collect_streams
from cosmos_policy_ros.robot import ArmSpec, RobotSpec
from cosmos_policy_ros.topics import EXPERT, JOINT_COMMAND, TASK
from cosmos_policy_ros.types import ConfigError, Episode
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import Reader, ReaderError

logger = logging.getLogger(__name__)


def read_bag(
    path: Path,
    robot: RobotSpec,
    rate_hz: float | None,
    max_image_age_s: float = 0.25,
    max_joint_age_s: float = 0.1,
) -> Episode:
    """Read one episode; grippers that had another scale then are warned about.

    Args:
        path: Bag folder.
        robot: Robot whose topics the bag holds.
        rate_hz: Tick rate of the episode [Hz]; None is the one the bag was converted at, else the
            robot's control rate.
        max_image_age_s: Oldest image allowed at a tick [s].
        max_joint_age_s: Oldest joint state and command allowed at a tick [s].

    Raises:
        ConfigError: The folder is no bag, is damaged or unfinished, was marked invalid by the
            recorder, lacks a topic or metadata, has a gap in a stream, or holds NaN or another
            robot's joints.
    """
    with open_bag(path) as bag:
        metadata = dict(bag.storage.metadata.custom or {})
        invalid = metadata.get('invalid')
        messages = {} if invalid else _messages(bag, robot)
    if invalid:
        msg = f'episode {path} is invalid: {invalid}; record it again or remove the folder'
        raise ConfigError(msg)
    try:
        recorded = metadata.get('robot', robot.name)
        if recorded != robot.name:
            msg = f'it is of robot {recorded!r}, the robot file is of {robot.name!r}'
            raise ValueError(msg)
        if other := find_other_scale(metadata, robot):
            logger.warning('episode %s: %s', path, other)
        rate_hz = rate_hz or float(metadata.get('rate_hz', robot.control_rate_hz))
        ages_s = (max_image_age_s, max_joint_age_s)
        return _episode(messages, metadata, robot, rate_hz, ages_s, f'episode {path}')
    except (ValueError, TimeoutError) as error:
        msg = f'episode {path}: {error}'
        raise ConfigError(msg) from error


def _messages(bag: Reader, robot: RobotSpec) -> Messages:
    """Return topic -> (stamp, message) of the topics an episode is made of."""
    wanted = [c.topic for c in robot.cameras] + [*robot.joint_state_topics]
    wanted += [JOINT_COMMAND.name, TASK.name]
    missing = [topic for topic in wanted if topic not in bag.topics]
    if missing:
        msg = f'no topic {", ".join(missing)}; the bag has {sorted(bag.topics)}'
        raise ReaderError(msg)
    connections = [c for c in bag.connections if c.topic in (*wanted, EXPERT.name)]
    messages: Messages = {topic: [] for topic in (*wanted, EXPERT.name)}
    for connection, bag_ns, data in bag.messages(connections):
        message = typestore().deserialize_cdr(data, connection.msgtype)
        stamp_ns = stamp_of(message) if hasattr(message, 'header') else bag_ns
        messages[connection.topic].append((stamp_ns, message))
    return messages


def _episode(
    messages: Messages,
    metadata: dict[str, str],
    robot: RobotSpec,
    rate_hz: float,
    max_age_s: tuple[float, float],
    where: str,
) -> Episode:
    """Put the messages on the tick grid."""
    frames, cameras = _cameras(messages, robot)
    arms, joint_states = {}, {}
    for arm in robot.arms:
        arms[arm.name], joint_states[arm.name] = _joint_stream(
            messages[arm.joint_state_topic], arm
        )
    commands = {JOINT_COMMAND.name: _command_stream(messages[JOINT_COMMAND.name], robot)}
    flags = StreamBuffer[bool](EXPERT.name)
    for stamp_ns, message in messages[EXPERT.name]:
        flags.push(stamp_ns, bool(message.data))
    streams: list[StreamBuffer[Any]] = [*cameras.values(), *arms.values(), *commands.values()]
    first_ns = max(stream.first_ns for stream in streams)
    stamps = tick_grid(first_ns, commands[JOINT_COMMAND.name].last_ns, rate_hz)

    image_age_s, joint_age_s = max_age_s
    rows, proprio, measured, actions, expert = [], [], [], [], []
    for stamp_ns in stamps.tolist():
        shown = sample_at(cameras, stamp_ns, image_age_s)
        poses = sample_at(arms, stamp_ns, joint_age_s)
        sent = sample_at(commands, stamp_ns, joint_age_s)
        rows.append([shown[c.name].value for c in robot.cameras])
        proprio.append(np.concatenate([poses[a.name].value for a in robot.arms]))
        measured.append([joint_states[a.name][poses[a.name].stamp_ns] for a in robot.arms])
        actions.append(sent[JOINT_COMMAND.name].value)
        judged = len(flags) and flags.first_ns <= stamp_ns
        expert.append(flags.newest_at(stamp_ns, np.inf).value if judged else True)

    images, image_index = {}, {}
    for i, camera in enumerate(robot.cameras):
        used, index = np.unique([row[i] for row in rows], return_inverse=True)
        images[camera.name] = np.stack([frames[camera.name][j] for j in used])
        image_index[camera.name] = index.astype(np.int64)
    return Episode(
        source=_source(metadata),
        task=messages[TASK.name][-1][1].data,
        success=_success(metadata),
        rate_hz=rate_hz,
        stamps_ns=stamps,
        images=images,
        image_index=image_index,
        proprio=np.stack(proprio),
        actions=np.stack(actions),
        expert=np.array(expert, dtype=np.bool_),
        **collect_streams(robot, measured, where),
    )


def _cameras(
    messages: Messages, robot: RobotSpec
) -> tuple[dict[str, list[NDArray[np.uint8]]], dict[str, StreamBuffer[int]]]:
    """Return every camera's images and the stream of their rows."""
    frames: dict[str, list[NDArray[np.uint8]]] = {}
    streams: dict[str, StreamBuffer[int]] = {}
    for camera in robot.cameras:
        frames[camera.name] = []
        streams[camera.name] = StreamBuffer[int](camera.topic)
        for stamp_ns, m in messages[camera.topic]:
            if streams[camera.name].push(stamp_ns, len(frames[camera.name])):
                frames[camera.name].append(camera_image(camera, m))
    return frames, streams


def _joint_stream(
    rows: list[tuple[int, Any]], arm: ArmSpec
) -> tuple[StreamBuffer[NDArray[np.float32]], dict[int, Any]]:
    """Return one arm's poses without those a failed bus read made up, and stamp -> message."""
    stream = StreamBuffer[NDArray[np.float32]](arm.joint_state_topic)
    messages = {ns: m for ns, m in rows if push_pose(stream, arm, ns, arm_pose(arm, m)) is None}
    return stream, messages


def _command_stream(
    rows: list[tuple[int, Any]], robot: RobotSpec
) -> StreamBuffer[NDArray[np.float32]]:
    """Return the commands in the robot's joint order."""
    stream = StreamBuffer[NDArray[np.float32]](JOINT_COMMAND.name)
    for stamp_ns, message in rows:
        if tuple(message.name) != robot.joint_names:
            names = list(message.name)
            msg = f'{JOINT_COMMAND.name} is for {names}, the robot has {robot.joint_names}'
            raise ValueError(msg)
        stream.push(stamp_ns, np.asarray(message.position, dtype=np.float32))
    return stream


def _source(metadata: dict[str, str]) -> Literal['demo', 'rollout']:
    source = metadata.get('source')
    if source == 'demo':
        return 'demo'
    if source == 'rollout':
        return 'rollout'
    msg = f"metadata 'source' must be 'demo' or 'rollout', got {source!r}"
    raise ValueError(msg)


def _success(metadata: dict[str, str]) -> bool | None:
    judged = {'true': True, 'false': False, None: None}
    success = metadata.get('success')
    if success not in judged:
        msg = f"metadata 'success' must be 'true' or 'false', got {success!r}"
        raise ValueError(msg)
    return judged[success]
