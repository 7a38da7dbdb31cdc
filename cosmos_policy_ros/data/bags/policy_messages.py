# SPDX-License-Identifier: Apache-2.0
"""What a policy says, written to a bag without a ROS installation.

The messages are those that ``ros/convert.py`` makes in the running stack.
"""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.data.bags.writer import BagWriter, message_header, typestore
from cosmos_policy_ros.types import ActionChunk, Candidates
import numpy as np

CANDIDATES = 'sensor_msgs/msg/PointCloud2'
CHUNK = 'trajectory_msgs/msg/JointTrajectory'
FLOAT32 = 7  # sensor_msgs/PointField


def write_candidates(
    bag: BagWriter, candidates: Candidates, rate_hz: float, joints: Sequence[str], stamp_ns: int
) -> None:
    """Write all candidates of one answer with their values to ``/policy/candidates``.

    Args:
        bag: Open bag.
        candidates: The answer.
        rate_hz: Spacing of the action rows [Hz].
        joints: A joint names.
        stamp_ns: When it came [ns, ROS clock].
    """
    types, fields, offset = typestore().types, [], 0
    for name, count in candidates.columns(joints).items():
        fields.append(types['sensor_msgs/msg/PointField'](name, offset, FLOAT32, count))
        offset += 4 * count
    table = candidates.table(rate_hz)
    n, horizon, _ = table.shape
    data = np.frombuffer(table.astype('<f4').tobytes(), dtype=np.uint8)
    message = types[CANDIDATES](
        message_header(candidates.stamp_ns), n, horizon, fields, False, offset, offset * horizon,
        data, True,
    )  # fmt: skip
    bag.write('/policy/candidates', CANDIDATES, message, stamp_ns)


def write_chunk(bag: BagWriter, chunk: ActionChunk, joints: Sequence[str], stamp_ns: int) -> None:
    """Write the chosen chunk to ``/policy/action_chunk``.

    Args:
        bag: Open bag.
        chunk: What was played.
        joints: A joint names.
        stamp_ns: When it came [ns, ROS clock].
    """
    types, none = typestore().types, np.zeros(0)
    points = []
    for row, positions in enumerate(chunk.positions.astype(np.float64)):
        due = types['builtin_interfaces/msg/Duration'](
            *divmod(round(row * 1e9 / chunk.rate_hz), 10**9)
        )
        point = types['trajectory_msgs/msg/JointTrajectoryPoint']
        points.append(point(positions, none, none, none, due))
    message = types[CHUNK](message_header(chunk.stamp_ns), list(joints), points)
    bag.write('/policy/action_chunk', CHUNK, message, stamp_ns)
