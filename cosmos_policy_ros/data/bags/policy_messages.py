# SPDX-License-Identifier: Apache-2.0
"""Candidates and action chunks of a policy, written to a bag without a ROS installation.

The messages are those that ``ros/convert.py`` makes in the running stack.
"""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.candidate_table import build_table, FLOAT32
from cosmos_policy_ros.data.bags.writer import BagWriter, message_header, typestore
from cosmos_policy_ros.topics import ACTION_CHUNK, CANDIDATES
from cosmos_policy_ros.types import ActionChunk, Candidates
import numpy as np


def write_candidates(
    bag: BagWriter, candidates: Candidates, rate_hz: float, joints: Sequence[str], stamp_ns: int
) -> None:
    """Write all candidates of one answer with their values to ``/policy/candidates``.

    Args:
        bag: Open bag.
        candidates: The answer.
        rate_hz: Spacing of the action rows [Hz].
        joints: Names of the A joints, in action order.
        stamp_ns: When it came [ns, ROS clock].
    """
    types = typestore().types
    table = build_table(candidates, rate_hz, joints)
    field = types['sensor_msgs/msg/PointField']
    message = types[CANDIDATES.type](
        header=message_header(candidates.stamp_ns),
        height=table.n,
        width=table.horizon,
        fields=[field(c.name, c.offset, FLOAT32, c.count) for c in table.columns],
        is_bigendian=False,
        point_step=table.point_step,
        row_step=table.point_step * table.horizon,
        data=np.frombuffer(table.data, dtype=np.uint8),
        is_dense=True,
    )
    bag.write(CANDIDATES.name, CANDIDATES.type, message, stamp_ns)


def write_chunk(bag: BagWriter, chunk: ActionChunk, joints: Sequence[str], stamp_ns: int) -> None:
    """Write the chosen action chunk to ``/policy/action_chunk``.

    Args:
        bag: Open bag.
        chunk: The chunk that was played.
        joints: Names of the A joints, in action order.
        stamp_ns: When it came [ns, ROS clock].
    """
    types, none = typestore().types, np.zeros(0)
    duration = types['builtin_interfaces/msg/Duration']
    point = types['trajectory_msgs/msg/JointTrajectoryPoint']
    points = []
    for row, positions in enumerate(chunk.positions.astype(np.float64)):
        due = duration(*divmod(round(row * 1e9 / chunk.rate_hz), 10**9))
        points.append(point(positions, none, none, none, due))
    message = types[ACTION_CHUNK.type](message_header(chunk.stamp_ns), list(joints), points)
    bag.write(ACTION_CHUNK.name, ACTION_CHUNK.type, message, stamp_ns)
