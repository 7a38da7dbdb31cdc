# SPDX-License-Identifier: Apache-2.0
"""Messages of somebody who was not asked: chunks, candidates, queries, commands."""

from __future__ import annotations

from collections.abc import Callable
import math

from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.fault import Act, Fault, fault
from cosmos_policy_ros.ros.arms import open_arms
from cosmos_policy_ros.ros.convert import candidates_message, trajectory_message
from cosmos_policy_ros.topics import ACTION_CHUNK, CANDIDATES, QUERY
from cosmos_policy_ros.types import Candidates
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from trajectory_msgs.msg import JointTrajectory

RATE_HZ = 12.5
ROWS = 16
Change = Callable[[JointTrajectory], object]


def chunks(
    shift_rad: float = 0.0,
    n: int = 1,
    spacing_s: float = 0.1,
    change: Change = lambda _message: None,
    ahead_s: float = 0.0,
    rows: int = ROWS,
    rate_hz: float = RATE_HZ,
    flip: bool = False,
) -> Act:
    """Return what publishes action chunks that rest at the commanded pose.

    Args:
        shift_rad: How far from it the first arm's joints are [rad].
        n: How many chunks.
        spacing_s: Time between two [s].
        change: Spoils each in place.
        ahead_s: How far ahead of now they are stamped [s].
        rows: Rows of a chunk.
        rate_hz: Spacing of the rows [Hz].
        flip: Whether every other one is shifted the other way.
    """

    def begin(bench: FaultBench) -> None:
        publisher = bench.stranger(ACTION_CHUNK)
        bench.pause(0.1)  # until the executor has found it
        shift = np.where(bench.robot.arm_joints, shift_rad, 0.0)
        shift[bench.robot.arm_slices[0].stop :] = 0.0
        for i in range(n):
            pose = bench.pose + (shift if i % 2 == 0 or not flip else -shift)
            stamp_ns = bench.node.get_clock().now().nanoseconds + round(ahead_s * 1e9)
            positions = np.tile(pose, (rows, 1)).astype(np.float32)
            message = trajectory_message(stamp_ns, positions, rate_hz, bench.robot.joint_names)
            change(message)
            publisher.publish(message)
            bench.pause(spacing_s)

    return begin


def candidates(
    change: Callable[[PointCloud2], object] = lambda _message: None,
    shift_rad: float = 0.8,
    ahead_s: float = 0.0,
    known_stamp: bool = False,
    n: int = 1,
) -> Act:
    """Return what publishes candidates that would win, far from the commanded pose.

    Args:
        change: Spoils each message in place.
        shift_rad: How far the first arm's joints are from it [rad].
        ahead_s: How far ahead of now they are stamped [s].
        known_stamp: Whether they have the stamp of the newest answer instead.
        n: How many messages.
    """

    def begin(bench: FaultBench) -> None:
        publisher = bench.stranger(CANDIDATES)
        bench.pause(0.1)
        pose = bench.pose + np.where(bench.robot.arm_joints, shift_rad, 0.0)
        rows = np.tile(pose, (2, ROWS, 1))
        size = bench.robot.size
        for _ in range(n):
            stamp_ns = bench.node.get_clock().now().nanoseconds + round(ahead_s * 1e9)
            table = Candidates(
                stamp_ns,
                rows.astype(np.float32),
                np.ones((2, 1), np.float32),
                np.zeros((2, size), np.float32),
            )
            message = candidates_message(table, RATE_HZ, bench.robot.joint_names)
            if known_stamp and bench.answer is not None:
                message.header = bench.answer.header
            change(message)
            publisher.publish(message)
            bench.pause(0.02)

    return begin


def _spoil_positions(value: float) -> Change:
    def change(message: JointTrajectory) -> None:
        message.points[3].positions[0] = value

    return change


def _rename(message: JointTrajectory) -> None:
    message.joint_names = list(reversed(message.joint_names))


def _drop_points(message: JointTrajectory) -> None:
    message.points = []


def _no_values(message: PointCloud2) -> None:
    """Say that a candidate has no value at all."""
    for column in message.fields:
        if column.name == 'values':
            column.count = 0


