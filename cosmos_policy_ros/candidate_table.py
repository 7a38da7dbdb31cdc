# SPDX-License-Identifier: Apache-2.0
"""The candidates of one answer as a table of bytes, and back: the wire format of a PointCloud2.

An organised table with N rows (candidates) of H points (chunk rows). Every point has one
little-endian float32 column for every joint, then ``time_from_start`` [s], ``values``
(max(M, 1) * max(K, 1) numbers) and ``future_proprio`` (P numbers); the last two are the same for
all points of a candidate, and are left out of the table of a policy that has no value or predicts
no joints. The stamp of the message is that of the query. Predicted images travel on topics of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.topics import FUTURE_PROPRIO, TIME_FROM_START, VALUES
from cosmos_policy_ros.types import Candidates
import numpy as np
from numpy.typing import NDArray

FLOAT32 = 7  # datatype of a sensor_msgs/PointField
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Column:
    """One column, as a sensor_msgs/PointField describes it.

    Attributes:
        name: Name of a joint, or one of ``topics.TIME_FROM_START``, ``VALUES``,
            ``FUTURE_PROPRIO``.
        offset: Where it begins in a point [bytes].
        count: Numbers in it.
    """

    name: str
    offset: int
    count: int


@dataclass(frozen=True)
class CandidateTable:
    """What a PointCloud2 of candidates holds besides its header.

    Attributes:
        columns: Columns of a point, without gaps.
        n: Candidates N, the height of the cloud.
        horizon: Rows H of a chunk, the width of the cloud.
        data: All points, little-endian float32.
    """

    columns: tuple[Column, ...]
    n: int
    horizon: int
    data: bytes

    @property
    def point_step(self) -> int:
        """Size of a point [bytes]."""
        return _point_step(self.columns)


def build_table(candidates: Candidates, rate_hz: float, joints: Sequence[str]) -> CandidateTable:
    """Return candidates as a table.

    Args:
        candidates: The answer to one query.
        rate_hz: Spacing of the action rows [Hz].
        joints: Names of the A joints, in action order.
    """
    n, horizon, _ = candidates.positions.shape
    due_s = np.arange(horizon, dtype=np.float64) / rate_hz
    of_candidate = np.concatenate([candidates.values, candidates.future_proprio], axis=1)
    parts: list[NDArray[np.floating[Any]]] = [
        candidates.positions,
        np.broadcast_to(due_s[None, :, None], (n, horizon, 1)),
        np.broadcast_to(of_candidate[:, None], (n, horizon, of_candidate.shape[1])),
    ]
    points = np.concatenate(parts, axis=2).astype('<f4')
    n_values, n_proprio = candidates.values.shape[1], candidates.future_proprio.shape[1]
    return CandidateTable(columns(joints, n_values, n_proprio), n, horizon, points.tobytes())


def read_table(message: Any, joints: Sequence[str] | None = None) -> tuple[Candidates, float]:
    """Return the candidates in a PointCloud2 and the rate of their rows [Hz].

    Args:
        message: sensor_msgs/PointCloud2, of ROS or of a bag.
        joints: Names of the A joints that the table must have, in action order; None takes those
            that it has.

    Raises:
        ValueError: The joints are others, the layout is not the one of ``build_table``, or a
            number is not finite.
    """
    names = [field.name for field in message.fields]
    if joints is None:
        joints = names[: names.index(TIME_FROM_START)] if TIME_FROM_START in names else []
    counts = {field.name: field.count for field in message.fields}
    n_values, n_proprio = counts.get(VALUES, 0), counts.get(FUTURE_PROPRIO, 0)
    optional = [name for name in (VALUES, FUTURE_PROPRIO) if name in counts]
    wanted = [*joints, TIME_FROM_START, *optional]
    if names != wanted:
        msg = f'candidate table has the fields {names}, this robot needs {wanted}'
        raise ValueError(msg)
    layout = columns(joints, n_values, n_proprio)
    found = tuple(Column(field.name, field.offset, field.count) for field in message.fields)
    floats = all(field.datatype == FLOAT32 for field in message.fields)
    step = _point_step(layout)
    if found != layout or not floats or message.is_bigendian or message.point_step != step:
        msg = (
            f'candidate table must have little-endian float32 points of {step} bytes, '
            f'got {message.point_step} bytes with field counts {[*counts.values()]}'
        )
        raise ValueError(msg)
    n, horizon = message.height, message.width
    if n < 1 or horizon < 2 or len(message.data) != n * horizon * step:
        msg = f'candidate table of {n}x{horizon} points cannot have {len(message.data)} bytes'
        raise ValueError(msg)
    points = np.frombuffer(message.data, dtype='<f4').astype(np.float32).reshape(n, horizon, -1)
    time_s = points[0, :, len(joints)].astype(np.float64)
    if not (np.isfinite(time_s).all() and time_s[0] == 0 and (np.diff(time_s) > 0).all()):
        msg = f'candidate rows must be due at rising times from 0 s, got {time_s.tolist()}'
        raise ValueError(msg)
    of_candidate = points[:, 0, len(joints) + 1 :]
    candidates = Candidates(
        stamp_ns=stamp_of(message),
        positions=points[:, :, : len(joints)],
        values=of_candidate[:, :n_values],
        future_proprio=of_candidate[:, n_values:],
    )
    # float32 times are good to 1e-7 of the horizon; nobody runs a policy at a finer rate
    return candidates, round((horizon - 1) / float(time_s[-1]), 4)


def columns(joints: Sequence[str], n_values: int, n_proprio: int) -> tuple[Column, ...]:
    """Return the columns of a table.

    Args:
        joints: Names of the A joints, in action order.
        n_values: Values of a candidate, max(M, 1) * max(K, 1); 0 for no column.
        n_proprio: Proprio size P; 0 for no column.
    """
    counts = {**dict.fromkeys((*joints, TIME_FROM_START), 1), VALUES: n_values}
    counts[FUTURE_PROPRIO] = n_proprio
    found, offset = [], 0
    for name, count in counts.items():
        if count:
            found.append(Column(name, offset, count))
            offset += FLOAT32_BYTES * count
    return tuple(found)


def _point_step(layout: Sequence[Column]) -> int:
    return FLOAT32_BYTES * sum(column.count for column in layout)
