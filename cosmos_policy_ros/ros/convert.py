# SPDX-License-Identifier: Apache-2.0
"""ROS messages for our types, and back, checked on the way in.

Machines read standard messages: an action chunk is a JointTrajectory, a set of candidates is a
PointCloud2 used as an organised table (``candidate_table.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from builtin_interfaces.msg import Duration, Time
from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.candidate_table import build_table, read_table
from cosmos_policy_ros.types import ActionChunk, Candidates, Intrinsics, JointCommand
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2, PointField
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

SPACING_TOLERANCE_S = 1e-6  # uneven rows are refused; stamps are rounded to nanoseconds
FUTURE_NS = 5_000_000  # how far ahead of the clock a query may be stamped, on another machine


def time_message(stamp_ns: int) -> Time:
    """Return nanoseconds as a Time."""
    sec, nanosec = divmod(int(stamp_ns), 10**9)
    return Time(sec=sec, nanosec=nanosec)


def header(stamp_ns: int, frame_id: str = '') -> Header:
    """Return a header with a stamp [ns, ROS clock] and a coordinate frame."""
    return Header(stamp=time_message(stamp_ns), frame_id=frame_id)


def optical_frame(camera: str, namespace: str) -> str:
    """Return the coordinate frame of a camera's images, distinct from those of other robots."""
    return f'{namespace}/{camera}_optical_frame'.lstrip('/')


