# SPDX-License-Identifier: Apache-2.0
"""How the messages of a bag become numbers over time, for whoever looks at a recording.

A message list holds pairs of arrival [s, since the start of the bag] and message.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from cosmos_policy_ros.align import arm_pose, push_pose, stamp_of, StreamBuffer
from cosmos_policy_ros.data.bags.files import COMMAND_TOPIC, read_topics
from cosmos_policy_ros.robot import ArmSpec, RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

Messages = list[tuple[float, Any]]
EXECUTOR = 'command_executor'
TIME, VALUES = 'time_from_start', 'values'  # fields of a candidate table, as in the README
MAX_PAUSE_S = 0.1  # [s] between two commands that can be played again; as in the bag reader
FLOAT32 = 7  # datatype of a sensor_msgs/PointField


class Track(NamedTuple):
    """Numbers over time.

    Attributes:
        time_s: (S,) float64 times [s].
        values: (S, J) float64.
    """

    time_s: NDArray[np.float64]
    values: NDArray[np.float64]


class Answer(NamedTuple):
    """The candidates for one query.

    Attributes:
        at_s: When row 0 is due [s].
        values: (N,) float64 mean value of every candidate.
        best: The candidate that became the action chunk, None when no chunk was recorded.
    """

    at_s: float
    values: NDArray[np.float64]
    best: int | None


class Mode(NamedTuple):
    """What the executor did from a time on.

    Attributes:
        at_s: When [s].
        name: ``playing``, ``hold`` and so on.
        reason: Why it did not just play; empty when it did.
    """

    at_s: float
    name: str
    reason: str


def read_commands(path: Path, robot: RobotSpec) -> Track:
    """Return the joint commands of a bag at their stamps [s, from 0], fit to be played again.

    Raises:
        ConfigError: The folder is no bag, is damaged, has fewer than two commands, a pause in
            them, NaN, or another robot's joints.
    """
    messages = read_topics(path, [COMMAND_TOPIC])[COMMAND_TOPIC]
    by_stamp = {stamp_of(message): message for _, message in messages}
    stamps = sorted(by_stamp)
    rows = [((ns - stamps[0]) * 1e-9, by_stamp[ns]) for ns in stamps]
    try:
        if len(rows) < 2:
            msg = f'{len(rows)} messages on {COMMAND_TOPIC}, at least two are needed'
            raise ValueError(msg)
        track = command_track(rows, robot.joint_names)
        if not np.isfinite(track.values).all():
            msg = f'{COMMAND_TOPIC} has NaN or infinite positions'
            raise ValueError(msg)
        pause_s, row = float(np.diff(track.time_s).max()), int(np.diff(track.time_s).argmax())
        if pause_s > MAX_PAUSE_S:
            msg = f'no joint command for {pause_s:.2f} s at {track.time_s[row]:.2f} s, '
            msg += f'limit {MAX_PAUSE_S} s; nobody knows the motion in between'
            raise ValueError(msg)
    except ValueError as error:
        msg = f'episode {path}: {error}'
        raise ConfigError(msg) from error
    return track


def command_track(messages: Messages, joints: tuple[str, ...]) -> Track:
    """Return the joint commands (S, A) [rad; gripper 0..1].

    Raises:
        ValueError: One is for other joints, or has another number of positions.
    """
    for _, message in messages:
        if tuple(message.name) != joints or len(message.position) != len(joints):
            msg = f'joint commands are for {list(message.name)}, expected {list(joints)}'
            raise ValueError(msg)
    rows = [message.position for _, message in messages]
    return _track(messages, np.array(rows, dtype=np.float64).reshape(len(rows), len(joints)))


def measured_track(messages: Messages, arm: ArmSpec) -> tuple[Track, list[str]]:
    """Return the measured poses of an arm (S, joints + 1), and why others were dropped.

    The bag reader drops the same ones.
    """
    stream = StreamBuffer[NDArray[np.float32]](arm.joint_state_topic)
    kept: Messages = []
    dropped: list[str] = []
    for at_s, message in messages:
        try:
            pose = arm_pose(arm, message)
            reason = push_pose(stream, arm, stamp_of(message), pose)
        except ValueError as error:
            reason = str(error)
        if reason is None:
            kept.append((at_s, pose))
        else:
            dropped.append(reason)
    poses = np.array([pose for _, pose in kept], dtype=np.float64)
    return _track(kept, poses.reshape(len(kept), len(arm.joints) + 1)), dropped


def flag_track(messages: Messages) -> Track:
    """Return what a Bool topic said, (S, 1)."""
    return _track(messages, np.array([[float(m.data)] for _, m in messages]))


def find_answers(candidates: Messages, chunks: Messages, start_ns: int) -> list[Answer]:
    """Return the answers in the order of their queries; those to one query are merged.

    Args:
        candidates: sensor_msgs/PointCloud2 tables.
        chunks: trajectory_msgs/JointTrajectory of the planner.
        start_ns: Start of the bag [ns, ROS clock].

    Raises:
        ValueError: A table has no values, or they are no float32.
    """
    chosen = {stamp_of(m): np.array([p.positions for p in m.points]) for _, m in chunks}
    tables: dict[int, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    for _, message in candidates:
        tables.setdefault(stamp_of(message), []).append(read_table(message))
    answers = []
    for stamp_ns in sorted(tables):
        rows = np.concatenate([rows for rows, _ in tables[stamp_ns]])
        values = np.concatenate([values for _, values in tables[stamp_ns]])
        best, chunk = None, chosen.get(stamp_ns)
        if chunk is not None and chunk.shape == rows.shape[1:]:
            best = int(np.abs(rows - chunk).max(axis=(1, 2)).argmin())
        answers.append(Answer((stamp_ns - start_ns) * 1e-9, values, best))
    return answers


def read_table(message: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows (N, H, A) and mean values (N,) of a candidate table.

    Raises:
        ValueError: It has no values, or they are no float32.
    """
    names = [field.name for field in message.fields]
    if not {TIME, VALUES} <= set(names) or any(f.datatype != FLOAT32 for f in message.fields):
        msg = f'a candidate table needs float32 fields {TIME!r} and {VALUES!r}, got {names}'
        raise ValueError(msg)
    point = np.dtype(
        {
            'names': names,
            'formats': [('<f4', (field.count,)) for field in message.fields],
            'offsets': [field.offset for field in message.fields],
            'itemsize': message.point_step,
        }
    )
    table = np.frombuffer(message.data, point).reshape(message.height, message.width)
    rows = np.concatenate([table[name] for name in names[: names.index(TIME)]], axis=2)
    return rows.astype(np.float64), table[VALUES][:, 0].astype(np.float64).mean(axis=1)


def find_seams(reports: Messages) -> tuple[list[tuple[float, float]], list[Mode]]:
    """Return when chunks took over [s] with the seam jump [rad], and the executor's modes.

    A report tells of the newest chunk only; a chunk between two reports is not seen.

    Args:
        reports: diagnostic_msgs/DiagnosticArray of all nodes.
    """
    seams: list[tuple[float, float]] = []
    modes: list[Mode] = []
    chunks = 0
    for at_s, message in reports:
        for status in (s for s in message.status if s.name == EXECUTOR):
            figures = {pair.key: pair.value for pair in status.values}
            count, mode = int(figures.get('chunks', 0)), figures.get('mode', '')
            if count > max(chunks, 1):  # the first chunk has nothing to differ from
                seams.append((at_s, float(figures['seam_jump_rad'])))
            chunks = count
            if mode and (not modes or modes[-1].name != mode):
                modes.append(Mode(at_s, mode, figures.get('reason', '')))
    return seams, modes


def _track(messages: Messages, values: NDArray[np.float64]) -> Track:
    return Track(np.array([at_s for at_s, _ in messages], dtype=np.float64), values)