def _nan(message: PointCloud2) -> None:
    message.data = np.full(len(message.data) // 4, math.nan, '<f4').tobytes()


def _garbage(message: PointCloud2) -> None:
    message.data = bytes(range(256)) * 8


def _halve(message: PointCloud2) -> None:
    message.data = bytes(message.data)[: len(message.data) // 2]


def _rename_columns(message: PointCloud2) -> None:
    message.fields[0].name = 'lift'


def _queries(n: int, spacing_s: float, rows: Callable[[FaultBench], NDArray[np.float32]]) -> Act:
    def begin(bench: FaultBench) -> None:
        publisher = bench.stranger(QUERY)
        bench.pause(0.1)
        for _ in range(n):
            stamp_ns = bench.node.get_clock().now().nanoseconds
            names = bench.robot.joint_names
            publisher.publish(trajectory_message(stamp_ns, rows(bench), RATE_HZ, names))
            bench.pause(spacing_s)

    return begin


def _no_rows(bench: FaultBench) -> NDArray[np.float32]:
    return np.zeros((0, bench.robot.size), np.float32)


def _nan_rows(bench: FaultBench) -> NDArray[np.float32]:
    return np.full((4, bench.robot.size), math.nan, np.float32)


def _many_rows(bench: FaultBench) -> NDArray[np.float32]:
    return np.zeros((300, bench.robot.size), np.float32)


def _second_commander(bench: FaultBench) -> None:
    """Command the arms beside the executor, as a forgotten script does."""
    other = Node('stranger', context=bench.node.context)
    try:
        pack = open_arms(other, bench.robot.arms, 1.0 / bench.robot.control_rate_hz)
        pose = bench.pose + np.where(bench.robot.arm_joints, 0.05, 0.0)
        for _ in range(20):
            for send in pack(pose.astype(np.float32)):
                send()
            bench.pause(0.02)
    finally:
        other.destroy_node()


FAULTS: tuple[Fault, ...] = (
    fault('chunk_far', 'a chunk 1 rad away', 'safe', 0.0, chunks(1.0)),
    fault(
        'chunk_shaking',
        'chunks 0.5 rad to and fro, ten a second',
        'safe',
        0.0,
        chunks(0.5, 10, flip=True),
    ),
    fault(
        'chunk_nan', 'a chunk with NaN', 'fault', 0.25, chunks(change=_spoil_positions(math.nan))
    ),
    fault(
        'chunk_of_the_future',
        'a chunk stamped an hour ahead',
        'safe',
        0.0,
        chunks(ahead_s=3600.0),
        1.5,
    ),
    fault('chunk_of_the_past', 'a chunk planned 5 s ago', 'safe', 0.0, chunks(ahead_s=-5.0)),
    fault(
        'chunk_5000_rows',
        'a chunk of 5,000 rows',
        'safe',
        0.0,
        chunks(rows=5000, rate_hz=5000.0),
    ),
    fault(
        'chunk_50000_rows',
        'a chunk of 50,000 rows',
        'safe',
        0.0,
        chunks(rows=50000, rate_hz=5000.0),
        1.5,
    ),
    fault(
        'chunk_other_joints',
        'a chunk with joints in another order',
        'safe',
        0.0,
        chunks(change=_rename),
    ),
    fault('chunk_empty', 'a chunk without rows', 'safe', 0.0, chunks(change=_drop_points)),
    fault(
        'chunk_flood',
        '500 chunks 1 rad away within a second',
        'safe',
        0.0,
        chunks(1.0, 500, 0.002),
        0.5,
    ),
    fault('chunk_of_nanoseconds', 'a chunk that lasts 15 ns', 'safe', 0.0, chunks(rate_hz=1e9)),
    fault('candidates_strange', 'candidates that nobody asked for', 'ignored', 0.0, candidates()),
    fault(
        'candidates_again',
        'other candidates with the stamp of an answer',
        'ignored',
        0.0,
        candidates(known_stamp=True),
    ),
    fault(
        'candidates_of_the_future',
        'candidates stamped an hour ahead',
        'ignored',
        0.0,
        candidates(ahead_s=3600.0),
        1.5,
    ),
    fault(
        'candidates_without_values',
        'candidates with no values',
        'ignored',
        0.0,
        candidates(_no_values),
    ),
    fault('candidates_nan', 'candidates with NaN', 'ignored', 0.0, candidates(_nan)),
    fault('candidates_garbage', 'a table of other bytes', 'ignored', 0.0, candidates(_garbage)),
    fault('candidates_cut_off', 'half a table', 'ignored', 0.0, candidates(_halve)),
    fault(
        'candidates_other_joints',
        'candidates for another robot',
        'ignored',
        0.0,
        candidates(_rename_columns),
    ),
    fault('candidates_flood', '50 tables a second', 'ignored', 0.0, candidates(n=50), 0.5),
    fault('query_flood', '100 queries a second', 'safe', 0.0, _queries(100, 0.01, _no_rows), 1.0),
    fault('query_nan', 'a query with NaN', 'ignored', 0.0, _queries(1, 0.1, _nan_rows)),
    fault(
        'query_300_rows',
        'a query that commits to 300 rows',
        'ignored',
        0.0,
        _queries(1, 0.1, _many_rows),
    ),
    fault(
        'second_commander',
        'somebody else commands the arms too',
        'fault',
        0.35,
        _second_commander,
        0.3,
    ),
)