def image_message(image: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Image:
    """Return a (height, width, 3) uint8 RGB image as an rgb8 Image."""
    height, width, _ = image.shape
    message = Image(header=header(stamp_ns, frame_id), height=height, width=width)
    message.encoding = 'rgb8'
    message.step = 3 * width
    message.data = image.tobytes()  # bytes: 1000 times faster than an ndarray or a memoryview
    return message


def camera_info_message(image: Image, intrinsics: Intrinsics | None) -> CameraInfo:
    """Return the projection of an image; zeros where it is not known, as the message has it."""
    info = CameraInfo(header=image.header, height=image.height, width=image.width)
    if intrinsics is not None:
        fx, fy, cx, cy, distortion = intrinsics
        info.distortion_model, info.d = 'plumb_bob', list(distortion)
        info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
        info.r = np.eye(3).ravel().tolist()
        info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def tf_message(
    poses: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    parent: str,
    stamp_ns: int,
) -> Any:
    """Return poses of frames as a TFMessage, whose package not every machine has.

    Args:
        poses: Frame -> position (3,) [m] and quaternion (4,) w, x, y, z.
        parent: Frame that they are in.
        stamp_ns: When they were so [ns, ROS clock].
    """
    from tf2_msgs.msg import TFMessage

    transforms = []
    for frame, (place, turn) in poses.items():
        transform = TransformStamped(header=header(stamp_ns, parent), child_frame_id=frame)
        x, y, z = place.tolist()
        transform.transform.translation = Vector3(x=x, y=y, z=z)
        w, x, y, z = turn.tolist()
        transform.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
        transforms.append(transform)
    return TFMessage(transforms=transforms)


def compressed_message(jpeg: bytes, stamp_ns: int, frame_id: str) -> CompressedImage:
    """Return a JPEG file as a CompressedImage, its format as image_transport writes it."""
    message = CompressedImage(header=header(stamp_ns, frame_id))
    message.format = 'rgb8; jpeg compressed bgr8'
    message.data = jpeg
    return message


def joint_state_message(
    names: Sequence[str],
    positions: Sequence[float] | NDArray[np.floating],
    stamp_ns: int,
    velocities: Sequence[float] | NDArray[np.floating] = (),
    efforts: Sequence[float] | NDArray[np.floating] = (),
) -> JointState:
    """Return a JointState in the units of its topic; empty where nothing is known."""
    message = JointState(header=header(stamp_ns), name=list(names))
    message.position = np.asarray(positions, dtype=np.float64).tolist()
    message.velocity = np.asarray(velocities, dtype=np.float64).tolist()
    message.effort = np.asarray(efforts, dtype=np.float64).tolist()
    return message


def command_message(command: JointCommand, joints: Sequence[str]) -> JointState:
    """Return a command that was sent to the arms as a message of ``/joint_command``."""
    return joint_state_message(joints, command.positions, command.stamp_ns)


def command_positions(message: JointState, joints: Sequence[str]) -> NDArray[np.float32]:
    """Return the (A,) float32 positions of a ``/joint_command`` [rad; gripper 0..1].

    Raises:
        ValueError: The joints are others, or a number is missing or not finite.
    """
    if tuple(message.name) != tuple(joints) or len(message.position) != len(joints):
        msg = f'command is for {list(message.name)}, this robot has {list(joints)}'
        raise ValueError(msg)
    positions = np.array(message.position, dtype=np.float32)
    if not np.isfinite(positions).all():
        msg = 'command has NaN or infinite positions'
        raise ValueError(msg)
    return positions


def trajectory_message(
    stamp_ns: int, positions: NDArray[np.float32], rate_hz: float, joints: Sequence[str]
) -> JointTrajectory:
    """Return rows of joint targets, row 0 due at the stamp, as a JointTrajectory.

    It is a query too, whose rows are the committed ones.

    Args:
        stamp_ns: Stamp of the message [ns, ROS clock].
        positions: (R, A) float32 targets [rad; gripper 0..1]; R may be 0.
        rate_hz: Spacing of the rows [Hz].
        joints: Names of the A joints, in action order.
    """
    message = JointTrajectory(header=header(stamp_ns), joint_names=list(joints))
    for row, numbers in enumerate(positions.astype(np.float64).tolist()):
        sec, nanosec = divmod(round(row / rate_hz * 1e9), 10**9)
        point = JointTrajectoryPoint(time_from_start=Duration(sec=sec, nanosec=nanosec))
        point.positions = numbers
        message.points.append(point)
    return message


def trajectory_rows(message: JointTrajectory, joints: Sequence[str]) -> NDArray[np.float32]:
    """Return the (R, A) float32 rows of a JointTrajectory; R may be 0.

    Raises:
        ValueError: The joints are others, a row has another length, or a number is not finite.
    """
    if tuple(message.joint_names) != tuple(joints):
        msg = f'trajectory is for {list(message.joint_names)}, this robot has {list(joints)}'
        raise ValueError(msg)
    sizes = {len(point.positions) for point in message.points} - {len(joints)}
    if sizes:
        msg = f'trajectory rows have {sorted(sizes)} positions for {len(joints)} joints'
        raise ValueError(msg)
    rows = np.array([p.positions for p in message.points], dtype=np.float32)
    if not np.isfinite(rows).all():
        msg = 'trajectory has NaN or infinite positions'
        raise ValueError(msg)
    return rows.reshape(len(message.points), len(joints))


def chunk_message(chunk: ActionChunk, joints: Sequence[str]) -> JointTrajectory:
    """Return an action chunk as ``/policy/action_chunk``."""
    return trajectory_message(chunk.stamp_ns, chunk.positions, chunk.rate_hz, joints)


def chunk_from_message(message: JointTrajectory, joints: Sequence[str]) -> ActionChunk:
    """Return the action chunk in a JointTrajectory.

    Raises:
        ValueError: As ``trajectory_rows``; or there are fewer than two rows, row 0 is not due at
            the stamp, or the rows are not evenly spaced.
    """
    positions = trajectory_rows(message, joints)
    times = _row_times(message)
    if len(times) < 2 or times[0] != 0 or times[-1] <= 0:
        msg = f'action chunk needs at least two rows from 0 s on, got times {times.tolist()} s'
        raise ValueError(msg)
    spacing_s = times[-1] / (len(times) - 1)
    if np.abs(times - spacing_s * np.arange(len(times))).max() > SPACING_TOLERANCE_S:
        msg = f'action chunk rows must be evenly spaced, got times {times.tolist()} s'
        raise ValueError(msg)
    return ActionChunk(stamp_of(message), positions, 1.0 / spacing_s)


def query_rows(
    message: JointTrajectory, joints: Sequence[str], rate_hz: float, horizon: int, now_ns: int
) -> NDArray[np.float32]:
    """Return the (D, A) float32 committed rows of a ``/policy/query``; D may be 0.

    Args:
        message: The query.
        joints: Names of the robot's A joints, in action order.
        rate_hz: Spacing of the policy's rows [Hz].
        horizon: Rows H of its chunks.
        now_ns: Time now [ns, ROS clock].

    Raises:
        ValueError: As ``trajectory_rows``; or the query is of the future, its rows are as many as
            a chunk has, or they are not due from its stamp on at the policy's rate.
    """
    ahead_ns = stamp_of(message) - now_ns
    if ahead_ns > FUTURE_NS:
        msg = f'query is stamped {ahead_ns * 1e-6:.0f} ms in the future, limit '
        msg += f'{FUTURE_NS * 1e-6:.0f} ms; synchronise the clocks of the machines'
        raise ValueError(msg)
    rows = trajectory_rows(message, joints)
    if len(rows) >= horizon:
        msg = f'query commits to {len(rows)} rows of chunks of {horizon}; it must be fewer'
        raise ValueError(msg)
    times = _row_times(message)
    if np.abs(times - np.arange(len(rows)) / rate_hz).max(initial=0.0) > SPACING_TOLERANCE_S:
        msg = f'committed rows must be due from 0 s on, {1.0 / rate_hz:g} s apart as the rows of '
        msg += f'the policy are, got times {times.round(6).tolist()} s'
        raise ValueError(msg)
    return rows


def _row_times(message: JointTrajectory) -> NDArray[np.float64]:
    """Return the (R,) times from the stamp at which rows are due [s]."""
    due = [point.time_from_start for point in message.points]
    return np.array([t.sec + t.nanosec * 1e-9 for t in due])


def candidates_message(
    candidates: Candidates, rate_hz: float, joints: Sequence[str], active_ns: int = 0
) -> PointCloud2:
    """Return candidates as the table ``/policy/candidates``; future images travel on their own.

    Args:
        candidates: The answer to one query.
        rate_hz: Spacing of the action rows [Hz].
        joints: Names of the A joints, in action order.
        active_ns: Since when the node that answers has been active [ns, ROS clock]; 0 is not told.
    """
    table = build_table(candidates, rate_hz, joints)
    return PointCloud2(
        header=header(candidates.stamp_ns, str(active_ns)),
        height=table.n,
        width=table.horizon,
        fields=[
            PointField(name=c.name, offset=c.offset, datatype=PointField.FLOAT32, count=c.count)
            for c in table.columns
        ],
        is_bigendian=False,
        point_step=table.point_step,
        row_step=table.point_step * table.horizon,
        data=table.data,
        is_dense=True,
    )


def candidates_from_message(
    message: PointCloud2, joints: Sequence[str]
) -> tuple[Candidates, float]:
    """Return the candidates in a table and the rate of their rows [Hz].

    Raises:
        ValueError: As ``candidate_table.read_table``.
    """
    return read_table(message, joints)


def active_since_ns(message: PointCloud2) -> int:
    """Return since when the node that gave an answer has been active [ns]; 0 where it is not told.

    It stands where other clouds name their coordinate frame: a table of poses has none.
    """
    told = message.header.frame_id
    return int(told) if told.isascii() and told.isdecimal() else 0
