# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag as numbers over time, for whoever looks at a recording.

A message list holds pairs of arrival [s, since the start of the bag] and message.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from cosmos_policy_ros.align import ArmStream, joint_positions, stamp_of
from cosmos_policy_ros.candidate_table import read_table
from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.robot import ArmSpec, RobotSpec
from cosmos_policy_ros.status import EXECUTOR_NAME, qualified_name
from cosmos_policy_ros.topics import JOINT_COMMAND
from cosmos_policy_ros.types import Candidates, ConfigError, find_played
import numpy as np
from numpy.typing import NDArray

Messages = list[tuple[float, Any]]
MAX_PAUSE_S = 0.1  # [s] between two commands that can be played again; as in the bag reader


class Series(NamedTuple):
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
        values: (N,) float64 mean value of every candidate; NaN of a policy that has no value.
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


def read_commands(path: Path, robot: RobotSpec) -> Series:
    """Return the joint commands of a bag at their stamps [s, from 0], fit to be played again.

    Raises:
        ConfigError: The folder is no bag, is damaged, has fewer than two commands, a pause in
            them, NaN, or another robot's joints.
    """
    messages = read_topics(path, [JOINT_COMMAND.name])[JOINT_COMMAND.name]
    by_stamp = {stamp_of(message): message for _, message in messages}
    stamps = sorted(by_stamp)
    rows = [((ns - stamps[0]) * 1e-9, by_stamp[ns]) for ns in stamps]
    try:
        if len(rows) < 2:
            msg = f'{len(rows)} messages on {JOINT_COMMAND.name}, at least two are needed'
            raise ValueError(msg)
        series = command_series(rows, robot.joint_names)
        if not np.isfinite(series.values).all():
            msg = f'{JOINT_COMMAND.name} has NaN or infinite positions'
            raise ValueError(msg)
        pause_s, row = float(np.diff(series.time_s).max()), int(np.diff(series.time_s).argmax())
        if pause_s > MAX_PAUSE_S:
            msg = f'no joint command for {pause_s:.2f} s at {series.time_s[row]:.2f} s, '
            msg += f'limit {MAX_PAUSE_S} s; nobody knows the motion in between'
            raise ValueError(msg)
    except ValueError as error:
        msg = f'episode {path}: {error}'
        raise ConfigError(msg) from error
    return series


def command_series(messages: Messages, joints: tuple[str, ...]) -> Series:
    """Return the joint commands (S, A) [rad; gripper 0..1].

    Raises:
        ValueError: One is for other joints, or has another number of positions.
    """
    for _, message in messages:
        if tuple(message.name) != joints or len(message.position) != len(joints):
            msg = f'joint commands are for {list(message.name)}, expected {list(joints)}'
            raise ValueError(msg)
    rows = [message.position for _, message in messages]
    return _series(messages, np.array(rows, dtype=np.float64).reshape(len(rows), len(joints)))


def measured_series(
    messages: Messages, arm: ArmSpec, arrivals: bool = False
) -> tuple[Series, list[str]]:
    """Return the measured poses of an arm (S, size), and why others were dropped.

    The bag reader drops the same ones. Parts of the arm in messages of their own are joined.

    Args:
        messages: sensor_msgs/JointState of the topic of the arm.
        arm: The arm.
        arrivals: Whether the time of arrival counts, where stamps cannot be trusted.
    """
    stream = ArmStream(arm, arm.joint_state_topic, 1)
    kept: Messages = []
    dropped: list[str] = []
    for at_s, message in messages:
        stamp_ns = round(at_s * 1e9) if arrivals else stamp_of(message)
        try:
            mine = joint_positions(arm, message)
            reason = stream.push(stamp_ns, message)
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            dropped.append(reason)
        elif mine and len(stream):
            kept.append((at_s, stream.newest_at(stream.newest_ns, np.inf).value.pose))
    if messages and not kept and not dropped:
        dropped.append(f'{arm.joint_state_topic} lacks some of the joints {arm.state_joints}')
    poses = np.array([pose for _, pose in kept], dtype=np.float64)
    return _series(kept, poses.reshape(len(kept), arm.size)), dropped


def flag_series(messages: Messages) -> Series:
    """Return the values of a std_msgs/Bool topic over time, (S, 1)."""
    return _series(messages, np.array([[float(m.data)] for _, m in messages]))


def find_answers(candidates: Messages, chunks: Messages, start_ns: int) -> list[Answer]:
    """Return the answers in the order of their queries; those to one query are merged.

    Args:
        candidates: sensor_msgs/PointCloud2 tables.
        chunks: trajectory_msgs/JointTrajectory of the planner.
        start_ns: Start of the bag [ns, ROS clock].

    Raises:
        ValueError: A table is not one of ``candidate_table.py``.
    """
    chosen = {stamp_of(m): np.array([p.positions for p in m.points]) for _, m in chunks}
    answers: dict[int, list[Candidates]] = {}
    for _, message in candidates:
        answer, _ = read_table(message)
        answers.setdefault(answer.stamp_ns, []).append(answer)
    found = []
    for stamp_ns in sorted(answers):
        values = np.concatenate([answer.mean_values for answer in answers[stamp_ns]])
        best = None
        if (chunk := chosen.get(stamp_ns)) is not None:
            best, _ = find_played(answers[stamp_ns], chunk)
        found.append(Answer((stamp_ns - start_ns) * 1e-9, values, best))
    return found


def find_seams(
    reports: Messages, namespace: str = '/'
) -> tuple[list[tuple[float, float]], list[Mode]]:
    """Return when chunks took over [s] with the seam jump [rad], and the executor's modes.

    A report holds the newest chunk only; a chunk between two reports is missed.

    Args:
        reports: diagnostic_msgs/DiagnosticArray of all nodes, of other robots too.
        namespace: Namespace of the executor.
    """
    seams: list[tuple[float, float]] = []
    modes: list[Mode] = []
    chunks, executor = 0, qualified_name(namespace, EXECUTOR_NAME)
    for at_s, message in reports:
        for status in (s for s in message.status if s.name == executor):
            figures = {pair.key: pair.value for pair in status.values}
            count, mode = int(figures.get('chunks', 0)), figures.get('mode', '')
            if count > max(chunks, 1):  # the first chunk has nothing to differ from
                seams.append((at_s, float(figures['seam_jump_rad'])))
            chunks = count
            if mode and (not modes or modes[-1].name != mode):
                modes.append(Mode(at_s, mode, figures.get('reason', '')))
    return seams, modes


def _series(messages: Messages, values: NDArray[np.float64]) -> Series:
    return Series(np.array([at_s for at_s, _ in messages], dtype=np.float64), values)
